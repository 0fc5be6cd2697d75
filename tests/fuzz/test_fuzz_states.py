"""The parts of the host as state machines of hypothesis, a few examples each; and that a failure is shrunk."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.__main__ import part_of
from tests.fuzz.states import state_machine

EXAMPLES = {"ring": 30, "socket": 30, "storvsp": 15, "vmbus": 12, "nvme": 25, "ata": 30, "chips": 15, "tulip": 30, "nic": 5, "accel": 25, "iommu": 25, "vpci": 5, "netvsp": 10, "switch": 20, "balloon": 15, "qtest": 25, "machine": 2}


@pytest.mark.parametrize("part", EXAMPLES)
def test_almost_right_protocol(part):
    machine = state_machine(part_of(part), EXAMPLES[part], steps=25)
    run_state_machine_as_test(machine, settings=machine.TestCase.settings)


class Counting:
    """A part that breaks when it has been given a number above 100."""

    KINDS = ("small", "any")

    class Machine:
        def __init__(self, dice):
            self.most = 0

        def step(self, dice, kind):
            self.most = max(self.most, dice.randrange(10 if kind == "small" else 1000))

        def check(self):
            assert self.most <= 100, self.most

        def end(self):
            pass


def test_a_failure_is_shrunk():
    machine = state_machine(Counting, 30, steps=10)
    with pytest.raises(AssertionError, match="^101") as found:
        run_state_machine_as_test(machine, settings=machine.TestCase.settings)
    assert sum(line.startswith("state.do_") for line in found.value.__notes__) == 1
