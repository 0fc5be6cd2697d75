"""Whose copies these are: a name said once, its seed in the copies' metadata, and nothing of the student's own touched."""

import json
import os
import shutil
from pathlib import Path

import pytest

from labkit import NotDone, Refusal, students, work
from vmio import seed
from vmio.lessons.course import COURSE

ROOT = Path(__file__).parents[3]
ONE, TWO = COURSE.notebook("split_a_driver"), COURSE.notebook("start_here")
ANNA, BOB = ({"name": name, "seed": seed.of(name)} for name in ("Anna Maier", "Bob"))


@pytest.fixture
def root(tmp_path):
    """A checkout with two lessons and a folder for copies."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "work").mkdir()
    for name in (ONE, TWO):
        shutil.copy(ROOT / "notebooks" / name, tmp_path / "notebooks")
    return tmp_path


def open_lab(root, name=None, environment=(), answer=False):
    """What lab.py does for the copies; returns the student and the questions that were asked."""
    asked = []
    student = students.chosen(work.folder_of(str(root)), name, dict(environment), lambda question: asked.append(question) or answer)
    students.settle(str(root), work.prepare(str(root), student), student)
    return student, asked


def metadata(root, name=ONE):
    return json.loads((root / "work" / name).read_text(encoding="utf-8"))["metadata"]


def stamp(root, name=ONE):
    return metadata(root, name).get("vmio_student"), metadata(root, name).get("vmio_seed")


def test_a_name_is_said_once_and_stands_in_every_copy(root):
    assert open_lab(root, "  Anna   Maier ") == (ANNA, [])
    assert [stamp(root, name) for name in (ONE, TWO)] == [("Anna Maier", seed.of("Anna Maier"))] * 2
    assert open_lab(root) == (ANNA, [])
    assert open_lab(root, "anna maier") == (ANNA, [])
    (root / "work" / ONE).unlink()
    open_lab(root)
    assert stamp(root)[0] == "Anna Maier"


def test_nobody_named_means_the_lessons_own_numbers(root):
    assert open_lab(root) == (None, []) and stamp(root) == (None, None)
    assert not (root / "work" / students.KEPT).exists()


def test_copies_that_were_there_get_the_seed_and_stay_what_they_are(root):
    open_lab(root)
    copy = root / "work" / ONE
    mine = json.loads(copy.read_text(encoding="utf-8"))
    mine["cells"][3]["source"] = ["my own ünswer"]
    copy.write_text(json.dumps(mine))
    copy.chmod(0o640)
    (root / "work" / TWO).write_text("no JSON any more")
    open_lab(root, "Anna Maier")
    assert stamp(root) == (ANNA["name"], ANNA["seed"]) and copy.stat().st_mode & 0o777 == 0o640
    after = json.loads(copy.read_text(encoding="utf-8"))
    del after["metadata"]["vmio_student"], after["metadata"]["vmio_seed"]
    assert after == mine and (root / "work" / TWO).read_text() == "no JSON any more"
    before = copy.stat().st_mtime_ns, copy.read_bytes()
    open_lab(root)
    assert (copy.stat().st_mtime_ns, copy.read_bytes()) == before
    assert not [name for name in os.listdir(root / "work") if name.endswith(".tmp")]


def test_what_is_no_copy_of_ours_is_left_alone(root):
    (root / "work" / ONE).write_text('{"cells": [], "metadata": {}}')
    elsewhere = root / "elsewhere.ipynb"
    elsewhere.write_text(work.without_outputs(work.read(root / "notebooks" / TWO)))
    (root / "work" / TWO).symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    open_lab(root, "Anna Maier")
    assert (root / "work" / ONE).read_text() == '{"cells": [], "metadata": {}}'
    assert (root / "work" / TWO).is_symlink() and elsewhere.read_bytes() == before


def test_another_name_is_asked_about(root):
    open_lab(root, "Ana Maier")
    with pytest.raises(Refusal, match="nothing was changed; the lessons in .* stay Ana Maier's"):
        open_lab(root, "Anna Maier")
    assert stamp(root)[0] == "Ana Maier" and students.kept(str(root / "work"))["name"] == "Ana Maier"
    student, asked = open_lab(root, "Anna Maier", answer=True)
    assert asked == [f"The lessons in {root / 'work'} are Ana Maier's. Make them Anna Maier's, with other numbers?"]
    assert [stamp(root, name) for name in (ONE, TWO)] == [(ANNA["name"], ANNA["seed"])] * 2 and students.kept(str(root / "work")) == ANNA


def test_a_neighbours_copy_stays_the_neighbours_and_is_named(root, capsys):
    open_lab(root, "Anna Maier")
    (root / "work" / ONE).write_text(work.without_outputs(work.read(root / "notebooks" / ONE), BOB))
    open_lab(root)
    assert stamp(root) == ("Bob", BOB["seed"]) and stamp(root, TWO)[0] == "Anna Maier"
    assert f"{ONE} was made for Bob; `python3 lab.py reset {ONE[:2]}` makes one for Anna Maier" in capsys.readouterr().out
    work.reset(str(root), str(root / "notebooks" / ONE), lambda question: True, students.kept(str(root / "work")))
    assert stamp(root) == (ANNA["name"], ANNA["seed"])


def test_a_seed_without_a_name(root):
    student, _ = open_lab(root, environment={seed.VARIABLE: "77"})
    assert student == {"name": "", "seed": 77} and stamp(root) == (None, 77) and not (root / "work" / students.KEPT).exists()
    assert open_lab(root, environment={seed.VARIABLE: "0"})[0] is None is open_lab(root, environment={seed.VARIABLE: ""})[0]


@pytest.mark.parametrize("name, environment, said", [
    ("", {}, "the student's name is ''; it needs a letter or a digit, and at most 80 characters"),
    ("?!", {}, "the student's name is '?!'; it needs"),
    (None, {"VMIO_SEED": "abc"}, "VMIO_SEED is 'abc'; a seed is a whole number from 0, the lessons' own numbers, to 4,294,967,295."),
    ("Bob", {"VMIO_SEED": "-3"}, "VMIO_SEED is '-3'; a seed is"),
    ("Bob", {"VMIO_SEED": "7"}, f"VMIO_SEED is 7, and the seed of Bob is {seed.of('Bob')}; unset VMIO_SEED"),
])
def test_nonsense_is_refused_in_a_sentence_and_changes_nothing(root, name, environment, said):
    with pytest.raises(Refusal) as refused:
        open_lab(root, name, environment)
    assert str(refused.value).startswith(said) and "\n" not in str(refused.value) and os.listdir(root / "work") == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "A"}', '{"name": "A", "seed": "x"}', "\udcff"])
def test_a_spoilt_note_is_said_and_a_name_mends_it(root, text):
    (root / "work" / students.KEPT).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Refusal, match="does not say whose lessons these are; say it again: python3 lab.py --student NAME"):
        open_lab(root)
    assert open_lab(root, "Bob") == (BOB, []) and students.kept(str(root / "work")) == BOB


def test_what_cannot_be_written_is_what_it_was(root, monkeypatch):
    open_lab(root)
    copy = root / "work" / ONE
    before = copy.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(students.os, "fsync", full)
    with pytest.raises(NotDone, match="could not be written, and is what it was: .*No space left"):
        open_lab(root, "Bob")
    assert copy.read_bytes() == before and sorted(os.listdir(root / "work")) == sorted([ONE, TWO])
