"""What a guest can make the host keep is bounded, and what is counted stays true."""

import gc

import pytest

from vmio.devices.board import Board
from vmio.devices.pc import tail
from vmio.hypervisor import cores
from vmio.hypervisor.costs import CostModel, published
from vmio.hypervisor.exits import OTHER
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.handle import MAX_ROWS
from vmio.hypervisor.host import Host
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.bus import BadAccess
from vmio.machine.clock import LONGEST, NEVER, Clock


class Register:
    """One register, at offset 0."""

    def __init__(self):
        self.value = 0

    def read(self, offset, size):
        if offset:
            raise BadAccess("one register")
        return self.value & (1 << 8 * size) - 1

    def write(self, offset, size, value):
        self.value = value


def machine():
    return Host(memory_mib=16).guest("g", 1)


# BARs that move.


def regions():
    """How many regions of buses are held anywhere in this process."""
    gc.collect()
    return sum(type(each).__name__ == "Region" for each in gc.get_objects())

@pytest.mark.parametrize("bus, step", [("mmio", 0x1000), ("io", 4)])
def test_ten_thousand_moves_leave_no_rows_and_every_exit_counted(bus, step):
    before = regions()          # of machines that other tests keep
    guest, device = machine(), Register()
    cpu, where = guest.cpu, getattr(guest, bus)
    cpu.keep_trace(4)
    for n in range(10_000):
        base = (1 << 32) + n * step if bus == "mmio" else 0x1000 + n * step
        region = where.attach(base, 4, device, "card", width=4)
        if bus == "mmio":
            cpu.store(base, 4, n)
            assert cpu.load(base, 4) == n and cpu.load(base + 2, 4) == 0xFFFF_FFFF     # not whole: its parts read ones
        else:
            cpu.outl(base, n)
            assert cpu.inl(base) == n
            cpu.insb(base, 0, 1)
        assert region.reads >= 1 and region.writes == 1
        where.detach(region)
    rows = {row.instruction: row.count for row in cpu.exits.rows}
    assert rows == ({"MOV to memory": 10_000, "MOV from memory": 20_000} if bus == "mmio" else
                    {"OUT": 10_000, "IN": 10_000, "REP INS": 10_000})
    assert cpu.exits.total == 30_000 and cpu.exits.by_device() == {"card": 30_000} and cpu.exits.ns == cpu.now
    assert all(row.units == row.count for row in cpu.exits.rows)            # of REP INS, too: one unit each
    assert len(cpu.table.rows) == len(rows) and len(cpu.table.others) == 0 == len(cpu.table.ins)
    assert all(row.address == OTHER for row in cpu.exits.rows)
    assert regions() - before < 100


def test_a_device_that_came_back_counts_from_zero_and_its_exits_go_on():
    guest = machine()
    for n in range(3):
        region = guest.mmio.attach(1 << 32, 4, Register(), "card", width=4)
        guest.cpu.load(1 << 32, 4)
        assert region.reads == 1
        if n < 2:
            guest.mmio.detach(region)
    assert sorted((row.address, row.count) for row in guest.cpu.exits.rows) == [(OTHER, 2), (1 << 32, 1)]


def test_two_devices_of_one_name_are_counted_apart():
    guest = machine()
    one = guest.mmio.attach(1 << 32, 8, Register(), "card", width=4)
    two = guest.mmio.attach(1 << 33, 8, Register(), "card", width=4)
    for at, times in ((1 << 32, 2), (1 << 33, 3)):
        for _ in range(times):
            guest.cpu.load(at, 4)
    guest.cpu.load((1 << 32) + 6, 4)                   # past its end: the bus takes it apart
    assert (one.reads, two.reads, guest.cpu.exits.total) == (3, 3, 6)


# Rows.

