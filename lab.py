"""The lab with one command: `python3 lab.py` opens it, `python3 lab.py test` proves it.

Both first make a private Python in .venv beside this file and install into it
what requirements.txt pins; the second time that takes no time.  This file and
those of labkit must be readable by old Pythons, so that they can say what is
missing: no f-strings.
"""

import os
import shutil
import signal
import sys
import tempfile

ROOT = os.path.dirname(os.path.abspath(__file__) if os.name == "nt" else os.path.realpath(__file__))
sys.path.insert(0, ROOT)

from labkit import Refusal, archive, child, environment, pip, site, students, venv as private_python, work  # noqa: E402

VENV = os.path.join(ROOT, ".venv")
OLDEST = (3, 11)
WORK = "VMIO_WORK"      # tells the kernels where the student's copies and guesses are
SEED = "VMIO_SEED"      # tells them which numbers the student's questions have (vmio/seed.py)
USAGE = """\
usage: python3 lab.py [--port N] [--no-browser]   open the lab in JupyterLab
       python3 lab.py --student NAME              the same, with numbers of your own; said once
       python3 lab.py reset NN                    begin lesson NN anew; your copy is kept under another name
       python3 lab.py teacher DIR [NN ...]        make solutions, slides and hand-outs in a new folder
       python3 lab.py test [pytest arguments]     run every test
       python3 lab.py site DIR [--runtime WHERE]  make the course as static files, for a browser alone; WHERE says where its
                                                  Python comes from: public (the default), npm, or a folder
       python3 lab.py pages DIR                   make each live panel as a page of its own, in a new folder
       python3 lab.py wheels DIR                  collect the packages in a folder
       python3 lab.py archive FILE.zip            the course and its packages in one file, for a room without a network
       python3 lab.py --wheels DIR ...            take the packages from it, without a network"""


class Wish(object):
    """What the user asked for: `what` is lab, reset, teacher, site, pages, test, wheels, archive or help, `passed` goes on, `wheels` replaces the network, `student` is a name."""

    def __init__(self, what, passed=(), wheels=None, student=None):
        self.what, self.passed, self.wheels, self.student = what, list(passed), wheels, student

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return "Wish(%r, %r, %r, %r)" % (self.what, self.passed, self.wheels, self.student)


def folder_of_wheels(folder):
    """Return the full path of a folder that holds wheels; raises Refusal for anything else."""
    if not os.path.isdir(folder):
        raise Refusal("--wheels is '%s'; it must be a folder that `python3 lab.py wheels DIR` made." % folder)
    if not any(name.endswith(".whl") for name in os.listdir(folder)):
        raise Refusal("--wheels is '%s', and there is no wheel (*.whl) in it." % folder)
    return os.path.abspath(folder)


def where(source):
    """Return where a site's Python comes from: public, npm, or a folder's full path; raises Refusal for anything else."""
    if source in ("public", "npm"):
        return source
    if not os.path.isdir(source):
        raise Refusal("--runtime is '%s'; it must be public, npm, or a folder that holds Pyodide." % source)
    return os.path.abspath(source)


def parse(arguments):
    """Return the Wish that arguments express; raises Refusal."""
    passed, wheels, student, rest = [], None, None, list(arguments)

    def value(word):
        """The value of an option, which follows it after a space or an equals sign."""
        return word.split("=", 1)[1] if "=" in word else (rest.pop(0) if rest else "")

    while rest:
        word = rest.pop(0)
        name = word.split("=", 1)[0]
        if word in ("-h", "--help", "help"):
            return Wish("help")
        elif name == "--wheels":
            wheels = folder_of_wheels(value(word))
        elif name == "--student":
            student = value(word)
        elif word in ("test", "wheels", "reset", "teacher", "site", "pages", "archive") and student is not None:
            raise Refusal("--student says whose lessons are opened, and has no effect beside %s.\n%s" % (word, USAGE))
        elif word == "test" and not passed:
            while rest and rest[0].split("=", 1)[0] == "--wheels":
                wheels = folder_of_wheels(value(rest.pop(0)))
            return Wish("test", rest, wheels)
        elif word == "wheels" and not passed:
            if len(rest) != 1 or rest[0].startswith("-"):
                raise Refusal("wheels needs the name of one folder.\n" + USAGE)
            return Wish("wheels", [os.path.abspath(rest[0])], wheels)
        elif word == "reset" and not passed:
            if len(rest) != 1 or rest[0].startswith("-"):
                raise Refusal("reset needs the number of one lesson.\n" + USAGE)
            return Wish("reset", [work.named(ROOT, rest[0])], wheels)
        elif word == "teacher" and not passed:
            if not rest or rest[0].startswith("-"):
                raise Refusal("teacher needs the name of a new folder.\n" + USAGE)
            return Wish("teacher", [os.path.abspath(rest[0])] + rest[1:], wheels)
        elif word == "archive" and not passed:
            if len(rest) != 1 or rest[0].startswith("-"):
                raise Refusal("archive needs the name of one file.\n" + USAGE)
            return Wish("archive", [os.path.abspath(rest[0])], wheels)
        elif word == "pages" and not passed:
            if len(rest) != 1 or rest[0].startswith("-"):
                raise Refusal("pages needs the name of a new folder.\n" + USAGE)
            return Wish("pages", [os.path.abspath(rest[0])], wheels)
        elif word == "site" and not passed:
            if not rest or rest[0].startswith("-"):
                raise Refusal("site needs the name of a new folder.\n" + USAGE)
            folder, source = os.path.abspath(rest.pop(0)), "public"
            while rest:
                word = rest.pop(0)
                if word.split("=", 1)[0] == "--runtime":
                    source = where(value(word))
                elif word.split("=", 1)[0] == "--wheels":
                    wheels = folder_of_wheels(value(word))
                else:
                    raise Refusal("'%s' is not understood after site.\n%s" % (word, USAGE))
            return Wish("site", [folder, source], wheels)
        elif word == "--no-browser":
            passed.append(word)
        elif name == "--port":
            number = value(word)
            if not number.isdigit() or not 1 <= int(number) <= 65535:
                raise Refusal("--port is '%s'; it must be a number from 1 to 65535." % number)
            passed.append("--ServerApp.port=%d" % int(number))
        else:
            raise Refusal("'%s' is not understood.\n%s" % (word, USAGE))
    return Wish("lab", passed, wheels, student)


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


