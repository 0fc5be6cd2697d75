"""The table after a check: what an answer costs beside the reference, both counted on the same machine."""

import re

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lab.check import PASS, WRONG, exercise

COUNTING = sorted(path.parent.name for path in data.LESSONS.glob("*/exercises/*/check.py")
                  if re.search(r'expect_at_most\([^\n]*"(exits|signals|interrupts|flushes)', path.read_text(encoding="utf-8"))
                  or path.parent.name == "find-the-lost-wakeup")


def written(text, name):
    """What a learner's cell defines."""
    space = {"__name__": "__main__"}
    exec(compile(text, "<cell 7>", "exec"), space)
    return space[name]


BY_WORDS = """
def read(cpu, lba, sectors, gpa):
    cpu.outb(0x1F6, 0xE0 | lba >> 24 & 0x0F)
    for register, value in ((0x1F2, sectors), (0x1F3, lba & 255), (0x1F4, lba >> 8 & 255), (0x1F5, lba >> 16), (0x1F7, 0x20)):
        cpu.outb(register, value)
    for sector in range(sectors):
        cpu.insw(0x1F0, gpa + 512 * sector, 256)
"""


def test_every_exercise_that_bounds_what_a_machine_counts_has_a_cost():
    assert COUNTING == ["boot-with-fewer-exits", "choose-the-batching-rule", "find-the-lost-wakeup", "finish-the-transmit-path", "read-with-few-exits", "send-in-one-exit",
                        "send-through-a-fifo", "sleep-until-the-tick", "survive-a-power-cut", "write-a-key-value-vsc", "write-the-signal-rule"]


@pytest.mark.parametrize("slug", COUNTING)
def test_the_reference_costs_what_the_reference_costs(slug):
    one = exercise(slug)
    outcome = one.check(one.load("solution"))
    assert outcome.kind == PASS
    title, heads, _, *rows = outcome.cost.splitlines()
    assert "{" not in title and heads.split() == ["counted", "yours", "reference"]
    numbers = [row.split()[-2:] for row in rows]
    assert numbers and all(yours == reference for yours, reference in numbers)
    assert any(int(yours.replace(",", "")) for yours, _ in numbers)
    assert repr(outcome) == f"{outcome.text}\n\n{outcome.cost}"


def test_a_price_that_is_too_high_stands_beside_the_reference():
    outcome = exercise("read-with-few-exits").check(written(BY_WORDS, "read"))
    assert outcome.kind == WRONG
    assert outcome.cost.splitlines() == [
        "64 sectors from LBA 1,000 on",
        "counted            yours  reference",
        "-----------------  -----  ---------",
        "exits                 70         12",
        " OUT                   6          8",
        " REP INS              64          4",
        "to the worker         70         12",
        "interrupts             1          1",
        "sectors in memory     64         64"]


def test_one_call_counts_any_size():
    one = exercise("read-with-few-exits")
    yours, reference = one.counts(written(BY_WORDS, "read"), sectors=16)
    assert (yours["exits"], reference["exits"]) == (22, 9)
    assert one.cost(written(BY_WORDS, "read"), sectors=16).startswith("16 sectors from LBA 1,000 on\n")
    with pytest.raises(ValueError, match=r"^setting is 'sector'; allowed: sectors\.$"):
        one.counts(written(BY_WORDS, "read"), sector=16)


def test_no_table_where_nothing_was_counted():
    one = exercise("read-with-few-exits")
    assert one.check(one.load("stub")).cost == ""
    assert one.cost(one.load("stub")) == "read-with-few-exits: not attempted yet"
    assert one.cost(written("def read(cpu, lba, sectors, gpa):\n    return 1 // 0\n", "read")) == (
        "read-with-few-exits: error in your code, line 2: ZeroDivisionError: integer division or modulo by zero")
    one.steps = 10_000
    assert one.cost(written("def read(cpu, lba, sectors, gpa):\n    while True: pass\n", "read")) == (
        "read-with-few-exits: no end after 10,000 steps")
    with pytest.raises(ValueError, match="^predict-the-signals has no machine that counts what an answer costs.$"):
        exercise("predict-the-signals").counts(lambda reads, depth: 2 * reads)


def test_a_rule_that_saves_signals_pays_with_hangs():
    one = exercise("write-the-signal-rule")
    outcome = one.check(written("def should_signal(old_write, new_write, read, mask):\n    return False\n", "should_signal"))
    rows = {line.rsplit(None, 2)[0]: line.rsplit(None, 2)[1:] for line in outcome.cost.splitlines()[3:]}
    assert rows == {"signals": ["0", "69"], "orders that hang": ["40", "0"]}
