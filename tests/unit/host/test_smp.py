"""Guests of several vCPUs, put together as every machine is: a program on each, and a queue of the disk for each."""

import pytest

from vmio.experiments.disk import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment

DATA = 16 << 20


def reads(number, count=3):
    """`count` reads of 4 KiB from sector 1,000 x `number`."""
    def program(cpu, disk):
        data = []
        for n in range(count):
            at = DATA + 4096 * (count * number + n)
            disk.submit("read", 1000 * number + 8 * n, 8, at, n)
            yield from cpu.pay()
            disk.flush_ring()
            yield from disk.wait()
            assert disk.reap() == [(n, None)]
            data.append(cpu.read(at, 4096))
        return b"".join(data)
    return program


@pytest.mark.parametrize("channels, bound", [(None, [0, 1, 2]), (1, [0]), (2, [0, 1])])
def test_a_program_on_each_vcpu(channels, bound):
    machine = Machine(cores=4)
    image, other = Overlay(pattern(4)), Overlay(pattern(4))
    guest = machine.guest("smp", attachment("disk", "split", channels=channels), image, 17, vcpus=3)
    single = machine.guest("single", attachment("disk", "split"), other, 17)
    machine.power_on()

    def first(cpu, disk):
        data = yield from reads(0)(cpu, disk)
        while len(over) < 2:                   # its channel may be others' way, too
            yield from cpu.hlt(10_000)
        return data

    def further(number):
        def program(cpu, disk):
            data = yield from reads(number)(cpu, disk)
            over.append(number)
            return data
        return program

    over: list = []
    results = machine.run((guest, [first, further(1), further(2)]), (single, reads(3)), limit_ns=10**10)
    assert results == [image.read(0, 24), image.read(1000, 24), image.read(2000, 24), other.read(3000, 24)]
    assert [c.target_vp for c in guest.platform.bus.channels.values()] == bound
    assert [c.target_vp for c in single.platform.bus.channels.values()] == [0]


def test_fewer_programs_than_vcpus():
    """Who has no program is not online: no channel is bound to it."""
    machine = Machine()
    image = Overlay(pattern(4))
    guest = machine.guest("smp", attachment("disk", "split"), image, 17, vcpus=4)
    machine.power_on()
    assert machine.run((guest, [reads(0), reads(1)])) == [image.read(0, 24), image.read(1000, 24)]
    assert [c.target_vp for c in guest.platform.bus.channels.values()] == [0, 1]


@pytest.mark.parametrize("mode, programs, why", [
    ("split", 3, "guest smp: 3 programs; it has 2 vCPUs"), ("emulated", 2, "2 programs; EmulatedDisk is driven by one vCPU"),
    ("passthrough", 2, "2 programs; AssignedDisk is driven by one vCPU")])
def test_programs_that_no_vcpu_can_run(mode, programs, why):
    machine = Machine()
    guest = machine.guest("smp", attachment("disk", mode), Overlay(pattern(4)), 17, vcpus=2)
    machine.power_on()
    with pytest.raises(ValueError, match=why):
        machine.run((guest, [reads(n) for n in range(programs)]))
