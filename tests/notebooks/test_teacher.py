"""The teacher's kit: every check says "right" in the solutions, none of them is in the hand-out, and nothing is replaced."""

import json
import os

import pytest

from vmio import data
from vmio.lab.check import exercise
from vmio.lessons import build, teacher
from vmio.lessons.course import COURSE

ONE = "trap_an_instruction"
STEM = COURSE.notebook(ONE)[:-6]


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """The kit of one lesson with exercises."""
    folder = tmp_path_factory.mktemp("kit") / "new"
    assert teacher.main([str(folder), "trap"]) == 0
    return folder


def test_the_checks_of_the_solutions_say_right(kit):
    cells = json.loads((kit / "solutions" / COURSE.notebook(ONE)).read_text(encoding="utf-8"))["cells"]
    said = [out["data"]["text/plain"][0] for cell in cells if ".check(" in "".join(cell["source"]) for out in cell["outputs"]]
    assert sorted(line.partition(":")[0] for line in said) == ["count-the-exits", "send-in-one-exit", "sleep-until-the-tick"]
    assert all(": right. " in line for line in said)


@pytest.mark.parametrize("name", COURSE.names)
def test_every_stub_has_its_answer(name):
    shown = [cell.source for cell in teacher.solved(name).cells]
    for path in sorted((data.LESSONS / name / "exercises").glob("*/check.py")):
        one = exercise(path.parent.name, path.parents[1])
        assert str(one.solution()) in shown and one.read("stub.py").strip("\n") not in shown


def test_the_handout_and_the_slides_show_what_is_stored_and_no_answer(kit):
    answer = exercise("send-in-one-exit").solution().splitlines()[-1].strip()
    for path in (kit / "handout" / f"{STEM}.html", kit / "slides" / f"{STEM}.slides.html"):
        text = path.read_text(encoding="utf-8")
        assert "not attempted yet" in text and "Trap an instruction" in text and answer.split("(")[0] not in text
    slides = (kit / "slides" / f"{STEM}.slides.html").read_text(encoding="utf-8")
    headings = sum(cell.cell_type == "markdown" and cell.source.startswith(("# ", "## ")) for cell in build.lesson(ONE).cells)
    assert slides.count("<section>") >= 2 * headings - 1      # a slide is a section in a section


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ValueError, match="something is there; the kit needs a new or an empty folder"):
        teacher.main([str(tmp_path)])
    with pytest.raises(ValueError, match="there is no lesson '44'; there are "):
        teacher.main([str(tmp_path / "other"), "44"])
    assert os.listdir(tmp_path) == ["mine"]
