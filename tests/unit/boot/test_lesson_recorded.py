"""What the lesson has recorded is what Linux does, here and now: to the exit, to the nanosecond, to the byte of its console."""

import pytest

pytest.importorskip("ipywidgets")

from tests.linux_files import kernel
from vmio.lessons.boot_a_real_linux import detect, live, plans, recorded
from vmio.lab import exercise

AGAIN = "if the machine has changed on purpose: python -m vmio.lessons.boot_a_real_linux.record"
# All plans, and of the exercise's grid of 16 those without a clock page whose kernel is quiet, one for each mode, and two with messages: so
# each of its three switches is booted either way.  The other ten are recorded by the same program, and not booted again.
TALKING = (("emulated", True), ("passthrough", False))         # (mode, clock page)
SOME = [*plans.PLANS, *(choice.name for choice in plans.CHOICES if choice.quiet and not choice.clock_page
                        or not choice.quiet and (choice.mode, choice.clock_page) in TALKING)]


@pytest.fixture(autouse=True)
def linux():
    """A kernel, and live boots allowed."""
    kernel()
    live.usable.cache_clear()
    assert live.usable() == (True, "")


def test_what_is_booted_again_has_each_switch_either_way():
    booted = [choice for choice in plans.CHOICES if choice.name in SOME]
    assert len(booted) == 6 and all({getattr(choice, switch) for choice in booted} == {getattr(choice, switch) for choice in plans.CHOICES}
                                    for switch in plans.Choice._fields)


@pytest.mark.parametrize("name", SOME)
def test_live_is_as_recorded(name):
    now, then = recorded.Seen(live.LiveBoot(name).run()).plain, recorded.file()["boots"][name]
    assert now == then, AGAIN


@pytest.mark.parametrize("which, said", [("solution", "Linux says: Hypervisor detected: Microsoft Hyper-V"),
                                         ("wrong", "Linux says nothing of a hypervisor.")])
def test_linux_agrees_with_the_check_of_its_hypervisors_leaves(which, said):
    assert detect.detected(exercise("show-hyper-v").load(which)) == said
