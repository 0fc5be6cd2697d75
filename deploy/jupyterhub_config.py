"""A class on one JupyterHub.  `deploy/install.py` says how to start it; docs/doors.md, how large a machine a class needs.

The course lies beside this file, once, for all to read.  At each start of a student's server, and as the student,
`jupyter_server_config.py` makes the copies of the lessons that are missing in `vmio-work` of the student's home.
Change what you like between the two lines, or load this file from one of your own:

    load_subconfig("/opt/vmio/course/deploy/jupyterhub_config.py")
    c.JupyterHub.bind_url = "https://hub.example.org/"
"""

import os
import pwd
import sys

# ----------------------------------------------------------------------------------------------------------------------
STUDENTS = 40               # so many may start in the same minute; more are asked to try again
OWN_NUMBERS = True          # each student's questions and checks have numbers that follow from the name of the account
PROGRESS = False            # True: checks note in the student's folder how they ended, for `vmio progress`; say so to your class
MEMORY, CORES = "1G", 2     # of a student, all open lessons together
IDLE_SERVER = 3600          # s until a server that nobody uses stops; saved work stays (kernels: jupyter_server_config.py)
# ----------------------------------------------------------------------------------------------------------------------

COURSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, COURSE)

from labkit import classroom  # noqa: E402

c = get_config()  # noqa: F821 - the hub's loader knows it

c.JupyterHub.bind_url = "http://127.0.0.1:8000/vmio/"      # a web server in front of it has the certificate
c.Authenticator.allow_all = True                            # whoever has an account on this machine (PAM)
c.JupyterHub.concurrent_spawn_limit = STUDENTS
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.environment = classroom.setting(COURSE, OWN_NUMBERS, PROGRESS)
c.Spawner.default_url = "/lab/tree/00_start_here.ipynb"
c.Spawner.mem_limit = MEMORY
c.Spawner.cpu_limit = CORES
c.Spawner.start_timeout = 120      # a whole class begins in the same minute

proxy = os.path.join(os.path.dirname(COURSE), "proxy", "node_modules", ".bin", "configurable-http-proxy")
if os.path.exists(proxy):
    c.ConfigurableHTTPProxy.command = [proxy]


class NoHome(Exception):
    """The hub shows `jupyterhub_message` on the page where the student waits."""

    def __init__(self, sentence):
        Exception.__init__(self, sentence)
        self.jupyterhub_message = sentence


def before_start(spawner):
    """A student without a home gets a sentence, and no server whose work would be lost."""
    home = getattr(spawner, "home_dir", None)
    if home is None:
        try:
            home = pwd.getpwnam(spawner.user.name).pw_dir
        except KeyError:
            home = ""
    sentence = classroom.refusal(spawner.user.name, home)
    if sentence:
        raise NoHome(sentence)


c.Spawner.pre_spawn_hook = before_start

# Memory is limited by the system's control groups; where there is no systemd nothing here can do it, and the hub says so.
# (RLIMIT_AS is no way: a kernel with a lesson has far more addresses than memory.)
if os.path.isdir("/run/systemd/system") and os.geteuid() == 0:
    c.JupyterHub.spawner_class = "systemd"
    c.SystemdSpawner.unit_name_template = "vmio-{USERNAME}"
    c.SystemdSpawner.isolate_tmp = True
else:
    sys.stderr.write("vmio: without systemd students' memory is not limited; keep MEMORY in mind when you choose the machine\n")

c.JupyterHub.services = [{"name": "cull", "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=%d" % IDLE_SERVER]}]
c.JupyterHub.load_roles = [{"name": "cull", "services": ["cull"],
                            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"]}]
