"""The lab with one command: `python3 lab.py` opens it, `python3 lab.py test` proves it.

Both first make a private Python in .venv beside this file and install into it
what requirements.txt pins; the second time that takes no time.  This file must
be readable by old Pythons, so that they can say what is missing: no f-strings.
"""

import hashlib
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "vmio-stamp")
OLDEST = (3, 11)
USAGE = """\
usage: python3 lab.py [--port N] [--no-browser]   open the lab in JupyterLab
       python3 lab.py test [pytest arguments]     run every test"""


class Refusal(Exception):
    """What the user must change, in one or two sentences."""


def parse(arguments):
    """("test", pytest's arguments), ("help", []) or ("lab", JupyterLab's arguments); raises Refusal."""
    if arguments[:1] == ["test"]:
        return "test", arguments[1:]
    if arguments and arguments[0] in ("-h", "--help", "help"):
        return "help", []
    passed, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--no-browser":
            passed.append(word)
        elif word == "--port" or word.startswith("--port="):
            number = word[len("--port="):] if "=" in word else (rest.pop(0) if rest else "")
            if not number.isdigit() or not 1 <= int(number) <= 65535:
                raise Refusal("--port is '%s'; it must be a number from 1 to 65535." % number)
            passed.append("--ServerApp.port=%d" % int(number))
        else:
            raise Refusal("'%s' is not understood.\n%s" % (word, USAGE))
    return "lab", passed


def check_python(version=sys.version_info):
    """Raises Refusal for a Python that is too old or cannot make a venv."""
    if tuple(version[:2]) < OLDEST:
        raise Refusal("The lab needs Python %d.%d or newer; this is %d.%d. Run it with a newer one, such as: python3.12 lab.py"
                      % (OLDEST + tuple(version[:2])))
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise Refusal("This Python cannot make virtual environments. On Debian or Ubuntu install them with: "
                      "sudo apt-get install python%d.%d-venv" % tuple(version[:2]))


def python_of(venv):
    """The interpreter of a virtual environment."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def fingerprint(root=ROOT):
    """What an installation depends on: the pins, the Python, and where the checkout lies."""
    with open(os.path.join(root, "requirements.txt"), "rb") as file:
        pins = file.read()
    where = "%s %s" % (sys.version, os.path.abspath(root))
    return hashlib.sha256(pins + where.encode()).hexdigest()


def ready(venv=VENV, root=ROOT):
    """Whether `venv` was finished for exactly these pins, this Python and this place."""
    try:
        with open(os.path.join(venv, "vmio-stamp")) as file:
            return file.read() == fingerprint(root) and os.path.exists(python_of(venv))
    except IOError:
        return False


def say(text):
    print("lab.py: " + text)
    sys.stdout.flush()


def set_up(venv=VENV, root=ROOT, run=subprocess.check_call):
    """Make `venv` ready; returns whether there was anything to do.  The stamp is written last, so a half is redone."""
    if ready(venv, root):
        return False
    say("1 of 3: making a private Python in .venv")
    run([sys.executable, "-m", "venv", "--clear", venv])
    python = python_of(venv)
    say("2 of 3: installing the packages of requirements.txt (600 MB; one to three minutes)")
    run([python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
         "-r", os.path.join(root, "requirements.txt")])
    say("3 of 3: telling it where vmio is")
    # A .pth file rather than `pip install -e`: no build, no second download, the same on all systems.
    run([python, "-c", "import os, sys, sysconfig\n"
                       "path = os.path.join(sysconfig.get_path('purelib'), 'vmio.pth')\n"
                       "open(path, 'w', encoding='utf-8').write(sys.argv[1] + '\\n')", os.path.abspath(root)])
    with open(os.path.join(venv, "vmio-stamp"), "w") as file:
        file.write(fingerprint(root))
    return True


def no_questions(venv=VENV):
    """Settings of the private Python's JupyterLab: it asks nobody about news, and looks for no updates."""
    folder = os.path.join(venv, "share", "jupyter", "lab", "settings")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "overrides.json"), "w") as file:
        file.write('{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}\n')


def lab_command(python, passed, root=ROOT):
    """JupyterLab on the first lesson, for this machine only, with its token."""
    command = [python, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1",
               "--ServerApp.root_dir=" + os.path.join(root, "notebooks"),
               "--LabApp.default_url=/lab/tree/00_start_here.ipynb",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command + passed


def test_command(python, passed):
    """Everything, the notebooks under strict nbval with a limit on each cell."""
    return [python, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"] + passed


def main(arguments):
    try:
        what, passed = parse(arguments)
        if what == "help":
            print(USAGE)
            return 0
        check_python()
        set_up()
    except Refusal as refusal:
        sys.stderr.write("lab.py: %s\n" % refusal)
        return 2
    except subprocess.CalledProcessError as error:
        sys.stderr.write("lab.py: the set-up did not finish (exit code %d, see above); "
                         "check the network and run it again.\n" % error.returncode)
        return 1
    python = python_of(VENV)
    command = test_command(python, passed) if what == "test" else lab_command(python, passed)
    environment = dict(os.environ)
    environment.pop("PYTHONHOME", None)
    if what == "test":
        environment["VMIO_STRICT"] = "1"
    else:
        no_questions()
        say("opening the first lesson: Run > Run All Cells, then drag a slider; Ctrl-C here stops it")
    try:
        return subprocess.call(command, cwd=ROOT, env=environment)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
