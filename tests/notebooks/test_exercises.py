"""Every exercise: the reference passes, the stub is not attempted, the known wrong answer is wrong."""

import ast
import inspect
import re
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lab.check import NOT_ATTEMPTED, PASS, WRONG, exercise

HERE = Path(__file__).parent
PLACES = (HERE / "sample_exercises", *sorted(data.LESSONS.glob("*/exercises")))
FOLDERS = sorted(path.parent for place in PLACES for path in place.glob("*/check.py"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def one(request):
    return exercise(request.param.name, folder=request.param.parent)


def test_reference_passes(one):
    outcome = one.check(one.load("solution"))
    assert outcome.kind == PASS, outcome


def test_stub_is_not_attempted(one):
    outcome = one.check(one.load("stub"))
    assert outcome.kind == NOT_ATTEMPTED
    assert repr(outcome) == f"{one.slug}: not attempted yet"


def test_known_wrong_answer_is_wrong(one):
    outcome = one.check(one.load("wrong"))
    assert outcome.kind == WRONG, outcome
    assert "expected" in outcome.text and "got" in outcome.text
    assert one.load("wrong").__doc__, "wrong.py says in its docstring what is wrong"


def test_same_name_and_signature(one):
    stub, solution, wrong = (one.load(name) for name in ("stub", "solution", "wrong"))
    assert stub.__name__ == solution.__name__ == wrong.__name__
    assert inspect.signature(stub) == inspect.signature(solution) == inspect.signature(wrong)


def test_text_and_hints(one):
    assert one.title and one.text
    assert one.hint(1).startswith("Hint 1 of "), "an exercise has at least one hint"
    assert one.solution() not in one.text


def test_it_says_how_hard_it_is_and_explains_itself_when_it_is_solved(one):
    assert re.match(r"Difficulty: [123] of 3\n\n\S", one.text)
    assert one.explanation().startswith("First solve it")
    one.check(one.load("wrong"))
    assert one.explanation().startswith("First solve it")
    one.check(one.load("solution"))
    assert len(one.explanation()) > 30 and one.explanation() not in one.text
    assert not any("Explanation" in one.hint(number) for number in range(1, 9))


def test_check_imports_no_widgets(one):
    for node in ast.walk(ast.parse(one.read("check.py"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else \
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not any(name.split(".")[0] in ("ipywidgets", "matplotlib", "anywidget") for name in names)
