"""Clock, memory, page tables, address spaces, bus, lines."""

import pytest

from vmio.machine.bus import BadAccess, Bus, BusOverlap
from vmio.machine.clock import NEVER, Clock
from vmio.machine.lines import Line
from vmio.machine.memory import PAGE, HostMemory, MemoryFault, OutOfMemory
from vmio.machine.pagetable import LARGE_PAGE, READ, WRITE, AddressSpace, PageTable, TranslationFault


class Register:
    """Eight bytes that keep what is written; offset 7 does not exist."""

    def __init__(self):
        self.bytes = bytearray(8)

    def read(self, offset, size):
        if offset + size > 7:
            raise BadAccess
        return int.from_bytes(self.bytes[offset:offset + size], "little")

    def write(self, offset, size, value):
        if offset + size > 7:
            raise BadAccess
        self.bytes[offset:offset + size] = value.to_bytes(size, "little")


def test_timers_fire_in_order_of_time_and_ties_in_order_of_setting():
    clock, seen = Clock(), []
    clock.call_at(20, lambda: seen.append(("b", clock.now)))
    clock.call_at(10, lambda: seen.append(("a", clock.now)))
    clock.call_at(20, lambda: seen.append(("c", clock.now)))
    clock.call_at(15, lambda: seen.append(("no", clock.now))).cancel()
    assert clock.deadline() == 10
    clock.advance_to(30)
    assert seen == [("a", 10), ("b", 20), ("c", 20)]
    assert clock.now == 30 and clock.deadline() == NEVER


def test_a_timer_may_set_another_in_the_same_move():
    clock, seen = Clock(), []
    clock.call_at(5, lambda: clock.call_later(5, lambda: seen.append(clock.now)))
    clock.advance_to(9)
    assert seen == []
    clock.advance_to(10)
    assert seen == [10]


def test_time_never_goes_back():
    clock = Clock(100)
    clock.advance_to(50)
    assert clock.now == 100


def test_line_reports_edges_only():
    line, seen = Line("IRQ4"), []
    line.connect(seen.append)
    for level in (1, 1, 0, 0, 1):
        line.set(level)
    assert seen == [1, 0, 1]


def test_bus_refuses_overlap_and_places_outside():
    bus = Bus("ports", 0x100)
    bus.attach(0x10, 8, Register(), "a")
    for base, length in ((0x0C, 5), (0x17, 1), (0x10, 8), (0x00, 0x20)):
        with pytest.raises(BusOverlap, match="overlaps a at 0x10"):
            bus.attach(base, length, Register(), "b")
    with pytest.raises(ValueError, match="not within"):
        bus.attach(0xFC, 8, Register(), "b")
    assert [r.name for r in bus.regions] == ["a"]


def test_undriven_addresses_read_ones_and_writes_are_lost():
    bus = Bus("ports", 0x100)
    region = bus.attach(0x10, 8, Register(), "a", width=4)
    assert bus.read(0x00, 1) == 0xFF and bus.read(0x00, 4) == 0xFFFF_FFFF
    bus.write(0x00, 2, 0x1234)
    assert bus.unclaimed == 1 + 4 + 2
    assert bus.read(0x17, 1) == 0xFF and region.bad == 1
    bus.write(0x17, 1, 1)
    assert region.bad == 2


@pytest.mark.parametrize("width", [1, 2, 4])
def test_wide_accesses_split_to_the_device(width):
    bus, chip = Bus("ports", 0x100), Register()
    bus.attach(0x10, 7, chip, "a", width=width)
    bus.write(0x10, 4, 0x44332211)
    assert chip.bytes[:4] == b"\x11\x22\x33\x44"
    assert bus.read(0x10, 4) == 0x44332211
    assert bus.read(0x15, 2) == 0 and bus.read(0x16, 2) == 0xFF00  # the last byte is nobody's


