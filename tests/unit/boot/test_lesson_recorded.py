"""What the lesson has recorded is what Linux does, here and now: to the exit, to the nanosecond, to the byte of its console."""

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from tests.linux_files import kernel
from tests.linux_start import Unpacked
from vmio.boot import machine
from vmio.hypervisor.exits import ExitReason
from vmio.lessons.boot_a_real_linux import detect, live, plans, recorded
from vmio.lab import exercise

AGAIN = "if the machine has changed on purpose: python -m vmio.lessons.boot_a_real_linux.record"


@pytest.fixture(autouse=True)
def linux():
    """A kernel, and live boots allowed."""
    kernel()
    live.usable.cache_clear()
    assert live.usable() == (True, "")


@pytest.fixture(scope="module")
def unpacked():
    """{command line: `Unpacked`}: the first boot of each runs from its first instruction, the others have its unpacking."""
    return {}


@pytest.mark.parametrize("name", plans.ALL)
def test_live_is_as_recorded(name, unpacked):
    """Where in the kernel each exit is, only a boot can say that makes all of them itself."""
    boot = live.LiveBoot(name)
    line = machine.line(boot.boot.params)
    if line not in unpacked:
        unpacked[line] = Unpacked(boot.boot)
    elif unpacked[line].ready and name != plans.SYMBOLS:
        unpacked[line].carry_over(boot.boot)
    now, then = recorded.Seen(boot.run()).plain, recorded.file()["boots"][name]
    assert now == then, AGAIN
    assert unpacked[line].ready


def test_an_unpacking_is_carried_over_only_to_a_machine_that_answers_alike():
    """One exit of another time; a page of RAM that was another before."""
    boot, other = live.LiveBoot(plans.POLLS).boot, object.__new__(Unpacked)
    other.exits = [(ExitReason.IO_INSTRUCTION, 0x3F9, 1, True, 0, 1, "uart", 0)]
    other.carry_over(boot)
    with pytest.raises(AssertionError, match="answers otherwise"):
        boot.run()
    page = 0x10 * np.ones(1, int)               # boot_params, which names the initramfs
    other._changed, other._before, other._after = page, np.zeros((1, 4096), np.uint8), np.ones((1, 4096), np.uint8)
    with pytest.raises(AssertionError, match="page 0x10 was another one before"):
        other._write(boot)


@pytest.mark.parametrize("which, said", [("solution", "Linux says: Hypervisor detected: Microsoft Hyper-V"),
                                         ("wrong", "Linux says nothing of a hypervisor.")])
def test_linux_agrees_with_the_check_of_its_hypervisors_leaves(which, said):
    assert detect.detected(exercise("show-hyper-v").load(which)) == said
