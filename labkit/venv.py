"""The private Python in .venv: made once, whole or not at all, by one lab.py at a time.

It is built beside its place and renamed when it is whole, so that what works is
replaced only by what works.  Nothing in it depends on the checkout's name,
except the programs in its bin, which are written anew when the folder moved.
"""

import glob
import hashlib
import os
import shutil
import sys
import sysconfig
import time
import uuid
from contextlib import contextmanager

from labkit import NotDone, Refusal, environment, pip

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

STAMP, TESTS_STAMP, TESTS_BEGUN, PLACE = "vmio-stamp", "vmio-tests-stamp", "vmio-tests-begun", "vmio-place"
LAYOUT = "2"  # change it when an older lab.py's .venv no longer does
OVERRIDES = '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}\n'


def say(text):
    """Print one line of lab.py's own."""
    sys.stdout.write("lab.py: %s\n" % text)
    sys.stdout.flush()


def python_of(venv):
    """Return the interpreter of a virtual environment."""
    return os.path.join(environment.scripts_of(venv), "python.exe" if os.name == "nt" else "python")


def class_list(root):
    """Return the file that lists what the class needs."""
    return os.path.join(root, "requirements.txt")


def tests_list(root):
    """Return the file that lists what the tests need on top."""
    return os.path.join(root, "tests", "requirements.txt")


def fingerprint(file):
    """Return what an installation depends on: the pins in `file`, and for which Python and system they were chosen."""
    with open(file, "rb") as opened:
        pins = opened.read()
    kind = "%s %s %d.%d %s" % (LAYOUT, sys.implementation.name, sys.version_info[0], sys.version_info[1], sysconfig.get_platform())
    return hashlib.sha256(pins + kind.encode()).hexdigest()


def content(*path):
    """Return a small file's text, or None when there is none."""
    try:
        with open(os.path.join(*path), "rb") as file:
            return file.read().decode("utf-8", "surrogateescape")
    except (IOError, OSError):
        return None


