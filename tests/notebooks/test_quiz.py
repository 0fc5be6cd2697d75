"""Each lesson ends with two questions of three options; the answer is folded away, names one of them, and says why."""

import re

import pytest

from vmio import data
from vmio.lessons import build
from vmio.lessons.course import COURSE

QUESTION = re.compile(r"\*\*(\d)\.\*\* ([^\n]+\?)\n\n- a\) [^\n]+\n- b\) [^\n]+\n- c\) [^\n]+\n\n"
                      r"<details><summary>Answer (\d)</summary>\n\n\*\*([abc])\)\*\* ([^\n]+)\n\n</details>")


@pytest.mark.parametrize("name", COURSE.names)
def test_two_questions(name):
    text = (data.LESSONS / name / "quiz.md").read_text(encoding="utf-8")
    found = QUESTION.findall(text)
    assert [(number, answer) for number, _, answer, _, _ in found] == [("1", "1"), ("2", "2")]
    assert re.sub(r"\s", "", QUESTION.sub("", text)) == "##Twoquestions"
    assert all(why.endswith(".") and len(why) > 40 for *_, why in found)


@pytest.mark.parametrize("name", COURSE.names)
def test_they_stand_in_the_lesson_before_its_last_part(name):
    cells = build.lesson(name).cells
    at, = (number for number, cell in enumerate(cells) if cell.source.startswith("## Two questions"))
    assert at == len(cells) - 2


def test_not_always_the_same_letter():
    letters = [letter for name in COURSE.names for _, _, _, letter, _ in
               QUESTION.findall((data.LESSONS / name / "quiz.md").read_text(encoding="utf-8"))]
    assert len(letters) == 2 * len(COURSE.names) and all(letters.count(letter) >= 4 for letter in "ab") and "c" in letters
