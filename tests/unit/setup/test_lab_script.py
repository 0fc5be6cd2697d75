"""lab.py without a network: what it understands, what it refuses, when it does nothing."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from vmio.lessons.course import COURSE

ROOT = Path(__file__).parents[3]
NOTEBOOK = COURSE.notebook("split_a_driver")


@pytest.fixture
def lab():
    spec = importlib.util.spec_from_file_location("lab_script", ROOT / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "numpy-1-py3-none-any.whl").write_bytes(b"")
    return str(folder)


@pytest.mark.parametrize("arguments, what, passed", [
    ([], "lab", []),
    (["--no-browser", "--port", "9000"], "lab", ["--no-browser", "--ServerApp.port=9000"]),
    (["--port=9000"], "lab", ["--ServerApp.port=9000"]),
    (["test", "-k", "uart", "--port"], "test", ["-k", "uart", "--port"]),
    (["site", str(ROOT / "new")], "site", [str(ROOT / "new"), "public"]),
    (["site", str(ROOT / "new"), "--runtime", "npm"], "site", [str(ROOT / "new"), "npm"]),
    (["site", str(ROOT / "new"), f"--runtime={ROOT / 'data'}"], "site", [str(ROOT / "new"), str(ROOT / "data")]),
    (["pages", str(ROOT / "new")], "pages", [str(ROOT / "new")]),
    (["archive", str(ROOT / "new.zip")], "archive", [str(ROOT / "new.zip")]),
    (["--help"], "help", []),
    (["reset", NOTEBOOK[:2]], "reset", [str(ROOT / "notebooks" / NOTEBOOK)]),
])
def test_understands(lab, arguments, what, passed):
    assert lab.parse(arguments) == lab.Wish(what, passed)


@pytest.mark.parametrize("words", [["--student", "Anna Maier"], ["--student=Anna Maier"]])
def test_takes_a_students_name_for_the_lab_alone(lab, words):
    assert lab.parse([*words, "--no-browser"]) == lab.Wish("lab", ["--no-browser"], None, "Anna Maier")
    for other in (["test"], ["wheels", "w"], ["teacher", "kit"], ["reset", NOTEBOOK[:2]]):
        with pytest.raises(lab.Refusal, match=f"has no effect beside {other[0]}"):
            lab.parse([*words, *other])
    assert lab.parse(["--student"]).student == "", "said without a name it is refused with its own sentence"


@pytest.mark.parametrize("before, after, what, passed", [
    ([], [], "lab", []),
    (["--no-browser"], [], "lab", ["--no-browser"]),
    ([], ["test", "-x"], "test", ["-x"]),
    (["test"], ["-x"], "test", ["-x"]),
])
def test_takes_a_folder_of_wheels(lab, wheels, before, after, what, passed):
    assert lab.parse(before + ["--wheels", wheels] + after) == lab.Wish(what, passed, wheels)
    assert lab.parse(before + ["--wheels=" + wheels] + after) == lab.Wish(what, passed, wheels)


def test_a_relative_folder_of_the_kit_is_the_users(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lab.parse(["teacher", "kit", "1"]) == lab.Wish("teacher", [str(tmp_path / "kit"), "1"])


def test_a_relative_folder_of_wheels_is_the_users(lab, wheels, monkeypatch):
    monkeypatch.chdir(Path(wheels).parent)
    assert lab.parse(["--wheels", "wheels"]).wheels == wheels
    assert lab.parse(["wheels", "new"]).passed == [str(Path(wheels).parent / "new")]


@pytest.mark.parametrize("arguments, message", [
    (["--port", "99999"], "--port is '99999'; it must be a number from 1 to 65535"),
    (["--port"], "--port is ''"),
    (["--ip=0.0.0.0"], "'--ip=0.0.0.0' is not understood"),
    (["tset"], "'tset' is not understood"),
    (["--wheels", "nowhere"], "--wheels is 'nowhere'; it must be a folder that `python3 lab.py wheels DIR` made"),
    (["--wheels"], "--wheels is ''"),
    (["--wheels", str(ROOT / "data")], "there is no wheel (*.whl) in it"),
    (["wheels"], "wheels needs the name of one folder"),
    (["reset"], "reset needs the number of one lesson"),
    (["teacher"], "teacher needs the name of a new folder"),
    (["site"], "site needs the name of a new folder"),
    (["site", "new", "--runtime", "nowhere"], "--runtime is 'nowhere'; it must be public, npm, or a folder"),
    (["site", "new", "--port", "1"], "'--port' is not understood after site"),
    (["archive"], "archive needs the name of one file"),
    (["pages"], "pages needs the name of a new folder"),
    (["teacher", "--all"], "teacher needs the name of a new folder"),
    (["reset", "--all"], "reset needs the number of one lesson"),
    (["reset", "42"], "there is no lesson '42'; there are 00, 01,"),
])
def test_refuses_in_a_sentence(lab, arguments, message, capsys):
    with pytest.raises(lab.Refusal) as refused:
        lab.parse(arguments)
    assert message in str(refused.value)
    assert lab.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_says_which_python_it_needs(lab):
    with pytest.raises(lab.Refusal, match="needs Python 3.11 or newer; this is 3.9"):
        lab.check_python((3, 9, 1))
    lab.check_python((3, 11, 0))


@pytest.mark.parametrize("file", ["lab.py"] + ["labkit/%s.py" % name for name in ("__init__", "archive", "child", "environment", "pip", "site", "venv", "work")])
def test_old_pythons_can_read_it(file):
    tree = ast.parse((ROOT / file).read_text(encoding="ascii"), feature_version=(3, 4))
    assert not any(isinstance(node, (ast.JoinedStr, ast.NamedExpr, ast.AnnAssign)) for node in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert not node.args.kwonlyargs and not any(isinstance(one, ast.Nonlocal) for one in ast.walk(node))
        if isinstance(node, ast.Raise):
            assert node.cause is None


def test_the_users_modules_are_not_taken_for_its_own(tmp_path):
    (tmp_path / "labkit").mkdir()
    (tmp_path / "labkit" / "__init__.py").write_text("raise SystemExit('the wrong labkit')")
    for name, value in (("PYTHONPATH", str(tmp_path)), ("PYTHONSAFEPATH", "1")):
        answer = subprocess.run([sys.executable, str(ROOT / "lab.py"), "--help"], cwd=tmp_path, capture_output=True, text=True,
                                env={name: value})
        assert (answer.returncode, answer.stderr) == (0, "") and answer.stdout.startswith("usage: python3 lab.py")


def test_works_through_a_link(tmp_path):
    link = tmp_path / "lab.py"
    try:
        link.symlink_to(ROOT / "lab.py")
    except OSError:
        pytest.skip("no symbolic links here")
    assert subprocess.run([sys.executable, str(link), "--help"], capture_output=True).returncode == 0


def test_lab_stays_on_this_machine_and_keeps_its_token(lab):
    command = lab.lab_command("python", ["--no-browser"], "the folder")
    assert "--ServerApp.ip=127.0.0.1" in command and command[-1] == "--no-browser"
    assert "--KernelSpecManager.allowed_kernelspecs=python3" in command
    assert not any("token" in word or "password" in word for word in command)


def test_tests_run_the_notebooks_strictly(lab):
    command = lab.test_command(sys.executable, ["-x"])
    assert "--nbval" in command and "--nbval-lax" not in command and command[-1] == "-x" and "-n" not in command
    whole = lab.test_command(sys.executable, [])
    assert "--nbval" in whole and whole[-5:] == ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]


@pytest.mark.parametrize("error, status, message", [
    (OSError(28, "No space left on device", "/x"), 1, "No space left on device"),
    (BrokenPipeError(), 141, ""),
])
def test_what_the_system_refuses_is_a_sentence(lab, error, status, message, monkeypatch, capfd):
    def fails(arguments):
        raise error
    monkeypatch.setattr(lab, "do", fails)
    monkeypatch.setattr(lab.sys, "stdout", open("/dev/null" if sys.platform != "win32" else "nul", "w"))
    assert lab.main([]) == status
    printed = capfd.readouterr().err
    assert message in printed and "Traceback" not in printed