class Log:
    """Keeps (offset, size, value) of each access; reads give the offset."""

    def __init__(self):
        self.seen = []

    def read(self, offset, size):
        self.seen.append((offset, size, None))
        return offset

    def write(self, offset, size, value):
        self.seen.append((offset, size, value))


@pytest.mark.parametrize("options, at, size, parts", [
    ({}, 0x10, 4, [(0, 1), (1, 1), (2, 1), (3, 1)]), ({"width": 2}, 0x10, 4, [(0, 2), (2, 2)]),
    ({"width": 2}, 0x11, 4, [(1, 1), (2, 2), (4, 1)]), ({"width": 4}, 0x10, 8, [(0, 4), (4, 4)]),
    ({"width": 4}, 0x12, 8, [(2, 2), (4, 4), (8, 2)]), ({"width": 4}, 0x11, 4, [(1, 4)]),
    ({"width": 8}, 0x18, 8, [(8, 8)]), ({"width": 8}, 0x1C, 8, [(12, 4)])])
def test_each_part_of_a_wide_access(options, at, size, parts):
    """A device is asked by its own width, 1 byte if it doesn't say, low address first, and nowhere past its end."""
    bus, device = Bus("memory", 0x100), Log()
    region = bus.attach(0x10, 16, device, **options)
    value = int.from_bytes(range(0xA0, 0xA0 + size), "little")
    bus.write(at, size, value)
    bus.read(at, size)
    assert [(offset, length) for offset, length, stored in device.seen if stored is None] == parts
    assert [(offset, length, stored) for offset, length, stored in device.seen if stored is not None] == [
        (offset, length, value >> 8 * (0x10 + offset - at) & (1 << 8 * length) - 1) for offset, length in parts]
    assert (region.reads, region.writes, region.bad) == (len(parts), len(parts), 0)
    assert bus.unclaimed == 2 * max(at + size - 0x20, 0)


@pytest.mark.parametrize("base, length, free", [
    (0, 0x10, True), (0, 0x11, False), (0x20, 0xE0, True), (0x1F, 1, False), (0x20, 0xE1, False), (0xFF, 1, True),
    (0xFF, 2, False), (-1, 2, False), (0, 0, True), (0x12, 2, False), (0x08, 0x40, False)])
def test_what_is_free(base, length, free):
    bus = Bus("memory", 0x100)
    bus.attach(0x10, 16, Log())
    assert bus.is_free(base, length) is free
    if length:
        try:
            bus.attach(base, length, Log())
            assert free
        except ValueError:
            assert not free


def test_detached_region_is_gone():
    bus = Bus("ports", 0x100)
    changes = []
    bus.on_change.append(lambda: changes.append(1))
    region = bus.attach(0x10, 8, Register(), "a")
    bus.detach(region)
    assert bus.find(0x10) is None and len(changes) == 2


def test_host_memory_bounds_are_faults():
    memory = HostMemory(2 * PAGE)
    with pytest.raises(MemoryFault, match="memory ends at 0x2000"):
        memory.read(2 * PAGE - 1, 2)
    with pytest.raises(MemoryFault):
        memory.write(-1, b"x")
    with pytest.raises(ValueError, match="not a positive multiple"):
        HostMemory(100)
    memory.allocate(1)
    with pytest.raises(OutOfMemory):
        memory.allocate(1)


def test_nothing_may_be_read_and_written_up_to_the_end():
    memory = HostMemory(2 * PAGE)
    assert memory.read(0, 0) == memory.read(2 * PAGE, 0) == b""
    memory.write(2 * PAGE - 1, b"x")
    memory.write(2 * PAGE, b"")
    assert memory.read(2 * PAGE - 1, 1) == b"x" and memory.read(0, 2 * PAGE) == bytes(2 * PAGE - 1) + b"x"
    for spa, length in ((-1, 1), (0, -1), (2 * PAGE, 1), (2 * PAGE + 1, 0), (1, 2 * PAGE)):
        with pytest.raises(MemoryFault):
            memory.read(spa, length)


