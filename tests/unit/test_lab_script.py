"""lab.py without a network: what it understands, what it refuses, when it does nothing."""

import ast
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "lab.py"


@pytest.fixture
def lab():
    spec = importlib.util.spec_from_file_location("lab_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    (tmp_path / "requirements.txt").write_text("numpy==1\n")
    return tmp_path


def pretend(calls, fail_at=None):
    """Stands for subprocess.check_call: makes the venv's folder and interpreter, installs nothing."""
    def run(command):
        calls.append(command)
        if fail_at is not None and len(calls) == fail_at:
            raise OSError("no network")
        if "venv" in command:
            python = Path(command[-1]) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.write_text("")
    return run


@pytest.mark.parametrize("arguments, result", [
    ([], ("lab", [])),
    (["--no-browser", "--port", "9000"], ("lab", ["--no-browser", "--ServerApp.port=9000"])),
    (["--port=9000"], ("lab", ["--ServerApp.port=9000"])),
    (["test", "-k", "uart", "--port"], ("test", ["-k", "uart", "--port"])),
    (["--help"], ("help", [])),
])
def test_understands(lab, arguments, result):
    assert lab.parse(arguments) == result


@pytest.mark.parametrize("arguments, message", [
    (["--port", "99999"], "--port is '99999'; it must be a number from 1 to 65535"),
    (["--port"], "--port is ''"),
    (["--ip=0.0.0.0"], "'--ip=0.0.0.0' is not understood"),
    (["tset"], "'tset' is not understood"),
])
def test_refuses_in_a_sentence(lab, arguments, message, capsys):
    with pytest.raises(lab.Refusal, match=message.replace("(", r"\(")):
        lab.parse(arguments)
    assert lab.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_says_which_python_it_needs(lab):
    with pytest.raises(lab.Refusal, match="needs Python 3.11 or newer; this is 3.9"):
        lab.check_python((3, 9, 1))
    lab.check_python((3, 11, 0))


def test_old_pythons_can_read_it():
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 4))
    assert not any(isinstance(node, (ast.JoinedStr, ast.NamedExpr, ast.AnnAssign)) for node in ast.walk(tree))


def test_second_time_does_nothing(lab, root):
    calls, venv = [], str(root / ".venv")
    assert lab.set_up(venv, str(root), pretend(calls)) and len(calls) == 3
    assert not lab.set_up(venv, str(root), pretend(calls)) and len(calls) == 3


def test_new_pins_are_installed(lab, root):
    calls, venv = [], str(root / ".venv")
    lab.set_up(venv, str(root), pretend(calls))
    (root / "requirements.txt").write_text("numpy==2\n")
    assert lab.set_up(venv, str(root), pretend(calls))


def test_a_half_made_one_is_made_again(lab, root):
    calls, venv = [], str(root / ".venv")
    with pytest.raises(OSError):
        lab.set_up(venv, str(root), pretend(calls, fail_at=2))
    assert not lab.ready(venv, str(root))
    assert lab.set_up(venv, str(root), pretend(calls))


def test_lab_stays_on_this_machine_and_keeps_its_token(lab):
    command = lab.lab_command("python", ["--no-browser"])
    assert "--ServerApp.ip=127.0.0.1" in command and command[-1] == "--no-browser"
    assert not any("token" in word or "password" in word for word in command)


def test_jupyterlab_asks_nothing(lab, tmp_path):
    lab.no_questions(str(tmp_path))
    lab.no_questions(str(tmp_path))
    settings = json.loads((tmp_path / "share/jupyter/lab/settings/overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"] == {"fetchNews": "false", "checkForUpdates": False}


def test_tests_run_the_notebooks_strictly(lab):
    command = lab.test_command(sys.executable, ["-x"])
    assert "--nbval" in command and "--nbval-lax" not in command and command[-1] == "-x"
