"""Shortcuts on the way of a request: what is remembered, or left out, must not outlive its reason."""

import pytest

from tests.survivors_rig import machine
from vmio.host.physical import MAX_PRICES, MediumTime
from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.handle import MAX_ROWS
from vmio.hypervisor.hostcpu import HostCpu
from vmio.hypervisor.simulation import Simulation
from vmio.machine.bus import BadAccess, Bus


def test_a_program_goes_on_with_the_generator_that_it_returns():
    host, guest = machine("one")

    def system(cpu, booted_at):
        yield from cpu.hlt(2000)
        return booted_at, cpu.now

    def boot(cpu):
        yield from cpu.hlt(1000)
        return system(cpu, cpu.now)
    (booted_at, ended_at), = host.run((guest.cpu, boot))
    assert 1000 <= booted_at and ended_at - booted_at >= 2000


def test_an_error_behind_the_boot_is_the_guests():
    host, wrong, other = machine("wrong", "other")

    def system(cpu):
        yield from cpu.hlt(1000)
        raise KeyError("late")

    def boot(cpu):
        yield from cpu.hlt(1000)
        return system(cpu)

    def good(cpu):
        yield from cpu.hlt(50_000)
        return "done"
    with pytest.raises(KeyError) as caught:
        host.run((wrong.cpu, boot), (other.cpu, good))
    assert caught.value.__notes__ == ["in guest wrong, which has ended"] and other.cpu.now >= 50_000


def test_events_of_one_time_come_in_the_order_in_which_they_were_made():
    env, seen = Simulation(), []
    for ns, name in ((5, "b"), (0, "a"), (5, "c")):
        env.timeout(ns).callbacks.append(lambda event, name=name: seen.append((env.now, name)))
    env.run()
    assert seen == [(0, "a"), (5, "b"), (5, "c")] and env.now == 5
    with pytest.raises(ValueError, match="-1"):
        env.timeout(-1)


def test_a_hypercall_that_nobody_answers_has_a_status_and_leaves_nothing_behind():
    host, guest = machine("one")
    known = dict(guest.hypercalls)

    def program(cpu):
        yield from cpu.pay()
        return [cpu.hypercall(code) for code in (0x4242, 0x1_4242)]
    assert host.run((guest.cpu, program)) == [[2, 2]] and guest.hypercalls == known
    row, = (row for row in guest.cpu.exits.rows if row.reason is ExitReason.VMCALL)
    assert (row.address, row.count) == (0x4242, 2)


def test_rows_that_are_kept_are_no_more_than_rows_that_count():
    host, guest = machine("one")

    def program(cpu):
        yield from cpu.pay()
        for code in range(MAX_ROWS + 10):
            cpu.hypercall(code)
    host.run((guest.cpu, program))
    table = guest.cpu.table
    assert len(table.plains) <= len(table.rows) <= MAX_ROWS + 1
    assert sum(row.count for row in guest.cpu.exits.rows if row.reason is ExitReason.VMCALL) == MAX_ROWS + 10


class Doorbell:
    """A register of four bytes that refuses 0."""

    def __init__(self):
        self.rung = []

    def read(self, offset, size):
        return 0

    def write(self, offset, size, value):
        if not value:
            raise BadAccess
        self.rung.append((offset, size, value))


def test_the_hosts_drivers_reach_who_answers_now():
    host, _ = machine("one")
    bus, first, second = Bus("host MMIO", 1 << 48), Doorbell(), Doorbell()
    cpu, base = HostCpu(host, bus), 1 << 40
    region = bus.attach(base, 16, first, width=4)
    cpu.store(base + 4, 4, 7)
    cpu.store(base + 4, 4, 0)
    cpu.store(base + 4, 4, 8)
    assert (first.rung, region.writes, region.bad) == ([(4, 4, 7), (4, 4, 8)], 3, 1)
    bus.detach(region)
    cpu.store(base + 4, 4, 9)
    bus.attach(base, 16, second, width=4)
    cpu.store(base + 4, 4, 10)
    cpu.store(base + 6, 4, 0x50006)       # across no border: four bytes at any offset are one access
    assert len(first.rung) == 2 and second.rung == [(4, 4, 10), (6, 4, 0x50006)]


def test_prices_of_the_medium_that_are_remembered_are_the_prices_and_not_too_many():
    host, _ = machine("one")
    medium, seen = MediumTime(host), []
    for sectors in (8, 8, *range(1, MAX_PRICES + 10)):
        medium.service("flush", sectors, lambda: None)
    assert len(medium._alone) <= MAX_PRICES
    medium.service("read", 8, lambda: seen.append(host.env.now))
    medium.service("read", 8, lambda: seen.append(host.env.now))
    host.env.run()
    alone, passing = host.costs.disk_ns("read", 8), 8 * 512 * 1_000_000_000 // host.costs.disk_read_rate
    assert seen == [alone, alone + passing]
