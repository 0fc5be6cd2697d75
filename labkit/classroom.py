"""A class on one server: the course is installed once, for all to read; each student works in a folder of the own home.

`install` is the teacher's, once; `setting` the hub's; `begin` runs as the student, in the student's own server,
so that nothing is ever written into a home with more rights than its owner has.
"""

import os
import shutil
import stat
import sys

from labkit import NotDone, Refusal, child, environment, students, venv as private_python, work

PARTS = ("LICENSE", "README.md", "requirements.txt", "data", "deploy", "docs", "labkit", "notebooks", "vmio")
PROXY = "configurable-http-proxy@5.3.0"
FOLDER = "vmio-work"        # in each student's home
OWN_NUMBERS = "VMIO_OWN_NUMBERS"
PROGRESS = "VMIO_PROGRESS"


def setting(course, own_numbers=True, progress=False):
    """Return what each student's server finds in its environment beside the hub's own."""
    return {
        "JUPYTER_CONFIG_PATH": os.path.join(course, "deploy"),      # jupyter_server_config.py, which calls `begin`
        "JUPYTER_PATH": os.path.join(course, "vmio", "lab", "jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1",
        "VMIO_KVM": "none",             # on a shared server the lesson on real hardware shows its recording
        OWN_NUMBERS: "1" if own_numbers else "0",
        PROGRESS: "1" if progress else "0",
    }


def refusal(name, home):
    """Return why a student's server should not start, in a sentence for the student; "" if nothing is in its way."""
    ask = "Nothing was started, because nothing of your work could be kept. Show this to your teacher."
    if not home or not os.path.isdir(home):
        return "The account %s has no home folder (%s). %s" % (name, home or "none is known", ask)
    return ""


def begin(course, home, variables):
    """Make the student's copies that are missing, never overwriting; returns their folder and sets in `variables` what kernels must know.

    Where a copy can't be made (a full disk) the student goes on with those that are there; Refusal if there are none.
    """
    from vmio import seed
    folder = os.path.join(home, FOLDER)
    name, student = variables.get("JUPYTERHUB_USER", ""), None
    if name and variables.get(OWN_NUMBERS) == "1":
        try:
            student = {"name": name[:seed.LONGEST], "seed": seed.of(name[:seed.LONGEST])}
        except ValueError as error:     # a name without a letter has the lessons' own numbers
            work.say(str(error))
    try:
        work.prepare(course, student, folder)
        students.settle(course, folder, student)
        keep = os.path.join(folder, ".lab")
        environment.start_kernels_with_ours(keep)
        variables["IPYTHONDIR"] = os.path.join(keep, "ipython")
    except (NotDone, OSError) as error:
        if not os.path.isdir(folder):
            raise Refusal("%s; there is none of them yet" % error)
        work.say("%s; those that are there stay as they are" % error)
    variables[students_work()] = folder
    variables[seed.VARIABLE] = "%d" % (student["seed"] if student else seed.DEFAULT)
    return folder


def students_work():
    """Return the name of the variable that tells kernels where the student's copies and guesses are."""
    return "VMIO_WORK"


def copy(root, folder):
    """Copy what a class needs of a checkout into a new folder, for all to read and nobody but its owner to write; returns it."""
    os.makedirs(folder)
    for part in PARTS:
        there, here = os.path.join(root, part), os.path.join(folder, part)
        if os.path.isdir(there):
            shutil.copytree(there, here, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints"))
        else:
            shutil.copy(there, here)
    for place, names, files in os.walk(folder):
        for path in [place] + [os.path.join(place, name) for name in files]:
            executable = os.path.isdir(path) or os.stat(path).st_mode & stat.S_IXUSR
            os.chmod(path, 0o755 if executable else 0o644)
    return folder


def see_course(python, course):
    """Tell a Python where the course is, and compile it for all."""
    code = ("import compileall, os, sys, sysconfig\n"
            "open(os.path.join(sysconfig.get_path('purelib'), 'vmio.pth'), 'w', encoding='utf-8').write(sys.argv[1] + '\\n')\n"
            "compileall.compile_dir(os.path.join(sys.argv[1], 'vmio'), quiet=2)\n"
            "compileall.compile_dir(os.path.join(sys.argv[1], 'labkit'), quiet=2)\n")
    run([python, "-c", code, course], "the course was not made known to its Python")


def hidden(path):
    """Return the first folder on the way to a path that not everybody may go through; "" if there is none."""
    way = [os.path.realpath(path)]
    while os.path.dirname(way[-1]) != way[-1]:
        way.append(os.path.dirname(way[-1]))
    closed = [folder for folder in reversed(way) if os.path.isdir(folder) and not os.stat(folder).st_mode & stat.S_IXOTH]
    return closed[0] if closed else ""


def run(command, what):
    """Run a step; raises NotDone with `what` and the step's last words."""
    try:
        code, lines = child.run(command, environment.without_foreign(os.environ))
    except OSError as error:
        raise NotDone("%s: %s" % (what, error))
    if code:
        raise NotDone("%s: %s" % (what, (lines or ["it said nothing"])[-1]))


def install(root, folder, npm="npm"):
    """Install course, Python, hub and proxy into a new folder, whole or not at all; returns the command that starts the hub."""
    folder = os.path.abspath(folder)
    if os.path.lexists(folder):
        raise Refusal("%s is there already; name a new folder (students' work is in their homes, so the old one may go when the new one runs)"
                      % folder)
    if shutil.which(npm) is None:
        raise Refusal("JupyterHub needs its proxy, which needs Node.js: there is no %s here. On Debian or Ubuntu: sudo apt-get install npm" % npm)
    closed = hidden(sys.base_prefix) or hidden(os.path.dirname(folder))
    if closed:
        raise Refusal("students may not go into %s, and so not to this Python (%s) or to %s. Take a place and a Python that all may read, "
                      "such as /opt/vmio and /usr/bin/python3" % (closed, sys.base_prefix, folder))
    before = os.umask(0o022)        # what is installed is for all to read
    try:
        course = copy(root, os.path.join(folder, "course"))
        python = os.path.join(folder, "python")
        run([sys.executable, "-m", "venv", python], "no Python was made in %s" % python)
        python = private_python.python_of(python)
        run([python, "-m", "pip", "install", "-r", os.path.join(course, "deploy", "requirements.txt")], "the packages were not installed")
        run([npm, "install", "--no-fund", "--no-audit", "--prefix", os.path.join(folder, "proxy"), PROXY], "the proxy was not installed")
        see_course(python, course)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)       # we made it
        raise
    finally:
        os.umask(before)
    return "%s -m jupyterhub -f %s" % (python, os.path.join(course, "deploy", "jupyterhub_config.py"))
