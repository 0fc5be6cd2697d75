"""lab.py for real: JupyterLab and a kernel, with all that a user may have set up for other work; and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.lab_rig import checkout, running
from vmio.lessons.course import COURSE

WHERE = "import sys, os, vmio, numpy; print(sys.executable, vmio.__file__, numpy.__version__ != '0', os.environ['MPLCONFIGDIR'], os.environ['VMIO_WORK'], sep='\\n')"
pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    pytest.importorskip("jupyterlab")
    return checkout(tmp_path_factory.mktemp("lab") / "a käse 100%")


def leaks(folder):
    """An environment and a home as they may be on a computer that is used for other work, too."""
    def write(text, *path):
        file = folder.joinpath(*path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    kernel = json.dumps({"argv": ["/usr/bin/python3", "-m", "nothing", "{connection_file}"], "display_name": "theirs", "language": "python"})
    write("raise ImportError('an older checkout')", "path", "vmio", "__init__.py")
    write("__version__ = '0'", "path", "numpy", "__init__.py")
    write("raise ImportError('of another Python')", "path", "jupyterlab", "__init__.py")
    write(kernel, "jupyter", "kernels", "python3", "kernel.json")
    write(kernel, "home", ".local", "share", "jupyter", "kernels", "python3", "kernel.json")
    write(kernel, "home", "Library", "Jupyter", "kernels", "python3", "kernel.json")
    for name in ("jupyter_server_config", "jupyter_config", "jupyter_lab_config"):
        for place in (("home", ".jupyter"), ("config",)):
            write("c.IdentityProvider.token = ''\nc.ServerApp.token = ''\nc.ServerApp.allow_unauthenticated_access = True\n"
                  "c.ServerApp.ip = '0.0.0.0'\n", *place, name + ".py")
    write("raise SystemExit('theirs')", "home", ".ipython", "profile_default", "startup", "00.py")
    write("c.InteractiveShellApp.exec_lines = ['import vmio; vmio.__file__ = 0']", "home", ".ipython", "profile_default", "ipython_config.py")
    write("backend: nothing\n", "home", ".config", "matplotlib", "matplotlibrc")
    site = "other/lib/python%d.%d/site-packages" % sys.version_info[:2]
    write("raise ImportError('of another virtual environment')", *site.split("/"), "vmio", "__init__.py")
    return {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "USERPROFILE": str(folder / "home"),
            **{name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMP", "TMPDIR") if name in os.environ},
            "PYTHONPATH": str(folder / "path"), "JUPYTER_PATH": str(folder / "jupyter"), "JUPYTER_PREFER_ENV_PATH": "0",
            "JUPYTER_CONFIG_PATH": str(folder / "config"), "JUPYTER_TOKEN": "theirs", "VIRTUAL_ENV": str(folder / "other"),
            "JUPYTER_SERVER_ALLOW_UNAUTHENTICATED_ACCESS": "1", "CONDA_PREFIX": str(folder / "other"), "CONDA_DEFAULT_ENV": "theirs",
            "MPLBACKEND": "TkAgg", "MATPLOTLIBRC": str(folder / "home/.config/matplotlib"), "PYTHONSTARTUP": str(folder / "none.py"),
            "PYTHONWARNINGS": "error", "PIP_USER": "1"}


def alive(pid):
    """Whether a process runs (a zombie doesn't)."""
    answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return answer != "" and not answer.startswith("Z")


def gone(*pids):
    """Whether processes end within half a minute."""
    for _ in range(300):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.1)
    return False


def test_nothing_that_the_user_has_reaches_a_kernel(root, tmp_path):
    environment = leaks(tmp_path)
    with running(root, environment) as server:
        python, package, numpy, matplotlib, work = server.printed(server.kernel(), WHERE).splitlines()
        assert server.ask("/api/contents")[0] == 403 and server.ask("/api/contents", "theirs")[0] == 403
        status, contents = server.ask("/api/contents", server.token)
        kernels = server.ask("/api/kernelspecs", server.token)[1]["kernelspecs"]
    assert os.path.dirname(os.path.dirname(python)) == str(root / ".venv")
    assert package == str(root / "vmio" / "__init__.py") and numpy == "True"
    assert work == str(root / "work")
    assert matplotlib.startswith(str(root / ".venv"))
    assert status == 200 and COURSE.notebook("start_here") in [one["name"] for one in contents["content"]]
    assert not [one["name"] for one in contents["content"] if not one["name"].endswith(".ipynb")]    # no solutions in sight
    assert list(kernels) == ["python3"] and kernels["python3"]["spec"]["display_name"] != "theirs"


@posix
def test_a_signal_to_lab_py_ends_jupyterlab_and_its_kernels(root):
    with running(root, dict(os.environ)) as server:
        kernel, parent = map(int, server.printed(server.kernel(), "import os; print(os.getpid(), os.getppid())").split())
        assert alive(kernel) and alive(parent)
        assert server.end(signal.SIGTERM) == 143
        assert gone(kernel, parent)


@posix
def test_jupyterlab_does_not_outlive_a_killed_lab_py(root):
    with running(root, dict(os.environ)) as server:
        kernel, parent = map(int, server.printed(server.kernel(), "import os; print(os.getpid(), os.getppid())").split())
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        assert gone(kernel, parent)
