"""The exercise in which a cause is named: a cause without its proof counts, and too little of either is told."""

from functools import cache

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import Wrong, exercise

ONE = exercise("name-the-cause")


@pytest.fixture(scope="module")
def check():
    """The exercise's check; a host that has run once is shown again."""
    module = ONE._module()
    module.before_and_after = cache(module.before_and_after)
    return module.check


@pytest.fixture(scope="module")
def right():
    found = {}
    exec(ONE.read("solution.py"), found)
    return found["name_the_cause"]


def test_causes_and_some_proofs_are_enough(check, right):
    def few(before, after):
        cause, output = right(before, after)
        return cause, output if cause in ("noisy", "vf_lost") else ""
    assert check(right).startswith("18 of 18 points") and check(few).startswith("15 of 18 points")


@pytest.mark.parametrize("change, words", [
    (lambda cause, output: (cause, output if cause == "noisy" else ""), "14 of 18 points, causes 6; "),
    (lambda cause, output: (cause if cause != "noisy" else "none", output), "15 of 18 points, causes 5; "),
])
def test_too_few_proofs_and_a_cause_too_few_are_told(check, right, change, words):
    with pytest.raises(Wrong) as wrong:
        check(lambda before, after: change(*right(before, after)))
    assert words in str(wrong.value.args)