def write(text, *path):
    """Write a small file."""
    with open(os.path.join(*path), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def alive(venv, run):
    """Return whether the private Python starts and finds its packages (its base may be gone or of another version)."""
    python = python_of(venv)
    try:
        return os.path.exists(python) and run(pip.inside(python, venv, "check"), environment.without_foreign(os.environ))[0] == 0
    except OSError:
        return False


def ready(venv, root, run, tests=False):
    """Return whether `venv` was finished for exactly these pins and this Python, and still runs."""
    return (content(venv, STAMP) == fingerprint(class_list(root))
            and (not tests or content(venv, TESTS_STAMP) == fingerprint(tests_list(root)))
            and alive(venv, run))


def refuse_impossible(venv, root):
    """Raise Refusal for a place in which no private Python can be made."""
    if os.pathsep in venv:
        raise Refusal("The folder %s has a '%s' in its name, and Python can make no virtual environment in such a folder: "
                      "rename it, or move vmio to another one." % (root, os.pathsep))
    if not environment.may_write(root):
        raise Refusal("No .venv in %s is finished, or you cannot run it, and you may not write there: copy the folder to a place that is your "
                      "own, or let its owner run `python3 lab.py` once." % root)


def held(file, shared=False):
    """Return whether this process now holds the lock on an open file.  It ends with the process, however that ends."""
    if fcntl is None:
        import msvcrt
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: each builds in a folder of its own all the same
    return True


@contextmanager
def lock(venv):
    """Let one lab.py at a time change `venv`."""
    with open(venv + ".lock", "a") as file:
        told = False
        while not held(file):
            if not told:
                say("another lab.py is making %s: waiting for it" % os.path.basename(venv))
                told = True
            time.sleep(0.2)
        yield


@contextmanager
def in_use(venv):
    """Keep another lab.py from replacing `venv` while the lab or the tests run in it."""
    file = None if fcntl is None else open(os.path.join(venv, STAMP), "rb")
    try:
        if file:
            held(file, shared=True)
        yield
    finally:
        if file:
            file.close()


@contextmanager
def not_in_use(venv):
    """Raise Refusal if the lab runs in `venv`, and let none start until it is replaced."""
    file = None
    if fcntl is not None and content(venv, STAMP) is not None:
        file = open(os.path.join(venv, STAMP), "rb")
        if not held(file):
            file.close()
            raise Refusal("The packages changed, and the lab is still running in %s: end it there, then run this again." % venv)
    try:
        yield
    finally:
        if file:
            file.close()


def remove(path):
    """Remove a folder of ours; what a file system keeps back stays until the next time."""
    shutil.rmtree(path, ignore_errors=True)


def step(command, run, venv):
    """Run a step of the set-up that isn't pip; raises NotDone with the reason."""
    code, lines = run(command, environment.without_foreign(os.environ))
    if code:
        raise NotDone("the private Python was not made: " + pip.reason(lines, code, venv))


def set_up(venv, root, run, tests=False, wheels=None):
    """Make `venv` ready, for the tests too if `tests`; returns whether there was anything to do.  Raises Refusal."""
    if ready(venv, root, run, tests) and not (moved(venv) and environment.may_write(venv)):
        return False
    if not ready(venv, root, run):
        refuse_impossible(venv, root)
    with lock(venv):
        if not ready(venv, root, run):
            with not_in_use(venv):
                build(venv, root, run, tests, wheels)
        elif tests and not ready(venv, root, run, tests):
            add_tests(venv, root, run, wheels)
        elif not moved(venv):
            return False  # the one that we waited for did it
        if moved(venv):
            put(venv, run)
    return True


def build(venv, root, run, tests, wheels):
    """Build a new private Python beside `venv` and put it there when it is whole."""
    for left in glob.glob(glob.escape(venv) + ".new-*") + glob.glob(glob.escape(venv) + ".old-*"):
        remove(left)  # of a set-up that was killed; we hold the lock
    new = "%s.new-%s" % (venv, uuid.uuid4().hex[:8])
    files = [class_list(root)] + ([tests_list(root)] if tests else [])
    try:
        say("1 of 3: making a private Python in %s" % os.path.basename(venv))
        step([sys.executable, "-I", "-m", "venv", "--prompt", "vmio", new], run, new)
        say("2 of 3: installing the packages of requirements.txt (%s; one to three minutes)"
            % ("690 MB with those of the tests" if tests else "420 MB"))
        pip.install(python_of(new), new, files, os.environ, run, wheels)
        say("3 of 3: compiling them, and telling it where vmio is")
        step(pip.inside(python_of(new), new, "finish"), run, new)
        no_questions(new)
        if tests:
            write(fingerprint(tests_list(root)), new, TESTS_STAMP)
        write(fingerprint(class_list(root)), new, STAMP)
        swap(new, venv)
    finally:
        remove(new)


def swap(new, venv):
    """Rename `new` to `venv`.  An older one of ours goes, with the user's layout kept; anything else that is there is kept whole."""
    old = None
    if os.path.lexists(venv):
        if os.path.islink(venv) or content(venv, STAMP) is None:
            number = 1
            while os.path.lexists("%s.kept-%d" % (venv, number)):
                number += 1
            os.rename(venv, "%s.kept-%d" % (venv, number))
            say("%s was not made by lab.py: it is now %s.kept-%d" % ((os.path.basename(venv),) * 2 + (number,)))
        else:
            old = "%s.old-%s" % (venv, uuid.uuid4().hex[:8])
            os.rename(venv, old)
    os.rename(new, venv)
    if old:
        if os.path.isdir(os.path.join(old, "home")):
            os.rename(os.path.join(old, "home"), os.path.join(venv, "home"))
        remove(old)


def put(venv, run):
    """Let the programs in bin and `activate` name the place where `venv` lies now."""
    python = python_of(venv)
    step([python, "-I", "-m", "venv", "--without-pip", "--prompt", "vmio", venv], run, venv)
    step(pip.inside(python, venv, "scripts"), run, venv)
    write(os.path.abspath(venv), venv, PLACE)


def moved(venv):
    """Return whether the programs in bin name another place than where `venv` lies (one that ':' makes impossible is left)."""
    try:
        return os.pathsep not in venv and not os.path.samefile(content(venv, PLACE) or "", venv)
    except OSError:
        return True


def add_tests(venv, root, run, wheels):
    """Install what only the tests need into a finished `venv`; a half that was killed is installed over."""
    half = content(venv, TESTS_BEGUN) is not None
    write("", venv, TESTS_BEGUN)
    say("installing what only the tests need, tests/requirements.txt (230 MB; a minute)")
    more = ["-c", class_list(root)] + (["--force-reinstall"] if half else [])
    pip.install(python_of(venv), venv, [tests_list(root)], os.environ, run, wheels, more)
    step(pip.inside(python_of(venv), venv, "finish"), run, venv)
    write(fingerprint(tests_list(root)), venv, TESTS_STAMP)
    os.remove(os.path.join(venv, TESTS_BEGUN))


def no_questions(venv):
    """Write settings of the private Python's JupyterLab: it asks nobody about news, and looks for no updates."""
    folder = os.path.join(venv, "share", "jupyter", "lab", "settings")
    os.makedirs(folder, exist_ok=True)
    write(OVERRIDES, folder, "overrides.json")


def make_wheels(venv, root, folder, run):
    """Fill `folder` with the wheels of all packages, for a set-up without a network; raises NotDone."""
    python = python_of(venv)
    inner = pip.user_settings(python, venv, os.environ, run)
    command = pip.inside(python, venv, "pip") + ["wheel", "--wheel-dir", folder, "-r", class_list(root), "-r", tests_list(root)]
    say("collecting the packages in %s" % folder)
    code, lines = run(command, inner)
    if code:
        raise NotDone("the folder is not complete: " + pip.reason(lines, code, folder))
    sizes = [os.path.getsize(path) for path in glob.glob(os.path.join(glob.escape(folder), "*.whl"))]
    say("%d wheels, %d MB, for Python %d.%d.%d, or a later %d.%d, on this kind of computer. There: python3 lab.py --wheels DIR"
        % ((len(sizes), sum(sizes) // 10**6) + sys.version_info[:3] + sys.version_info[:2]))