def lab_command(python, passed, folder, venv=VENV):
    """Return JupyterLab's command: the first lesson in `folder`, for this machine only, with its token and .venv's kernel alone."""
    command = pip.inside(python, venv, "jupyterlab") + [
        "--ServerApp.ip=127.0.0.1", "--ServerApp.root_dir=" + folder,
        "--KernelSpecManager.allowed_kernelspecs=python3",
        "--LabApp.default_url=/lab/tree/00_start_here.ipynb",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command + passed


def test_command(python, passed):
    """Return pytest's command: the notebooks under strict nbval with a limit on each cell, and everything in a process for each core."""
    side_by_side = [] if passed else ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
    return [python, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=600"] + (passed or side_by_side)


def start(wish, student):
    """Run the lab, with a student's numbers if there is one, or the tests in the private Python until they end; returns the exit status."""
    python = private_python.python_of(VENV)
    run_folder = tempfile.mkdtemp(prefix="vmio-lab-")
    try:
        keep = environment.own_folder(VENV, run_folder)
        inner = environment.private(os.environ, VENV, keep, run_folder)
        with private_python.in_use(VENV):
            if wish.what == "test":
                inner["VMIO_STRICT"] = "1"
                inner.pop(WORK, None)
                inner.pop(SEED, None)
                # pytest ends what its tests started when Ctrl-C comes, so that is what it gets; its standard input is ours, for --pdb.
                return child.call(test_command(python, wish.passed), inner, ROOT, signal.SIGINT, None)
            if wish.what == "pages":
                return child.call([python, "-m", "vmio.lessons.pages"] + wish.passed, inner, ROOT)
            if wish.what == "teacher":
                return child.call([python, "-m", "vmio.lessons.teacher"] + wish.passed, inner, ROOT)
            inner[WORK] = folder = work.prepare(ROOT, student)
            students.settle(ROOT, folder, student)
            inner[SEED] = "%d" % (student["seed"] if student else 0)
            environment.start_kernels_with_ours(keep)
            private_python.say("opening the first lesson: Run > Run All Cells, then drag a slider; Ctrl-C here stops it")
            return child.call(lab_command(python, wish.passed, folder), inner, ROOT)
    finally:
        shutil.rmtree(run_folder, ignore_errors=True)


def do(arguments):
    """Do what the arguments say; returns the exit status.  Raises Refusal, OSError or Stopped."""
    wish = parse(arguments)
    if wish.what == "help":
        print(USAGE)
        return 0
    if wish.what == "reset":
        return work.reset(ROOT, wish.passed[0], work.ask_at_terminal, students.kept(work.folder_of(ROOT)))
    check_python()
    wish.wheels = wish.wheels or archive.beside(ROOT)
    if wish.what == "site":
        site.make(ROOT, wish.passed[0], wish.passed[1], child.run, wish.wheels)
        return 0
    student = students.chosen(work.folder_of(ROOT), wish.student, os.environ, work.ask_at_terminal) if wish.what == "lab" else None
    private_python.set_up(VENV, ROOT, child.run, wish.what == "test", wish.wheels)
    if wish.what == "wheels":
        private_python.make_wheels(VENV, ROOT, wish.passed[0], child.run)
        site.collect(ROOT, wish.passed[0], child.run)
        return 0
    if wish.what == "archive":
        archive.make(ROOT, wish.passed[0], VENV, child.run, site.collect)
        return 0
    return start(wish, student)


def main(arguments):
    """Run lab.py; what goes wrong is one sentence and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a folder's name may not fit the terminal
    try:
        return do(arguments)
    except Refusal as refusal:
        sys.stderr.write("lab.py: %s\n" % refusal)
        return refusal.status
    except child.Stopped as stopped:
        return 128 + stopped.number
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13
        sys.stderr.write("lab.py: stopped in %s: %s\n" % (ROOT, error))
        return 1


if __name__ == "__main__":
    child.Signals().listen()
    sys.exit(main(sys.argv[1:]))
