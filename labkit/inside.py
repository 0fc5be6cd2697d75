"""The part that runs inside the private Python: `python -I inside.py VENV check|finish|scripts|pip|jupyterlab ...`.

It runs in no other Python, whatever became of VENV since lab.py looked, so that
pip can't install into the user's own.  It also ends when lab.py does: lab.py
holds the other end of our standard input.
"""

import os
import runpy
import signal
import sys
import threading
import time

PATIENCE = 15  # seconds that a server has to end its kernels


def refuse_other_python(venv):
    """End the process unless it runs in the virtual environment `venv`."""
    if sys.prefix == sys.base_prefix or not os.path.samefile(sys.prefix, venv):
        sys.exit("%s runs outside %s: nothing was done" % (sys.executable, venv))


def end_with_parent():
    """Start a thread that asks this process to end when standard input is closed, and ends it if it doesn't."""
    def wait():
        while os.read(0, 1024):
            pass
        if os.name == "nt":
            signal.raise_signal(signal.SIGTERM)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)
    threading.Thread(target=wait, daemon=True).start()


def check():
    """Raise an error unless the packages and vmio are there."""
    from importlib.util import find_spec
    for name in ("pip", "jupyterlab", "ipykernel", "vmio"):
        if find_spec(name) is None:
            sys.exit("no package %s in %s" % (name, sys.prefix))


def finish():
    """Tell the private Python that vmio lies beside it, and compile its packages on all cores.

    A relative path in a .pth file is the same in every locale, on every system
    and under every name of the checkout; and unlike `pip install -e` it builds nothing.
    """
    import sysconfig
    packages = sysconfig.get_path("purelib")
    with open(os.path.join(packages, "vmio.pth"), "w", encoding="ascii") as file:
        file.write(os.path.relpath(os.path.dirname(sys.prefix), packages) + "\n")
    compile_all(packages)


def compile_all(packages):
    """Compile what is imported; what doesn't compile is none of ours, and says so when it is imported."""
    import compileall
    import re
    tests = re.compile(r"[/\\]tests?[/\\]")
    try:
        compileall.compile_dir(packages, quiet=2, workers=0, rx=tests)
    except OSError:  # no processes to share the work
        compileall.compile_dir(packages, quiet=2, rx=tests)


def scripts():
    """Write the programs in bin (or Scripts) anew, because they name the Python by its path."""
    import re
    import sysconfig
    from importlib.metadata import entry_points
    from pip._vendor.distlib.scripts import ScriptMaker
    folder = sysconfig.get_path("scripts")
    maker = ScriptMaker(None, folder)
    maker.clobber, maker.variants, maker.set_mode = True, {""}, os.name != "nt"
    for entry in entry_points(group="console_scripts"):
        maker.make("%s = %s" % (entry.name, entry.value))
    first = re.compile(rb"\A#!(/bin/sh\n'''exec' .*\n' '''|.*python.*)\n")
    for name in os.listdir(folder):  # what a package brought as a plain script
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            text = file.read()
        if first.match(text) and not os.path.islink(path):
            with open(path, "wb") as file:
                file.write(first.sub(lambda _: maker._get_shebang("utf-8"), text))


def jupyterlab():
    """Run JupyterLab without the settings and kernels that this computer has for everybody's."""
    from jupyter_core import paths
    paths.SYSTEM_CONFIG_PATH[:] = []
    paths.SYSTEM_JUPYTER_PATH[:] = []
    from jupyterlab.labapp import main
    sys.exit(main())


if __name__ == "__main__":
    venv, what = sys.argv[1:3]
    refuse_other_python(venv)
    sys.argv[:3] = [what]
    if what == "pip":
        end_with_parent()
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    elif what == "jupyterlab":
        end_with_parent()
        jupyterlab()
    else:
        {"check": check, "finish": finish, "scripts": scripts}[what]()
