"""Halt polling: the decisions of KVM's own functions, compiled, over 46 halts; what a vCPU's wake-up costs; what is refused.

`halt_poll_trace.jsonl` was recorded from grow_halt_poll_ns and shrink_halt_poll_ns of Linux 6.1.192, virt/kvm/kvm_main.c, compiled in user
space: a row for each halt, with the time to look before and after it, and whether it ended while the host looked; `shrink` 0 and 2.
"""

import json
from pathlib import Path

import pytest

from vmio.experiments.pattern import pattern
from vmio.hypervisor.halt_poll import MAX_NS, HaltPoll
from vmio.machine.overlay import Overlay
from vmio.modes import attachment, one_guest

ROWS = [json.loads(line) for line in Path(__file__).with_name("halt_poll_trace.jsonl").read_text(encoding="utf-8").splitlines()]


def test_decides_as_kvm_did():
    assert len(ROWS) == 46 and {row["shrink"] for row in ROWS} == {0, 2}
    poll = None
    for row in ROWS:
        if poll is None or poll.shrink != row["shrink"]:
            poll = HaltPoll(shrink=row["shrink"])
        assert min(poll.ns, MAX_NS) == row["before"]
        assert poll.halted(row["halt_ns"]) == bool(row["polled"])
        assert poll.ns == row["after"]


def test_counts_what_it_looked_for():
    poll = HaltPoll()
    for ns in (5_000, 8_000, 300_000, 5_000):
        poll.halted(ns)
    assert (poll.successes, poll.success_ns, poll.fails, poll.fail_ns) == (1, 8_000, 1, 10_000)


def test_no_look_is_no_success():
    poll = HaltPoll(max_ns=0)
    assert not poll.halted(0) and poll.ns == 0 and poll.successes == poll.fails == 0


@pytest.mark.parametrize("wrong", [{"max_ns": -1}, {"grow": 1.5}, {"shrink": "no"}])
def test_refuses_what_is_no_time(wrong):
    with pytest.raises(ValueError, match=f"halt polling: {next(iter(wrong))} .*; a whole number from 0 on"):
        HaltPoll(**wrong)


def test_who_is_woken_while_the_host_looks_goes_on_at_once():
    def reads(poller):
        guest = one_guest(attachment("disk", "split"), Overlay(pattern(1)))

        def program(cpu, disk):
            began, cpu.poller = cpu.now, poller
            for n in range(30):
                disk.submit("read", 8 * n, 8, guest.attachments[0].driver_memory, n)
                disk.flush_ring()
                yield from disk.wait()
                disk.reap()
            return cpu.now - began
        return guest.run(program), guest.host.costs
    poll = HaltPoll()
    (without, costs), (with_it, _) = reads(None), reads(poll)
    assert poll.successes > 20 and without - with_it == poll.successes * (costs.wakeup_ns - costs.poll_ns)
