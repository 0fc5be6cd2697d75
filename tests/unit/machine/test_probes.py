"""Points of a run: who watches is called in order, ends alone, and changes nothing of what is watched."""

import pytest

from vmio.experiments import disk
from vmio.machine.clock import NEVER
from vmio.machine.overlay import Overlay
from vmio.machine.probes import watch
from vmio.modes.attachments import attachment
from vmio.modes.machine import Machine, one_guest


class Part:
    POINTS = {"done": "(n)", "begun": "()"}
    done = begun = None

    def __init__(self):
        self.changes = 0

    def points_changed(self):
        self.changes += 1


def test_listeners_come_in_order_and_go_alone():
    part, seen = Part(), []
    assert part.done is None
    first = watch(part, "done", lambda n: seen.append(("first", n)))
    second = watch(part, "done", lambda n: seen.append(("second", n)))
    third = watch(part, "done", lambda n: seen.append(("third", n)))
    part.done(1)
    second()
    part.done(2)
    first(), first()
    part.done(3)
    third()
    assert part.done is None and part.begun is None and part.changes == 6
    assert seen == [("first", 1), ("second", 1), ("third", 1), ("first", 2), ("third", 2), ("third", 3)]


def test_parts_are_watched_one_by_one():
    one, other = Part(), Part()
    watch(one, "done", print)
    assert one.done is print and other.done is None and Part.done is None


@pytest.mark.parametrize("part, why", [(Part(), "Part has no point 'end'; done, begun"), (object(), "object has no point 'end'; none")])
def test_what_is_no_point(part, why):
    with pytest.raises(ValueError, match=why):
        watch(part, "end", print)


def test_exits_are_watched_beside_a_trace_and_rows_forget_who_watches_no_more():
    guest = one_guest(ram_mib=16).guest
    cpu, seen = guest.cpu, []
    cpu.outb(0x80, 1)
    stop = watch(cpu.table, "exited", seen.append)
    cpu.outb(0x80, 2)
    cpu.keep_trace(last=2)
    cpu.outb(0x80, 3)
    stop()
    for value in (4, 5, 6):
        cpu.outb(0x80, value)
    assert [exit.value for exit in seen] == [2, 3] and [exit.value for exit in cpu.trace] == [5, 6]
    before = cpu.trace
    cpu.keep_trace(last=1)                              # a new one, instead
    cpu.outb(0x80, 7)
    assert [exit.value for exit in before] == [5, 6]
    assert [exit.value for exit in cpu.trace] == [7]
    assert cpu.exits.total == 7


def test_sleeps_are_watched():
    host = Machine(memory_mib=32).host
    guest, seen = host.guest(), []
    watch(guest.cpu, "slept", seen.append)

    def program(cpu):
        for ns in (2000, 1500):
            yield from cpu.hlt(ns)
        return cpu.now
    end, = host.run((guest.cpu, program))
    exit_ns = host.costs.hypercall_ns
    assert seen == [(2 * exit_ns, 2000), (2000 + 2 * exit_ns, 3500)] and end == 3500      # two exits: timer, HLT


@pytest.mark.parametrize("mode, options", [
    ("emulated", {"transfer": "dma"}), ("split", {}), ("passthrough", {})])
def test_the_device_and_the_copies_of_each_mode(mode, options):
    """Each request is one span of the device; a DMA's copy begins when the medium is ready; nobody sees passthrough's."""
    machine, made, served, copied = Machine(), attachment("disk", mode, **options), [], []
    guest = machine.guest("g", made, Overlay(disk.pattern(1)), ram_mib=20)
    machine.power_on()
    made.watch(served.append, copied.append)

    def program(cpu, disk):
        for n in range(3):
            disk.submit("read", 8 * n, 8, made.driver_memory, n)
            yield from cpu.pay()
            disk.flush_ring()
            while not (over := disk.reap()):
                yield from disk.wait()
            assert over == [(n, None)]
    machine.run((guest, program))
    costs = machine.host.costs
    if mode == "passthrough":
        assert served == [(0, NEVER)] and copied == []
        return
    assert len(served) == 3 and all(before[1] < after[0] for before, after in zip(served, served[1:]))
    assert [until - begun for begun, until in served] == [costs.disk_ns("read", 8)] * 3
    assert copied == ([(until, until + costs.copy_ns(4096)) for _, until in served] if mode == "emulated" else [])
