"""The private Python of lab.py, with a pretended venv and pip: whole or not at all, one at a time, nothing of the user's lost."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labkit import NotDone, Refusal, venv as private

ROOT = Path(__file__).parents[3]


class Pretended:
    """Stands for `child.run`: makes a venv's folder and interpreter, and installs nothing."""

    def __init__(self, fail=None, output=(), before=None):
        self.commands, self.environments, self.fail, self.output, self.before = [], [], fail, output, before

    def __call__(self, command, environment, heard=None):
        words = " ".join(command)
        if "inside.py" in words and "check" in command:
            return (0 if Path(command[0]).exists() else 1), []
        self.commands.append(command)
        self.environments.append(environment)
        if self.before:
            self.before(command)
        if self.fail and self.fail in command:
            return 1, list(self.output)
        if "venv" in command and "--without-pip" not in command:
            python = Path(private.python_of(command[-1]))
            python.parent.mkdir(parents=True)
            python.write_text("")
        return 0, []

    def count(self, word):
        return sum(word in command for command in self.commands)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "vmio"
    (root / "tests").mkdir(parents=True)
    (root / "requirements.txt").write_text("numpy==1\n")
    (root / "tests" / "requirements.txt").write_text("hypothesis==1\n")
    return root


def set_up(root, run, **more):
    return private.set_up(str(root / ".venv"), str(root), run, **more)


def names(root):
    return sorted(path.name for path in root.iterdir() if path.name.startswith(".venv"))


def test_second_time_does_nothing(root):
    run = Pretended()
    assert set_up(root, run)
    before = len(run.commands)
    assert not set_up(root, run) and len(run.commands) == before
    assert names(root) == [".venv", ".venv.lock"]


def test_pip_runs_in_the_folder_that_is_built_and_in_no_other(root):
    run = Pretended()
    set_up(root, run)
    for command in run.commands:
        if "pip" in command:
            python, venv = command[0], command[5]
            assert command[1:4] == ["-I", "-X", "utf8"] and command[4].endswith("inside.py")
            assert python == private.python_of(venv) and venv.startswith(str(root / ".venv.new-"))
    assert run.count("install") == 1


def test_new_pins_are_built_beside_the_old_ones(root):
    run = Pretended()
    set_up(root, run)
    (root / ".venv" / "old").write_text("")
    (root / ".venv" / "home").mkdir()
    (root / ".venv" / "home" / "layout").write_text("mine")
    (root / "requirements.txt").write_text("numpy==2\n")
    with pytest.raises(NotDone):
        set_up(root, Pretended(fail="install", output=["ERROR: no"]))
    assert (root / ".venv" / "old").exists() and names(root) == [".venv", ".venv.lock"]
    assert set_up(root, run)
    assert not (root / ".venv" / "old").exists() and (root / ".venv" / "home" / "layout").read_text() == "mine"
    assert names(root) == [".venv", ".venv.lock"]


@pytest.mark.parametrize("at", ["venv", "install", "finish"])
def test_a_half_is_never_taken_for_a_whole(root, at):
    with pytest.raises(NotDone):
        set_up(root, Pretended(fail=at))
    assert names(root) == [".venv.lock"]
    assert set_up(root, Pretended())


def test_what_a_killed_set_up_left_goes(root):
    for left in (".venv.new-1234abcd", ".venv.old-1234abcd"):
        (root / left / "bin").mkdir(parents=True)
    assert set_up(root, Pretended()) and names(root) == [".venv", ".venv.lock"]


def test_two_at_once_build_once(root):
    """The second waits for the first, and then has nothing to do."""
    inside, go, results = threading.Event(), threading.Event(), []

    def slowly(command):
        if "install" in command:
            inside.set()
            assert go.wait(30)
    runs = [Pretended(before=slowly), Pretended()]
    first = threading.Thread(target=lambda: results.append(set_up(root, runs[0])))
    first.start()
    assert inside.wait(30)
    second = threading.Thread(target=lambda: results.append(set_up(root, runs[1])))
    second.start()
    second.join(0.5)
    assert second.is_alive() and runs[1].commands == [] and len(names(root)) == 2
    go.set()
    first.join(30)
    second.join(30)
    assert sorted(results) == [False, True] and runs[1].commands == []


def test_the_lock_of_a_killed_one_is_free(root):
    code = ("import sys, time; sys.path.insert(0, %r)\nfrom labkit import venv\n"
            "with venv.lock(%r):\n    print('held', flush=True); time.sleep(60)") % (str(ROOT), str(root / ".venv"))
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with open(root / ".venv.lock", "a") as file:
        assert not private.held(file)
        holder.kill()
        holder.wait()
        assert private.held(file)
    holder.stdout.close()


@pytest.mark.skipif(private.fcntl is None, reason="Windows itself keeps a program's folder from being renamed")
def test_a_running_lab_is_not_replaced(root):
    run = Pretended()
    set_up(root, run)
    (root / "requirements.txt").write_text("numpy==2\n")
    with private.in_use(str(root / ".venv")), pytest.raises(Refusal, match="the lab is still running in .*: end it there"):
        set_up(root, run)
    assert set_up(root, run)


def test_the_tests_packages_come_with_the_tests(root):
    run = Pretended()
    set_up(root, run)
    assert not any(private.tests_list(str(root)) in command for command in run.commands)
    assert set_up(root, run, tests=True) and not set_up(root, run, tests=True) and not set_up(root, run)
    install = [command for command in run.commands if "install" in command][-1]
    assert install[0] == private.python_of(str(root / ".venv")) and "--force-reinstall" not in install
    assert install[-4:] == ["-c", private.class_list(str(root)), "-r", private.tests_list(str(root))]


