"""Machines are put together in `vmio/modes`: who makes a host, a board or either end of a VMBus elsewhere has a reason here."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Host", "VmbusServer", "VmBusClient", "Board")
MODES = {"Host": {"vmio/modes/machine.py": 1}, "VmbusServer": {"vmio/modes/platform.py": 1},
         "VmBusClient": {"vmio/modes/platform.py": 1}, "Board": {"vmio/modes/platform.py": 1}}
EXERCISES = "vmio/lessons/emulate_a_device/exercises"
BY_HAND = {"VmBusClient": {
    "vmio/attacks/talker.py": 1,                         # a hostile guest whose bus is its own, to misuse
    "vmio/attacks/balloon.py": 1,                        # another, that says what no driver says
}, "VmbusServer": {
    "vmio/attacks/balloon.py": 1,                        # its bus has nothing but a balloon
}, "Board": {
    "vmio/oracle/qtest.py": 1,                           # the time of its disks is the judge's
    "vmio/lessons/emulate_a_device/panel.py": 1,         # the lesson about the board: its disk answers at once
    f"{EXERCISES}/read-with-few-exits/check.py": 1,
    f"{EXERCISES}/add-an-ata-command/check.py": 1,       # a slave, and a medium without contents
}}


def made(text, part):
    """How often this source makes one of these parts."""
    return sum(isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == part
               for node in ast.walk(ast.parse(text)))


@pytest.mark.parametrize("part", PARTS)
def test_parts_are_made_in_one_place(part):
    found = Counter({path.relative_to(ROOT).as_posix(): made(path.read_text(encoding="utf-8"), part)
                     for path in (ROOT / "vmio").rglob("*.py")})
    assert dict(+found) == MODES[part] | BY_HAND.get(part, {})


# Tests of the host itself: they make it by hand, or look at what it refuses.
OF_THE_HOST = {"tests/survivors_rig.py", "tests/unit/hypervisor/test_host_bounds.py", "tests/unit/hypervisor/test_host_survives.py",
               "tests/unit/hypervisor/test_hypervisor.py", "tests/unit/hypervisor/test_runs.py", "tests/unit/host/test_hot_changes.py"}
OF_THE_BUS = {"tests/guests.py", "tests/unit/drivers/test_vmbus_client.py"}      # the rig, and a bus that is refused


@pytest.mark.parametrize("part, where", [("Host", OF_THE_HOST), ("VmbusServer", OF_THE_BUS)])
def test_tests_make_them_there_too(part, where):
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")
             if made(path.read_text(encoding="utf-8"), part)}
    assert found == where


def test_what_is_made_is_seen():
    assert made("a = Host(memory_mib=8).guest()\nb = host.Host(1)\nclass Host: pass\nc = Host", "Host") == 2
