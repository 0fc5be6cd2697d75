"""MOV and REP at the edges: of RAM, of pages, of devices, of the address space, of RCX."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.hypervisor import direct, string_io
from vmio.hypervisor.faults import GuestFault
from vmio.machine.bus import BadAccess, Bus
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ
from vmio.modes import Machine, attachment, one_guest

RAM = 1 << 20


class Pattern:
    """Reads the low bytes of the address, and lists what was written."""

    def __init__(self, base):
        self.base, self.written = base, []

    def read(self, offset, size):
        return int.from_bytes(bytes(self.base + offset + n & 0xFF for n in range(size)), "little")

    def write(self, offset, size, value):
        self.written.append((self.base + offset, size, value))


@pytest.fixture
def guest():
    return one_guest(name="g", ram_mib=1).guest


def test_a_load_across_the_end_of_ram_gets_what_there_is(guest):
    cpu = guest.cpu
    cpu.write(RAM - 4, bytes((0xAA, 0xBB, 0xCC, 0xDD)))
    assert cpu.load(RAM - 4, 8) == 0xFFFF_FFFF_DDCC_BBAA
    assert cpu.load(RAM - 1, 4) == 0xFFFF_FFDD and cpu.load(RAM - 1, 2) == 0xFFDD and cpu.load(RAM - 1, 1) == 0xDD
    assert cpu.exits.by_reason() == {"EPT_VIOLATION": 3}      # one for the page that is no RAM
    cpu.store(RAM - 2, 4, 0x1122_3344)
    assert cpu.read(RAM - 4, 4) == bytes((0xAA, 0xBB, 0x44, 0x33))
    assert cpu.read(RAM - 2, 4) == b"\x44\x33\xff\xff"


def test_a_page_that_is_missing_or_read_only_in_the_middle(guest):
    cpu = guest.cpu
    cpu.write(0x1FF8, bytes(range(16)))
    guest.slat.map(0x2000, guest.slat.translate(0x2000, READ), PAGE, READ)
    cpu.store(0x1FFC, 8, 0xFFFF_FFFF_FFFF_FFFF)
    assert cpu.read(0x1FF8, 16) == bytes((0, 1, 2, 3)) + b"\xff" * 4 + bytes(range(8, 16))
    guest.slat.unmap(0x2000, PAGE)
    assert cpu.load(0x1FFE, 4) == 0xFFFF_FFFF and cpu.load(0x2FFE, 4) == 0x0000_FFFF
    assert cpu.read(0x1FF8, 2 * PAGE)[:10] == bytes((0, 1, 2, 3)) + b"\xff" * 6


def test_between_ram_and_a_device_and_between_devices(guest):
    one, two = Pattern(RAM), Pattern(RAM + PAGE)
    guest.mmio.attach(RAM, PAGE, one, "one", width=8)
    guest.mmio.attach(RAM + PAGE, PAGE, two, "two", width=8)
    cpu = guest.cpu
    cpu.write(RAM - 3, b"abc")
    assert cpu.load(RAM - 3, 8) == int.from_bytes(b"abc" + bytes(range(5)), "little")
    assert cpu.load(RAM + PAGE - 4, 8) == int.from_bytes(bytes((0xFC, 0xFD, 0xFE, 0xFF, 0, 1, 2, 3)), "little")
    cpu.store(RAM + PAGE - 1, 4, 0x4433_2211)
    assert (one.written, two.written) == ([(RAM + PAGE - 1, 1, 0x11)], [(RAM + PAGE, 2, 0x3322), (RAM + PAGE + 2, 1, 0x44)])
    cpu.store(RAM + 2 * PAGE - 2, 4, 0x8877_6655)                       # and into nothing
    assert two.written[2:] == [(RAM + 2 * PAGE - 2, 2, 0x6655)]
    assert cpu.exits.by_device() == {"one": 3, "two": 1}          # one for each instruction


def test_across_the_end_of_a_passed_through_page(guest):
    device = Pattern(RAM)
    guest.direct.attach(RAM, PAGE, device, "lent", width=4)
    assert guest.cpu.load(RAM + PAGE - 4, 8) == 0xFFFF_FFFF_FFFE_FDFC
    assert guest.cpu.exits.by_device() == {"nobody": 1}


@pytest.mark.parametrize("size", [0, -1, 3, 5, 6, 7, 9, 16, 1 << 40])
@pytest.mark.parametrize("gpa", [0, RAM - 2, RAM, 1 << 47])
def test_a_mov_has_1_2_4_or_8_bytes(guest, gpa, size):
    for call in (lambda: guest.cpu.load(gpa, size), lambda: guest.cpu.store(gpa, size, 0)):
        with pytest.raises(ValueError, match=f"MOV of {size} bytes at {gpa:#x}: 1, 2, 4 or 8"):
            call()
    assert guest.cpu.exits.total == 0


@pytest.mark.parametrize("gpa, kind, words", [
    (-1, ValueError, "0 to 2"), (-4, ValueError, "0 to 2"), (1 << 64, ValueError, "0 to 2"), ((1 << 64) - 1, GuestFault, "#PF"),
    (1 << 52, GuestFault, "#PF"), ((1 << 52) - 1, GuestFault, "#PF")])
def test_addresses_that_no_processor_has(guest, gpa, kind, words):
    cpu = guest.cpu
    for call in (lambda: cpu.load(gpa, 8), lambda: cpu.store(gpa, 8, 1), lambda: cpu.read(gpa, 5), lambda: cpu.write(gpa, b"12345"),
                 lambda: cpu.insb(0x80, gpa, 4), lambda: cpu.outsb(0x80, gpa, 4)):
        with pytest.raises(kind, match=words):
            call()


def test_addresses_that_no_bus_has_read_ones_and_reach_nobody(guest):
    low = Pattern(0)
    guest.mmio.attach(RAM, PAGE, low, "low", width=8)
    for gpa in (1 << 48, (1 << 48) + RAM, (1 << 51) + RAM, (1 << 48) - 4, (1 << 52) - 8):
        assert guest.cpu.load(gpa, 8) == (1 << 64) - 1
        guest.cpu.store(gpa, 8, 0)
    assert low.written == []


def test_a_bus_wraps_at_its_end_and_nowhere_else():
    bus = Bus("small", 0x100)
    bus.attach(0, 4, Pattern(0), "first")
    assert bus.read(0xFF, 4) == 0x0201_00FF
    assert bus.read(0x1FF, 4) == 0xFFFF_FFFF and bus.read(0x100, 4) == 0xFFFF_FFFF


def test_lengths_of_a_bulk_access(guest):
    cpu = guest.cpu
    for at in (0, RAM):
        assert cpu.read(at, 0) == b""
        cpu.write(at, b"")
        with pytest.raises(ValueError, match="read of -1 bytes"):
            cpu.read(at, -1)
    assert cpu.read(0, RAM) == bytes(RAM)
    with pytest.raises(GuestFault, match="beyond RAM"):
        cpu.read(0, RAM + direct.MAX_BEYOND + 1)
    with pytest.raises(GuestFault, match="#PF"):
        cpu.read(0, 1 << 64)
    assert cpu.exits.total == 0


# REP.

ALL = ("insb", "insw", "insl", "outsb", "outsw", "outsl")


@pytest.mark.parametrize("name", ALL)
def test_a_count_of_zero_does_nothing_at_all(name):
    board = one_guest(attachment("serial", "emulated"), name="g", ram_mib=1).board
    cpu = board.guest.cpu
    cpu.write(0x1000, b"keep")
    for gpa in (0x1000, RAM, 1 << 60, -5):
        getattr(cpu, name)(0x3F8, gpa, 0)
    assert cpu.read(0x1000, 4) == b"keep" and not board.uart.sent
    assert (cpu.exits.total, cpu.now) == (0, 0)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count, kind", [(-1, ValueError), (1 << 64, ValueError), ((1 << 64) - 1, GuestFault), (1 << 63, GuestFault),
                                         (1 << 52, GuestFault), (RAM + (1 << 20) + 1, GuestFault)])
def test_counts_that_cannot_be(guest, name, count, kind):
    guest.cpu.write(0x1000, b"keep")
    with pytest.raises(kind):
        getattr(guest.cpu, name)(0x80, 0x1000, count)
    assert guest.cpu.read(0x1000, 4) == b"keep" and guest.cpu.exits.total == 0
    with pytest.raises(ValueError, match="port 0x10000"):
        getattr(guest.cpu, name)(0x10000, 0x1000, 1)


class Counter:
    """Gives and takes bytes that count up; `block` offers them many at a time."""

    def __init__(self):
        self.next, self.taken = 0, bytearray()

    def read(self, offset, size):
        self.next += size
        return int.from_bytes(bytes(n & 0xFF for n in range(self.next - size, self.next)), "little")

    def write(self, offset, size, value):
        self.taken += value.to_bytes(size, "little")


def test_a_long_string_takes_an_exit_for_each_64_ki_units(guest):
    device = Counter()
    guest.io.attach(0x700, 1, device, "counter", width=1)
    guest.cpu.insb(0x700, 0, 2 * string_io.MAX_UNITS + 3)
    assert guest.cpu.read(0, 2 * string_io.MAX_UNITS + 3) == bytes(n & 0xFF for n in range(2 * string_io.MAX_UNITS + 3))
    guest.cpu.outsb(0x700, 0, string_io.MAX_UNITS + 1)
    assert bytes(device.taken) == guest.cpu.read(0, string_io.MAX_UNITS + 1)
    assert guest.cpu.exits.by_instruction() == {"REP INS": 3, "REP OUTS": 2}
    region = guest.io.find(0x700)
    assert (region.reads, region.writes) == (2 * string_io.MAX_UNITS + 3, string_io.MAX_UNITS + 1)


def test_a_string_that_runs_past_the_end_of_ram(guest):
    device = Counter()
    guest.io.attach(0x700, 1, device, "counter", width=1)
    guest.cpu.insb(0x700, RAM - 4, 10)
    assert guest.cpu.read(RAM - 4, 4) == bytes(range(4)) and device.next == 10
    guest.cpu.outsb(0x700, RAM - 4, 10)
    assert bytes(device.taken) == bytes(range(4)) + b"\xff" * 6
    assert guest.cpu.exits.by_reason() == {"IO_INSTRUCTION": 2, "EPT_VIOLATION": 2 * 2}     # 4 and 2 bytes each


def test_a_string_to_and_from_a_device(guest):
    memory = Pattern(RAM)
    guest.mmio.attach(RAM, PAGE, memory, "memory", width=4)
    guest.io.attach(0x700, 1, Counter(), "counter", width=1)
    guest.cpu.insb(0x700, RAM, 8)
    assert memory.written == [(RAM, 4, 0x0302_0100), (RAM + 4, 4, 0x0706_0504)]     # as wide as the device takes it
    guest.cpu.outsw(0x80, RAM, 4)


class Fussy:
    """Takes two bytes at offset 2 and nothing else."""

    def read(self, offset, size):
        if (offset, size) != (2, 2):
            raise BadAccess("no")
        return 0xBEEF

    def write(self, offset, size, value):
        self.read(offset, size)


ADDRESSES = st.one_of(st.integers(-10, 10), st.integers(RAM - 20, RAM + 20), st.integers(RAM + PAGE - 20, RAM + PAGE + 20),
                      st.sampled_from([1 << 47, 1 << 48, 1 << 52, 1 << 63, 1 << 64]).flatmap(lambda n: st.integers(n - 9, n + 9)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["load", "store", "read", "write", *ALL]), ADDRESSES,
                          st.one_of(st.integers(-2, 20), st.sampled_from([3000, 1 << 40, (1 << 64) - 1, 1 << 64])),
                          st.integers(-1, 1 << 64)), max_size=12))
def test_no_access_leaves_the_guest_other_than_by_a_fault(calls):
    """What is no address, size or count is a ValueError, what the processor refuses a GuestFault; RAM keeps its neighbours."""
    host = Machine(memory_mib=16).host
    before, guest, after = host.guest("before", 1), host.guest("g", 1), host.guest("after", 1)
    guest.mmio.attach(RAM, 6, Fussy(), "fussy", width=2)
    guest.direct.attach(RAM + PAGE, PAGE, Pattern(0), "direct", width=4)
    cpu, exits = guest.cpu, 0
    for name, gpa, number, value in calls:
        try:
            if name in ("load", "read"):
                got = getattr(cpu, name)(gpa, number)
                assert 0 <= got < 1 << 8 * number if name == "load" else len(got) == number
            elif name == "store":
                cpu.store(gpa, number, value)
            elif name == "write":
                cpu.write(gpa, bytes(min(max(number, 0), 4096)))
            else:
                getattr(cpu, name)(value & 0xFFFF, gpa, number)
        except (ValueError, GuestFault):
            pass
        assert cpu.exits.total >= exits
        exits = cpu.exits.total
    assert not any(before.memory.read(0, RAM)) and not any(after.memory.read(0, RAM))
