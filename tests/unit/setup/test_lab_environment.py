"""What the user has in the environment for other Pythons, and what of it reaches the lab: nothing."""

import os

import pytest

from labkit import environment

FOREIGN = """PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONWARNINGS PYTHONSAFEPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT
PIP_REQUIRE_VIRTUALENV PIP_CONFIG_FILE JUPYTER_PATH JUPYTER_CONFIG_PATH JUPYTER_TOKEN JUPYTER_TOKEN_FILE JUPYTER_NO_CONFIG
JUPYTER_GATEWAY_URL JUPYTER_SERVER_ALLOW_UNAUTHENTICATED_ACCESS JUPYTER_PORT JUPYTERLAB_DIR JUPYTERHUB_SERVICE_PREFIX JPY_PARENT_PID
IPYTHON_SUPPRESS_CONFIG_ERRORS MATPLOTLIBRC MPLBACKEND CONDA_PREFIX CONDA_DEFAULT_ENV _CE_CONDA MAMBA_ROOT_PREFIX VIRTUAL_ENV_PROMPT
__PYVENV_LAUNCHER__ PYTEST_ADDOPTS PYTEST_PLUGINS HYPOTHESIS_PROFILE KERNEL_USERNAME""".split()


@pytest.fixture
def outer(tmp_path):
    return {**{name: "theirs" for name in FOREIGN}, "PATH": "/usr/bin", "LANG": "C", "CI": "1", "VMIO_KVM": "none",
            "HTTPS_PROXY": "http://proxy.example", "PIP_INDEX_URL": "https://index.example"}


def test_nothing_of_another_python_is_left(outer, tmp_path):
    inner = environment.private(outer, str(tmp_path / ".venv"), str(tmp_path / "keep"), str(tmp_path / "run"))
    assert "theirs" not in inner.values()
    assert {name: inner[name] for name in ("LANG", "CI", "VMIO_KVM", "HTTPS_PROXY", "PIP_INDEX_URL")} == {
        "LANG": "C", "CI": "1", "VMIO_KVM": "none", "HTTPS_PROXY": "http://proxy.example", "PIP_INDEX_URL": "https://index.example"}
    assert inner["PIP_USER"] == "0" and inner["PYTHONNOUSERSITE"] == "1" and inner["JUPYTER_PREFER_ENV_PATH"] == "1"


def test_programs_of_the_private_python_come_first(outer, tmp_path):
    venv = str(tmp_path / ".venv")
    inner = environment.private(outer, venv, str(tmp_path), str(tmp_path))
    assert inner["PATH"] == environment.scripts_of(venv) + os.pathsep + "/usr/bin" and inner["VIRTUAL_ENV"] == venv


def test_what_jupyter_writes_is_not_in_the_users_home(outer, tmp_path):
    keep, run = str(tmp_path / "keep"), str(tmp_path / "run")
    inner = environment.private(outer, str(tmp_path / ".venv"), keep, run)
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        assert os.path.dirname(inner[name]) == keep
    assert os.path.dirname(inner["JUPYTER_RUNTIME_DIR"]) == run


@pytest.mark.parametrize("home, given", [("here", "here"), ("nowhere", "keep")])
def test_a_home_that_is_none_is_replaced(outer, tmp_path, monkeypatch, home, given):
    (tmp_path / "here").mkdir()
    name = "USERPROFILE" if os.name == "nt" else "HOME"
    monkeypatch.setenv(name, str(tmp_path / home))
    outer[name] = str(tmp_path / home)
    inner = environment.private(outer, str(tmp_path / ".venv"), str(tmp_path / "keep"), str(tmp_path / "run"))
    assert inner[name] == str(tmp_path / given)


def test_layout_is_kept_where_the_checkout_is_ours(tmp_path, monkeypatch):
    assert environment.own_folder(str(tmp_path), "run") == str(tmp_path / "home") and (tmp_path / "home").is_dir()
    (tmp_path / "file").write_text("")
    assert environment.own_folder(str(tmp_path / "file"), "run") == "run"
    if hasattr(os, "geteuid"):
        monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
        assert environment.own_folder(str(tmp_path), "run") == "run"


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, how: False)
    assert not environment.may_write(str(tmp_path)) and not environment.may_write(str(tmp_path / "nowhere"))


def test_kernels_know_the_lab_before_their_first_cell(tmp_path):
    environment.start_kernels_with_ours(str(tmp_path))
    environment.start_kernels_with_ours(str(tmp_path))
    first, = (tmp_path / "ipython" / "profile_default" / "startup").iterdir()
    assert first.read_text(encoding="utf-8").startswith("try:\n    import vmio.lab as _\n")