def test_freed_pages_come_back_scrubbed():
    memory = HostMemory(16 * PAGE)
    spa = memory.allocate(2)
    memory.write(spa, b"secret")
    memory.free(spa, 2)
    assert memory.allocate(2) == spa
    assert memory.read(spa, 6) == bytes(6)


def space(pages=64):
    memory = HostMemory(8 << 20)
    table = PageTable(memory)
    return memory, table, AddressSpace(memory, table)


def test_translation_with_permissions():
    memory, table, guest = space()
    target = memory.allocate(2)
    table.map(0x1000, target, PAGE, READ | WRITE)
    table.map(0x2000, target + PAGE, PAGE, READ)
    guest.write(0x1FF0, b"0123456789abcdef")
    assert guest.read(0x1FF0, 16) == b"0123456789abcdef"
    assert memory.read(target + 0xFF0, 4) == b"0123"
    with pytest.raises(TranslationFault, match="write at 0x2000: not permitted"):
        guest.write(0x1FF8, b"0123456789abcdef")       # crosses into the read-only page
    assert guest.read(0x1FF8, 8) == b"89abcdef"        # and nothing of it was stored
    with pytest.raises(TranslationFault, match="read at 0x3000: not mapped"):
        guest.read(0x2FFF, 2)
    with pytest.raises(TranslationFault):
        guest.read(1 << 60, 1)


def test_large_pages_split_when_a_part_changes():
    memory = HostMemory(16 << 20)
    table = PageTable(memory)
    spa = memory.allocate(2 * 512, align=512)
    table.map(0, spa, 2 * LARGE_PAGE, READ | WRITE)
    assert [level for level, _, _ in table.walk(0x1234)] == [3, 2, 1]
    table.unmap(0x5000, PAGE)
    assert [level for level, _, _ in table.walk(0x4000)] == [3, 2, 1, 0]
    assert table.translate(0x4ABC, READ) == spa + 0x4ABC
    assert table.translate(LARGE_PAGE + 7, READ) == spa + LARGE_PAGE + 7
    with pytest.raises(TranslationFault):
        table.translate(0x5000, READ)


def test_pages_that_an_alignment_passes_over_stay_free():
    memory = HostMemory(1024 * PAGE)
    assert memory.free_pages == 1023
    first = memory.allocate(1)
    assert memory.allocate(256, align=512) == 512 * PAGE and memory.free_pages == 1023 - 257
    assert memory.allocate(510) == first + PAGE and memory.free_pages == 1023 - 257 - 510


def test_spans_merge_what_lies_together():
    memory, table, _ = space()
    a, b = memory.allocate(2), memory.allocate(3)
    table.map(0, a, 2 * PAGE, READ)
    table.map(2 * PAGE, b + PAGE, PAGE, READ)
    assert table.spans(0x800, 2 * PAGE, READ) == [(a + 0x800, 2 * PAGE - 0x800), (b + PAGE, 0x800)]


def test_tlb_forgets_on_unmap():
    memory, table, guest = space()
    table.map(0x1000, memory.allocate(1), PAGE, READ)
    guest.read(0x1000, 1)
    walks = table.walks
    guest.read(0x1001, 1)
    assert table.walks == walks                       # from the cache
    table.unmap(0x1000, PAGE)
    with pytest.raises(TranslationFault):
        guest.read(0x1000, 1)


@pytest.mark.parametrize("bad", [(1, 0x1000, PAGE, 1), (0, 0x1000, 100, 1), (0, 0x1000, PAGE, 0), (0, 0x1000, PAGE, 8),
                                 (1 << 48, 0x1000, PAGE, 1), (0, 1 << 40, PAGE, 1)])
def test_map_refuses_nonsense(bad):
    _, table, _ = space()
    with pytest.raises(ValueError):
        table.map(*bad)
