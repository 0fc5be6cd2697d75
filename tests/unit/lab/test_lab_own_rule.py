"""A student's signal rule in the ring view: the order in which its check failed, from the first wrong step to where it hangs."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.experiments.ringsteps import SCRIPTS
from vmio.lab import check
from vmio.lab.check import exercise
from vmio.lessons.fill_a_ring.own_rule import NOT_YET, RIGHT, SLUG, YOURS, failing, own_rule_panel

ORDER = "pppcpppppppccpcccppccppcpcpppccpcccpcppp"


@pytest.fixture(autouse=True)
def no_check_yet(monkeypatch):
    monkeypatch.setattr(check, "_kept", {})


def rule(expression):
    """A student's rule."""
    space = {"__name__": "__main__"}
    exec(compile(f"def should_signal(old_write, new_write, read, mask):\n    return {expression}\n", "<cell 9>", "exec"), space)
    return space["should_signal"]


def test_the_check_keeps_the_order_in_which_a_rule_hangs_and_says_how_to_open_it():
    outcome = exercise(SLUG).check(rule("mask == 0 and new_write == read"))
    assert "expected drained, got hangs: 3 records in the ring, both sides asleep. Step through it: own_rule_panel(should_signal)" in outcome.text
    assert check.found(SLUG) == {"script": "all rules kept", "order": ORDER} and ORDER in outcome.text


def test_the_ring_view_opens_before_the_first_wrong_step_and_steps_to_the_hang():
    broken = rule("mask == 0 and new_write == read")
    exercise(SLUG).check(broken)
    panel = own_rule_panel(broken)
    assert panel.params == {"rule": YOURS}
    assert panel.text.splitlines() == [
        "Step 4 is the first wrong one: it does not signal, the right rule signals.",
        "Your rule saw old_write 3,600, new_write 3,824, read 3,600, mask 0.", "13 steps, signals: 0", "ends: hangs: 3 records in the ring, both sides asleep"]
    assert panel.live.frame == 3 and panel.live.frames[4]["text"] == "does not signal"
    assert panel.live.frames[-1]["text"].endswith("hangs: 3 records in the ring") and panel.live.frames[-1]["asleep"] == ["producer", "consumer"]
    actors = "".join(frame["actor"][:1] for frame in panel.live.frames)
    assert actors == "p" * 13, "the consumer sleeps: its letters are passed over"
    panel.set(rule=RIGHT)
    assert panel.text.endswith("ends: drained") and panel.live.frames[-1]["text"].endswith("drained")
    for name in SCRIPTS:
        panel.set(rule=name)
        assert panel.text.startswith(SCRIPTS[name].about)


def test_a_signal_too_many_is_shown_as_well():
    lavish = rule("mask == 0 and new_write != read")
    assert "expected at most 1 signal, got 2 signals" in exercise(SLUG).check(lavish).text
    text = own_rule_panel(lavish).text
    assert text.startswith("Step 8 is the first wrong one: it signals the consumer, the right rule does not.\n")


def test_a_mended_rule_drains_in_the_order_that_was_kept():
    exercise(SLUG).check(rule("False"))
    right = rule("mask == 0 and old_write == read")
    assert bool(exercise(SLUG).check(right)) and failing().order == ORDER
    panel = own_rule_panel(right)
    assert panel.text.startswith("Your rule decides as the right one does.") and panel.text.endswith("ends: drained")


def test_before_any_check_the_first_script_is_played():
    assert failing() == SCRIPTS["all rules kept"]
    assert own_rule_panel(rule("False")).text.endswith("ends: hangs: 3 records in the ring, both sides asleep")


@pytest.mark.parametrize(("expression", "said"), [
    ("...", NOT_YET), ("None", NOT_YET),
    ("1 // 0", "Your rule raised ZeroDivisionError: integer division or modulo by zero."),
    ("__import__('os')._exit(3)", "Your rule comes to no answer (it ended Python itself, and nothing came back; is there an os._exit?)"),
])
def test_what_is_no_rule_gets_a_sentence(expression, said, monkeypatch):
    monkeypatch.delenv("VMIO_STRICT", raising=False)
    assert own_rule_panel(rule(expression)).text == said


def test_what_a_forged_answer_kept_is_not_believed():
    check._kept[SLUG] = {"script": "no such", "order": "pc"}
    assert failing() == SCRIPTS["all rules kept"]
    check._kept[SLUG] = {"script": "ring full", "order": "x"}
    assert failing() == SCRIPTS["all rules kept"]