def test_both_are_installed_at_once_when_nothing_is_there(root):
    run = Pretended()
    set_up(root, run, tests=True)
    install, = [command for command in run.commands if "install" in command]
    assert install[-4:] == ["-r", private.class_list(str(root)), "-r", private.tests_list(str(root))]
    assert not set_up(root, run, tests=True)


def test_a_half_of_the_tests_packages_is_installed_over(root):
    set_up(root, Pretended())
    with pytest.raises(NotDone):
        set_up(root, Pretended(fail="install"), tests=True)
    run = Pretended()
    assert not set_up(root, run) and set_up(root, run, tests=True)
    assert run.count("--force-reinstall") == 1 and not set_up(root, run, tests=True)


@pytest.mark.parametrize("kind", ["file", "venv of the user's", "link", "dangling link"])
def test_what_is_not_ours_is_kept(root, tmp_path, kind):
    theirs, place = tmp_path / "theirs", root / ".venv"
    theirs.mkdir()
    (theirs / "thesis").write_text("mine")
    if kind == "file":
        place.write_text("mine")
    elif kind == "venv of the user's":
        shutil.copytree(theirs, place)
    else:
        try:
            place.symlink_to(theirs if kind == "link" else tmp_path / "nothing")
        except OSError:
            pytest.skip("no symbolic links here")
    (root / ".venv.kept-1").write_text("kept before")
    assert set_up(root, Pretended()) and not place.is_symlink()
    kept = root / ".venv.kept-2"
    assert (root / ".venv.kept-1").read_text() == "kept before" and (theirs / "thesis").read_text() == "mine"
    if kind == "dangling link":
        assert os.readlink(kept) == str(tmp_path / "nothing")
    else:
        assert (kept if kind == "file" else kept / "thesis").read_text() == "mine"


def test_a_second_name_of_the_checkout_changes_nothing(root, tmp_path):
    run = Pretended()
    set_up(root, run)
    try:
        (tmp_path / "other").symlink_to(root)
    except OSError:
        pytest.skip("no symbolic links here")
    before = len(run.commands)
    assert not set_up(tmp_path / "other", run) and not set_up(root, run) and len(run.commands) == before


def test_a_moved_checkout_only_writes_its_programs_anew(root, tmp_path):
    set_up(root, Pretended())
    root.rename(tmp_path / "elsewhere")
    run = Pretended()
    assert set_up(tmp_path / "elsewhere", run) and run.count("install") == 0 and run.count("scripts") == 1
    assert not set_up(tmp_path / "elsewhere", run)


def test_a_python_that_went_away_is_replaced(root):
    set_up(root, Pretended())
    os.remove(private.python_of(str(root / ".venv")))
    run = Pretended()
    assert set_up(root, run) and run.count("install") == 1


def test_a_colon_in_the_name_is_said(tmp_path):
    root = tmp_path / ("week%s1" % os.pathsep)
    try:
        root.mkdir()
    except OSError:
        pytest.skip("no such names here")
    (root / "requirements.txt").write_text("")
    with pytest.raises(Refusal, match="has a '%s' in its name.*rename it" % os.pathsep):
        set_up(root, Pretended())


def test_a_checkout_of_somebody_elses(root, monkeypatch):
    monkeypatch.setattr(private.environment, "may_write", lambda folder: False)
    with pytest.raises(Refusal, match="is finished, or you cannot run it, and you may not write there: copy the folder"):
        set_up(root, Pretended())
    assert names(root) == []


def test_one_that_is_ready_opens_without_writing(root, monkeypatch):
    set_up(root, Pretended())
    monkeypatch.setattr(private.environment, "may_write", lambda folder: False)
    monkeypatch.setattr(private, "lock", None)
    os.remove(root / ".venv" / private.PLACE)
    assert not set_up(root, Pretended())


def test_wheels_replace_the_index(root, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "elsewhere")
    run = Pretended()
    set_up(root, run, wheels="a folder")
    install, environment = next((c, e) for c, e in zip(run.commands, run.environments) if "install" in c)
    place = install.index("--no-index")
    assert install[place:place + 3] == ["--no-index", "--find-links", "a folder"]
    assert "PIP_INDEX_URL" not in environment and "PIP_FIND_LINKS" not in environment


def test_jupyterlab_asks_nothing(root):
    set_up(root, Pretended())
    settings = json.loads((root / ".venv/share/jupyter/lab/settings/overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"] == {"fetchNews": "false", "checkForUpdates": False}


def test_a_folder_of_wheels_is_for_the_class_and_the_tests(root, tmp_path, capsys):
    run = Pretended()
    set_up(root, run)
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "numpy.whl").write_bytes(bytes(3_000_000))
    private.make_wheels(str(root / ".venv"), str(root), str(folder), run)
    assert run.commands[-1][6:] == ["pip", "wheel", "--wheel-dir", str(folder), "-r", private.class_list(str(root)),
                                    "-r", private.tests_list(str(root))]
    assert run.environments[-1]["PIP_CONFIG_FILE"] == os.devnull
    assert "1 wheels, 3 MB, for Python %d.%d.%d, or a later" % sys.version_info[:3] in capsys.readouterr().out
    with pytest.raises(NotDone, match="the folder is not complete: .*check the network"):
        private.make_wheels(str(root / ".venv"), str(root), str(folder), Pretended(fail="wheel", output=["ERROR: ReadTimeoutError"]))