def test_every_port_at_every_size_both_ways():
    guest = Board(Host(memory_mib=16).guest("g", 1)).guest
    guest.io.attach(0x8000, 1, Register(), "late")     # its ports are met when the table is full
    cpu, n = guest.cpu, 0
    for port in range(0x2000, 0x2000 + MAX_ROWS):
        cpu.outb(port, 1)
        cpu.inw(port)
        n += 2
    assert len(cpu.table.rows) == MAX_ROWS + 2
    assert (len(cpu.table.ins), len(cpu.table.outs)) == (MAX_ROWS // 2, MAX_ROWS // 2)
    cpu.outb(0x8000, 77)
    assert cpu.inb(0x8000) == 77 and cpu.inw(0x8000) == 0xFF4D
    cpu.insb(0x8000, 0, 5)
    assert cpu.read(0, 5) == bytes([77]) * 5
    cpu.outsb(0x8000, 0, 1)
    region = guest.io.find(0x8000)
    assert (region.reads, region.writes) == (7, 2)
    assert cpu.exits.total == n + 5 and cpu.exits.ns == cpu.now
    assert cpu.exits.by_device() == {"nobody": n, "late": 5}
    assert cpu.exits.by_instruction() == {"OUT": n // 2 + 1, "IN": n // 2 + 2, "REP INS": 1, "REP OUTS": 1}
    assert len(cpu.table.rows) == MAX_ROWS + 2 + 5


def test_hypercall_codes_msrs_leaves_and_addresses():
    guest = machine()
    cpu = guest.cpu
    enable_enlightenments(guest)
    for n in range(0x10000):
        if n not in guest.hypercalls:
            assert cpu.hypercall(n) == 2
    for n in range(5_000):
        cpu.cpuid(n, n)
        with pytest.raises(GuestFault):
            cpu.wrmsr((1 << 20) + n, 1)
        cpu.load((1 << 40) + n * 4096, 8)
    assert len(cpu.table.rows) <= MAX_ROWS + 8 and len(cpu.table.others) <= 2
    assert cpu.exits.by_reason() == {"VMCALL": 0x10000 - 2, "CPUID": 5_000, "WRMSR": 5_000, "EPT_VIOLATION": 5_000}


def test_vectors_are_those_of_the_idt():
    for vector in (-1, 256, 1 << 20):
        with pytest.raises(ValueError, match=f"interrupt vector {vector}: the IDT has 0 to 255"):
            machine().cpu.on_interrupt(vector, print)


def test_what_a_guest_sends_to_its_serial_port_for_ever(monkeypatch):
    monkeypatch.setattr(tail, "MAX_BYTES", 100)
    sent = tail.Tail()
    for n in range(1001):
        sent.append(n & 0xFF)
        assert len(sent) < 200
    assert sent[-100:] == bytes(n & 0xFF for n in range(901, 1001))
    board = Board(Host(memory_mib=16).guest("g", 1))
    assert type(board.uart.sent) is tail.Tail


# Timers.

def test_a_sleep_that_an_interrupt_ends_leaves_no_event_behind():
    host = Host(memory_mib=16)
    guest = host.guest("g", 1)
    cpu = guest.cpu

    def device():
        while True:
            yield host.env.timeout(5_000)
            cpu.apic.request(0x40)

    def program(cpu):
        cpu.on_interrupt(0x40, lambda cpu: cpu.apic.eoi())
        for n in range(2_000):
            assert (yield from cpu.hlt(60_000_000_000 - n))
        return len(host.env._queue)
    host.env.process(device())
    assert host.run((cpu, program))[0] <= 4


def test_an_alarm_rings_at_the_time_that_was_set_last():
    host, rung = Host(memory_mib=16), []
    bell = cores.Alarm(host.env, lambda: rung.append(host.env.now))
    bell.at(100)
    bell.at(50)
    bell.at(70)
    host.env.run(until=200)
    assert rung == [70] and not bell._pending
    bell.at(300)
    bell.off()
    host.env.run(until=400)
    bell.at(500)
    bell.at(NEVER)
    host.env.run(until=600)
    bell.at(0)
    host.env.run(until=700)
    bell.at(700 + 3 * cores.HORIZON + 5)
    host.env.run()
    assert rung == [70, 600, 700 + 3 * cores.HORIZON + 5] and not host.env._queue


# The end of time.

@pytest.mark.parametrize("ns, words", [
    ((1 << 63) + 5, "a day"), (1 << 63, "a day"), (1 << 200, "a day"), (LONGEST + 1, "at most 86400000000000 ns"), (-1, "time does not go back"),
    (1.5, "a whole number"), (1e6, "a whole number"), (float("nan"), "a whole number"), (float("inf"), "a whole number"),
    ("5", "a whole number"), (None, "a whole number")])
def test_what_is_no_time(ns, words):
    guest = Board(machine()).guest
    guest.cpu.compute(1000)
    with pytest.raises(ValueError, match=words) as caught:
        guest.cpu.compute(ns)
    assert str(caught.value).startswith(f"compute({ns!r})") and guest.cpu.now == guest.clock.now == 1000
    if ns is not None:
        with pytest.raises(ValueError, match=words):
            next(guest.cpu.hlt(ns))
        assert guest.cpu.exits.total == 0


def at_the_end_of_time(left, board=False):
    """A vCPU of a guest that is made so many ns before time ends."""
    host = Host(memory_mib=16)
    host.env.run(until=NEVER - left)
    guest = host.guest("late", 1)
    if board:
        Board(guest)
    return guest.cpu


def test_numpy_numbers_are_times_and_the_last_ns_can_be_reached():
    import numpy
    guest = machine()
    cpu = guest.cpu
    cpu.compute(numpy.int64(5))
    assert cpu.now == 5 and type(cpu.now) is int
    assert guest.host.run((cpu, lambda cpu: cpu.hlt(LONGEST))) == [False]
    cpu = at_the_end_of_time(1000)
    guest = cpu.guest
    with pytest.raises(ValueError, match="time ends before"):
        cpu.compute(1000)
    cpu.compute(999)
    assert cpu.now == NEVER - 1
    for call in (lambda: cpu.outb(0x80, 1), lambda: cpu.cpuid(0), lambda: cpu.load(guest.ram, 1), lambda: cpu.rdmsr(0x40000020)):
        with pytest.raises(ValueError, match="time ends before"):
            call()


def test_a_long_computation_alone_is_a_few_events():
    host = Host(memory_mib=16, cores=1)
    cpu = host.guest("g", 1).cpu

    def program(cpu):
        host.env.timeout(LONGEST // 2 + 5)
        cpu.compute(LONGEST)
        yield from cpu.pay()
        return cpu.now
    assert host.run((cpu, program)) == [LONGEST] and host.env.now == LONGEST
    assert next(host.env._eid) < 10


def test_a_timer_past_the_end_of_time_never_fires_and_is_not_kept():
    clock, fired = Clock(), []
    for when in (NEVER, NEVER + 5, 1 << 100):
        clock.call_at(when, lambda: fired.append(1)).cancel()
    assert clock.deadline() == NEVER and not clock._heap
    clock.call_later(NEVER - 1, lambda: fired.append(clock.now))
    clock.advance_to(NEVER - 1)
    assert fired == [NEVER - 1]
    with pytest.raises(ValueError, match=f"can't move to {NEVER}"):
        clock.advance_to(NEVER)


def test_chips_near_the_end_of_time():
    cpu = at_the_end_of_time(2_000_000, board=True)
    for port, value in ((0x43, 0x34), (0x40, 0), (0x40, 0), (0x70, 0x0B), (0x71, 0x42), (0x3FB, 0x83), (0x3F8, 0xFF), (0x3F9, 0xFF)):
        cpu.outb(port, value)
    with pytest.raises(ValueError, match="time ends before"):
        cpu.compute(2_000_000)


# Pollers.

def test_a_look_at_a_queue_takes_the_published_time():
    assert published()["S03.1"]["value"] == "140"
    costs = CostModel.preset()
    assert costs.poll_ns == 47                         # 140 cycles at 3 GHz
    host = Host(memory_mib=16)
    cpu = host.guest("g", 1).cpu
    seen = []

    def program(cpu):
        host.env.timeout(1_000)
        yield from cpu.spin()
        seen.append(cpu.now)
        host.env.timeout(3)
        yield from cpu.spin()
        seen.append(cpu.now)
    host.run((cpu, program))
    assert seen == [1_000, 1_047]


def events_of_pollers(number):
    """Events of the simulation while so many guests poll for 100 us on two cores."""
    host = Host(memory_mib=2 * number + 8)
    guests = [host.guest(f"g{n}", 1) for n in range(number)]
    end = host.env.timeout(100_000)

    def program(cpu):
        while not end.processed:
            yield from cpu.spin()
    host.run(*[(guest.cpu, program) for guest in guests])
    return next(host.env._eid)


def test_pollers_cost_what_they_look_and_no_more():
    """Two cores hold two pollers' looks at a time, however many guests wait for one."""
    events = {number: events_of_pollers(number) for number in (1, 2, 4, 16, 64)}
    assert events[1] < 10
    looks = 2 * 100_000 // 47
    assert all(looks < events[number] < 3.2 * looks + 10 * number for number in (2, 4, 16, 64)), events
