"""The checker: four outcomes told apart, errors in one line, no learner's loop hangs it."""

from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab.check import ERROR, NOT_ATTEMPTED, PASS, WRONG, Wrong, exercise, expect, expect_at_most

SAMPLES = Path(__file__).parents[2] / "notebooks" / "sample_exercises"


@pytest.fixture
def sample():
    return exercise("poll-the-uart", folder=SAMPLES)


def written(text, name="send"):
    """The function a learner's cell would define."""
    space = {"__name__": "__main__"}
    exec(compile(text, "<cell 7>", "exec"), space)
    return space[name]


def test_pass_says_what_it_cost(sample):
    outcome = sample.check(sample.load("solution"))
    assert (outcome.kind, bool(outcome)) == (PASS, True)
    assert repr(outcome) == "poll-the-uart: right. The longest string took 46 exits."


@pytest.mark.parametrize("text", [
    "def send(port, data):\n    ...\n",
    "def send(port, data):\n    'my own words'\n    ...\n",
    "def send(port, data):\n    pass\n",
    "def send(port, data):\n    raise NotImplementedError('later')\n",
])
def test_not_attempted(sample, text):
    assert sample.check(written(text)).kind == NOT_ATTEMPTED


def test_nothing_at_all_is_not_attempted(sample):
    assert sample.check().kind == sample.check(None).kind == sample.check(...).kind == NOT_ATTEMPTED


def test_wrong_names_input_expected_and_got(sample):
    outcome = sample.check(written("def send(port, data):\n    for byte in data[:-1]:\n        port.put(byte)\n"))
    assert outcome.kind == WRONG
    assert outcome.text == "poll-the-uart: not right: input b'x', expected b'x', got b''"


def test_price_is_checked_too(sample):
    outcome = sample.check(sample.load("wrong"))
    assert outcome.text == ("poll-the-uart: not right: input 6 bytes, expected at most 7 exits, got 12 exits. "
                            "The result is right, the price is not.")


def test_error_is_one_line_with_the_learners_line(sample):
    outcome = sample.check(written("def helper(n):\n    return 1 // n\n\ndef send(port, data):\n    helper(0)\n"))
    assert outcome.kind == ERROR
    assert outcome.text == ("poll-the-uart: error in your code, line 2: "
                            "ZeroDivisionError: integer division or modulo by zero. The input was data=b''.")
    assert "\n" not in outcome.text and "Traceback" not in outcome.text


def test_wrong_signature_is_the_learners_error(sample):
    outcome = sample.check(written("def send(port):\n    return 1\n"))
    assert outcome.kind == ERROR and "takes 1 positional argument" in outcome.text


@pytest.mark.parametrize("text", [
    "def send(port, data):\n    while True: pass\n",
    "def send(port, data):\n    while True:\n        try:\n            port.ready()\n        except Exception:\n            pass\n",
    "def spin():\n    while True:\n        yield 1\n\ndef send(port, data):\n    for _ in spin():\n        pass\n",
])
def test_endless_loops_are_stopped(sample, text):
    sample.steps = 20_000
    outcome = sample.check(written(text))
    assert outcome.kind == ERROR and "never stops" in outcome.text


def test_changed_constant_counts_as_attempted(sample):
    assert sample.check(written("def send(port, data):\n    return 5\n")).kind == WRONG


def test_hints_are_a_ladder(sample):
    assert [sample.hint()[:11], sample.hint()[:11], sample.hint()[:11]] == ["Hint 1 of 2", "Hint 2 of 2", "Hint 2 of 2"]
    assert sample.hint(1).startswith("Hint 1 of 2: How many bytes")


def test_solution_and_title(sample):
    assert sample.title == "Send a string with few exits"
    assert repr(sample.solution()).startswith("def send(port, data):")
    assert repr(sample) == "Exercise(slug='poll-the-uart', title='Send a string with few exits')"


def test_unknown_slug_names_the_known_ones():
    with pytest.raises(ValueError, match="'poll'; allowed: poll-the-uart"):
        exercise("poll", folder=SAMPLES)


def test_expect_tells_true_from_one():
    with pytest.raises(Wrong, match=r"expected True \(a truth value\), got 1 \(a whole number\)"):
        expect(1, True)
    expect_at_most(3, 3, "exits")


def test_a_lessons_check_is_the_courses_whatever_the_students_folder_holds(tmp_path, monkeypatch):
    """A copy beside the notebook - an old one, or one whose check says yes to all - is not asked; a slug that no lesson has is."""
    own = tmp_path / "exercises"
    for slug in ("count-the-exits", "of-my-own"):
        (own / slug).mkdir(parents=True)
        (own / slug / "text.md").write_text("# Mine\n\nDo it.\n\n## Explanation\n\nSo.\n", encoding="utf-8")
        (own / slug / "stub.py").write_text("def answer():\n    ...\n", encoding="utf-8")
        (own / slug / "check.py").write_text("def check(answer):\n    return 'whatever it is'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert exercise("count-the-exits").check(exercise("count-the-exits").load("wrong")).kind == WRONG
    assert exercise("count-the-exits").title != "Mine" and exercise("of-my-own").title == "Mine"
    assert exercise("count-the-exits", folder=own).title == "Mine"
