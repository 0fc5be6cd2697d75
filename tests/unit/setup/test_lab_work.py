"""The student's copies: made without outputs, never overwritten, put back only when asked for, and then nothing is lost."""

import json
import os
import shutil
from pathlib import Path

import pytest

from labkit import NotDone, Refusal, work
from vmio.lessons.course import COURSE

ROOT = Path(__file__).parents[3]
ONE, FIRST = COURSE.notebook("split_a_driver"), COURSE.notebook("start_here")
NN = ONE[:2]
APPENDIX = COURSE.notebook("check_the_model")


@pytest.fixture
def root(tmp_path):
    """A checkout with two lessons."""
    (tmp_path / "notebooks").mkdir()
    for name in (FIRST, ONE):
        shutil.copy(ROOT / "notebooks" / name, tmp_path / "notebooks")
    return tmp_path


def cells(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))["cells"]


def test_copies_have_the_lessons_cells_and_no_outputs(root):
    folder = Path(work.prepare(str(root)))
    assert folder == root / "work" and sorted(os.listdir(folder)) == [FIRST, ONE]
    for name in os.listdir(folder):
        mine, theirs = cells(folder / name), cells(root / "notebooks" / name)
        assert [cell["source"] for cell in mine] == [cell["source"] for cell in theirs]
        assert any(cell.get("outputs") for cell in theirs)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in mine)


def test_every_lesson_gets_a_copy():
    assert [os.path.basename(path) for path in work.lessons(str(ROOT))] == sorted(
        path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_what_is_there_is_never_overwritten(root, capsys):
    work.prepare(str(root))
    (root / "work" / ONE).write_text("mine")
    (root / "work" / FIRST).unlink()
    (root / "work" / FIRST).symlink_to("nowhere")
    work.prepare(str(root))
    assert (root / "work" / ONE).read_text() == "mine"
    assert os.readlink(root / "work" / FIRST) == "nowhere"
    assert not [name for name in os.listdir(root / "work") if name.endswith(".tmp")]


def test_a_lesson_that_has_changed_is_named_and_the_copy_stays(root, capsys):
    work.prepare(str(root))
    master, copy = root / "notebooks" / ONE, root / "work" / ONE
    before = copy.read_bytes()
    assert "has changed" not in capsys.readouterr().out
    master.write_text(master.read_text(encoding="utf-8").replace("VMBus", "VM Bus"), encoding="utf-8")
    work.prepare(str(root))
    assert f"lesson {ONE} has changed since your copy was made; `python3 lab.py reset {NN}` takes" in capsys.readouterr().out
    assert copy.read_bytes() == before


def test_reset_asks_and_keeps_what_was_there(root):
    work.prepare(str(root))
    copy = root / "work" / ONE
    fresh, asked = copy.read_bytes(), []
    for number in (1, 2):
        copy.write_text(f"answers {number}")
        assert work.reset(str(root), str(root / "notebooks" / ONE), lambda question: asked.append(question)) == 1
        assert copy.read_text() == f"answers {number}"
        assert work.reset(str(root), str(root / "notebooks" / ONE), lambda question: True) == 0
        assert copy.read_bytes() == fresh
        assert (root / "work" / f"{ONE[:-6]}.old-{number}.ipynb").read_text() == f"answers {number}"
    assert asked[0] == f"Begin lesson {ONE} anew? Yours goes to {ONE[:-6]}.old-1.ipynb."


@pytest.mark.parametrize("word", ["42", "", "../" + NN, ONE[1:9], "work"])
def test_no_such_lesson(root, word):
    with pytest.raises(Refusal) as refused:
        work.named(str(root), word)
    assert str(refused.value) == f"there is no lesson '{word}'; there are {FIRST[:2]}, {NN}."


@pytest.mark.parametrize("word", [NN.lstrip("0"), NN, ONE[:-6], ONE])
def test_a_lesson_has_several_names(root, word):
    assert work.named(str(root), word) == str(root / "notebooks" / ONE)


@pytest.mark.parametrize("word", ["A1", "a1", APPENDIX, APPENDIX[:-6]])
def test_so_has_an_appendix(word):
    assert work.named(str(ROOT), word) == str(ROOT / "notebooks" / APPENDIX)


def test_reset_takes_back_the_lessons_guesses_and_no_others(root):
    folder = Path(work.prepare(str(root)))
    slug = next(line.split('predict("')[1].split('"')[0] for cell in cells(folder / ONE) for line in cell["source"]
                if 'predict("' in line)
    (folder / work.GUESSES).write_text(json.dumps({slug: 3, "first-guess": 5}))
    work.reset(str(root), str(root / "notebooks" / ONE), lambda question: True)
    assert json.loads((folder / work.GUESSES).read_text()) == {"first-guess": 5}


def test_nobody_at_the_terminal_means_no(monkeypatch):
    for answer, said in (("", False), ("\n", False), ("no\n", False), ("y\n", True), ("Yes\n", True)):
        monkeypatch.setattr("sys.stdin", type("In", (), {"readline": staticmethod(lambda answer=answer: answer)}))
        assert work.ask_at_terminal("Begin?") is said


def test_no_place_is_said_in_a_sentence(root):
    (root / "work").write_text("a file of that name")
    with pytest.raises(NotDone, match="there is no place for your copies of the lessons"):
        work.prepare(str(root))
    assert (root / "work").read_text() == "a file of that name"


def test_where_the_checkout_is_somebody_elses_the_copies_lie_in_the_home(root, monkeypatch, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr(work.os, "access", lambda path, mode: False)
    assert work.prepare(str(root)) == str(home / "vmio-work")
    assert sorted(os.listdir(home / "vmio-work")) == [FIRST, ONE] and not (root / "work").exists()
