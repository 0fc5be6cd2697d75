"""What a process of the lab finds in its environment: the system's settings and ours, none of another Python's."""

import os
import tempfile

# Names that begin like this are meant for the user's other Pythons.
FOREIGN = ("PYTHON", "PIP_", "JUPYTER", "JPY_", "IPYTHON", "KERNEL_", "MPL", "MATPLOTLIB", "CONDA_", "_CE_", "MAMBA_",
           "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "PYTEST", "HYPOTHESIS", "_ARGCOMPLETE")
# What each kernel runs first: an error in a cell that runs before those above it says so.
FIRST = """\
try:
    import vmio.lab as _
except ImportError:
    pass
"""
EXTENSION = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vmio", "lab", "jupyter")
# How the user's pip gets at packages is no business of ours and stays; where and what it installs doesn't.
PIP_KEPT = ("index-url", "pypi-url", "extra-index-url", "no-index", "find-links", "proxy", "cert", "client-cert", "trusted-host",
            "timeout", "default-timeout", "retries", "resume-retries", "cache-dir", "no-cache-dir", "keyring-provider")


def without_foreign(outer):
    """Return a copy of an environment without what belongs to other Pythons, and with UTF-8 in all locales."""
    inner = dict((name, value) for name, value in outer.items() if not name.upper().startswith(FOREIGN))
    inner.update(PYTHONNOUSERSITE="1", PYTHONUTF8="1")
    return inner


def pip_name(option):
    """Return the environment variable that sets an option of pip."""
    return "PIP_" + option.upper().replace("-", "_")


def kept_pip_settings(outer):
    """Return those of pip's variables in an environment that say how to get at packages."""
    names = [pip_name(option) for option in PIP_KEPT]
    return dict((name, outer[name]) for name in names if name in outer)


def scripts_of(venv):
    """Return the folder of a virtual environment that holds its programs."""
    return os.path.join(venv, "Scripts" if os.name == "nt" else "bin")


def may_write(folder):
    """Return whether this user may make files in an existing folder."""
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def own_folder(venv, run_folder):
    """Return the folder for what JupyterLab keeps (settings, layout, history): in the venv if that is ours, else `run_folder`."""
    folder = os.path.join(venv, "home")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if hasattr(os, "geteuid") and os.stat(folder).st_uid != os.geteuid():
            return run_folder  # somebody else's: Jupyter wants to own what it writes
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return run_folder
    return folder


def private(outer, venv, keep, run_folder):
    """Return the environment for JupyterLab, its kernels and the tests.

    `keep` outlives a run, `run_folder` ends with it.  JupyterLab, IPython and
    matplotlib look there for what they would look up in the user's home.
    """
    inner = without_foreign(outer)
    inner.update(kept_pip_settings(outer))
    inner.update({
        "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # for a student's %pip
        "VIRTUAL_ENV": venv,  # IPython puts the packages of the one named here before its own
        "PATH": scripts_of(venv) + os.pathsep + outer.get("PATH", os.defpath),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_PATH": EXTENSION,      # a panel without its kernel says what to run
        "JUPYTER_RUNTIME_DIR": os.path.join(run_folder, "runtime"),
        "JUPYTER_CONFIG_DIR": os.path.join(keep, "config"),
        "JUPYTER_DATA_DIR": os.path.join(keep, "data"),
        "JUPYTERLAB_SETTINGS_DIR": os.path.join(keep, "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": os.path.join(keep, "workspaces"),
        "IPYTHONDIR": os.path.join(keep, "ipython"),
        "MPLCONFIGDIR": os.path.join(keep, "matplotlib"),
    })
    if not may_write(os.path.expanduser("~")):
        inner["USERPROFILE" if os.name == "nt" else "HOME"] = keep
    return inner


def start_kernels_with_ours(keep):
    """Write what each kernel runs before its first cell."""
    folder = os.path.join(keep, "ipython", "profile_default", "startup")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "00-vmio.py"), "w", encoding="utf-8") as file:
        file.write(FIRST)
