"""A driver recorded on the model and replayed on a real processor: the same exits, the same bytes, the same end.

Recording and compiling are tested everywhere; what needs /dev/kvm is skipped where it
can't be used, with the reason.
"""

import pytest

from vmio.hypervisor.exits import ExitReason
from vmio.kvm import probe
from vmio.kvm.programs import ANSWER, CASES, TEXT
from vmio.kvm.record import EXITS, Kind

USABLE, REASON = probe.usable()
on_kvm = pytest.mark.skipif(not USABLE, reason=f"NOT RUN ON REAL HARDWARE: {REASON}")
if USABLE:
    from vmio.kvm.replay import replay
    from vmio.kvm.vcpu import End


@pytest.fixture(scope="module")
def records():
    return {name: case.record() for name, case in CASES.items()}


def played(case, record):
    """The replay of a case, equal in all that is compared."""
    result = replay(record, case.doorbells, case.signals)
    assert result.differences == [] and result.end is End.DONE
    return result


# Everywhere.

@pytest.mark.parametrize("name", CASES)
def test_a_record_has_every_exit_of_the_model(records, name):
    record, counts = records[name], {}
    for step in record.steps:
        if step.kind in EXITS:
            counts[step.instruction] = counts.get(step.instruction, 0) + 1
    assert counts == record.exits
    assert [step.time for step in record.steps] == sorted(step.time for step in record.steps)


def test_a_handlers_accesses_stand_where_the_interrupt_came(records):
    steps = [step for step in records["uart"].steps if step.kind is not Kind.LEFT_OUT]
    at = next(at for at, step in enumerate(steps) if step.kind is Kind.INTERRUPT)
    assert steps[at].value == 0x24                                         # line 4
    assert [(s.kind, s.address) for s in steps[at + 1:at + 3]] == [(Kind.IN, 0x3FA), (Kind.OUT, 0x3F8)]
    end = next(s for s in steps[at:] if s.address == 0x20)
    assert (end.kind, end.value) == (Kind.OUT, 0x20)                       # EOI
    assert records["uart"].result == ANSWER and records["uart"].state["the line"] == TEXT + TEXT[:16]


# On a real processor.

@on_kvm
@pytest.mark.parametrize("name", CASES)
def test_every_case_replays_with_equal_counts_and_bytes(records, name):
    result = played(CASES[name], records[name])
    for instruction, count in records[name].exits.items():
        assert result.kvm[instruction] == count or instruction in result.rules and result.rules[instruction]
