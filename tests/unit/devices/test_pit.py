"""The 8254 and port 61h beyond the recorded traces: access, latches, modes, edges."""

import pytest

from vmio.devices.pc.pit import PIT_HZ, Pit, from_bcd, to_bcd
from vmio.devices.pc.port61 import Port61
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line

CONTROL = 3
LOW, HIGH, WORD = 0x10, 0x20, 0x30


class Board:
    """A timer, port 61h, and the edges of IRQ 0 with their times."""

    def __init__(self, **options):
        self.clock, self.irq0, self.edges = Clock(), Line("irq0"), []
        self.irq0.connect(lambda level: self.edges.append((self.clock.now, level)))
        self.pit = Pit(self.clock, self.irq0, **options)
        self.port61 = Port61(self.clock, self.pit)

    def program(self, channel, mode, count, access=WORD, bcd=0):
        self.pit.write(CONTROL, 1, channel << 6 | access | mode << 1 | bcd)
        if access & LOW:
            self.pit.write(channel, 1, count & 0xFF)
        if access & HIGH:
            self.pit.write(channel, 1, count >> 8)

    def ticks(self, n):
        """Move to the first ns at which `n` more whole ticks have gone by since 0."""
        self.clock.advance_to(-(-n * 1_000_000_000 // PIT_HZ))

    def read(self, channel, n=2):
        return bytes(self.pit.read(channel, 1) for _ in range(n))

    def count(self, channel):
        self.pit.write(CONTROL, 1, channel << 6)
        return int.from_bytes(self.read(channel), "little")


@pytest.mark.parametrize("mode", [0, 1, 4, 5])
def test_one_shot_modes_count_on_through_zero(mode):
    board = Board()
    board.program(2, mode, 1000)
    for ticks, count in ((1, 999), (999, 1), (1000, 0), (1001, 0xFFFF), (1000 + 0x10000, 0)):
        board.ticks(ticks)
        assert board.count(2) == count


@pytest.mark.parametrize("mode", [2, 6])
def test_rate_generator_reloads_after_one(mode):
    board = Board()
    board.program(2, mode, 1000)
    for ticks, count in ((1, 999), (999, 1), (1000, 1000), (1001, 999)):
        board.ticks(ticks)
        assert board.count(2) == count


@pytest.mark.parametrize("mode", [3, 7])
def test_square_wave_counts_by_two(mode):
    board = Board()
    board.program(2, mode, 1000)
    for ticks, count, out in ((1, 998, 1), (499, 2, 1), (500, 1000, 0), (999, 2, 0), (1000, 1000, 1)):
        board.ticks(ticks)
        assert (board.count(2), board.pit.out(2)) == (count, out)


@pytest.mark.parametrize("mode, levels", [
    (0, {1: 0, 999: 0, 1000: 1, 5000: 1}),
    (1, {1: 1, 999: 1, 1000: 0, 5000: 0}),
    (4, {1: 0, 999: 0, 1000: 1, 1001: 0, 2000: 0}),
    (5, {1: 0, 999: 0, 1000: 1, 1001: 0, 2000: 0}),
])
def test_out_by_mode(mode, levels):
    board = Board()
    board.program(0, mode, 1000)
    for ticks, level in levels.items():
        board.ticks(ticks)
        assert board.pit.out(0) == level
        assert board.irq0.level == level


def test_mode_2_interrupts_once_a_period_and_is_low_for_one_tick():
    board = Board()
    board.program(0, 2, 1000)
    board.edges.clear()
    board.clock.advance_to(10_000_000)
    rises = [when for when, level in board.edges if level]
    falls = [when for when, level in board.edges if not level]
    assert rises == [(1000 * n + 1) * 1_000_000_000 // PIT_HZ for n in range(1, len(rises) + 1)]
    assert falls == [1000 * n * 1_000_000_000 // PIT_HZ for n in range(2, len(falls) + 2)]
    assert len(rises) == 11


def test_edges_of_irq_0_come_at_the_tick():
    board = Board()
    board.program(0, 3, 1193)
    board.edges.clear()
    board.clock.advance_to(100_000_000)
    halves = [597 if n % 2 else 596 for n in range(1, len(board.edges) + 1)]
    tick = 0
    for (when, _), half in zip(board.edges, halves):
        tick += half
        assert when == -(-tick * 1_000_000_000 // PIT_HZ)
    assert len(board.edges) == 200


def test_power_on_is_18_hz_until_it_is_programmed():
    board = Board()
    board.clock.advance_to(1_000_000_000)
    rises = [when for when, level in board.edges if level]
    periods = {after - before for before, after in zip(rises[1:], rises[2:])}
    assert len(rises) == 19 and periods <= {54_925_401, 54_925_402}


def test_mode_0_keeps_the_old_count_until_a_new_one_is_whole():
    board = Board()
    board.pit.write(CONTROL, 1, WORD)  # mode 0, no count
    board.clock.advance_to(3_000_000_000)
    assert [level for _, level in board.edges] == [1]  # once, after 65,536 ticks
    board.pit.write(0, 1, 100)
    assert board.irq0.level == 1
    board.pit.write(0, 1, 0)
    assert board.irq0.level == 0
    board.clock.advance_to(4_000_000_000)
    assert [level for _, level in board.edges] == [1, 0, 1]


def test_byte_access():
    board = Board()
    board.program(2, 0, 0x80, access=LOW)
    assert board.read(2) == b"\x80\x80"
    board.program(2, 0, 0x1200, access=HIGH)
    assert board.read(2) == b"\x12\x12"
    board.program(2, 0, 0x1234)
    assert board.read(2, 4) == b"\x34\x12\x34\x12"


def test_count_zero_is_65536():
    board = Board()
    board.program(2, 0, 0)
    board.ticks(0xFFFF)
    assert board.count(2) == 1 and board.pit.out(2) == 0
    board.ticks(0x10000)
    assert board.count(2) == 0 and board.pit.out(2) == 1


def test_latch_holds_and_a_second_is_ignored():
    board = Board()
    board.program(2, 2, 5000)
    board.pit.write(CONTROL, 1, 0x80)
    board.ticks(100)
    board.pit.write(CONTROL, 1, 0x80)
    assert board.read(2) == (5000).to_bytes(2, "little")
    assert board.read(2) == (4900).to_bytes(2, "little")


def test_read_back_gives_status_first_then_count():
    board = Board()
    board.program(1, 2, 4000)
    board.program(2, 3, 3000)
    board.pit.write(CONTROL, 1, 0xC0 | 0x0C)  # both, channels 1 and 2
    board.pit.write(CONTROL, 1, 0xE0 | 0x0C)  # status again: ignored
    board.ticks(50)
    assert board.read(1, 3) == bytes([0x34]) + (4000).to_bytes(2, "little")
    assert board.read(2, 3) == bytes([0xB6]) + (3000).to_bytes(2, "little")


def test_reset_state_reads_low_bytes_only():
    board = Board()
    board.pit.write(CONTROL, 1, 0x00)  # no access chosen: nothing to latch
    board.ticks(10)
    assert board.read(0) == bytes([0xEC, 0xEC])


def test_decimal_counting():
    board = Board()
    board.program(2, 0, 0x1000, bcd=1)
    for ticks, count in ((1, 0x0999), (990, 0x0010), (1000, 0), (1001, 0x9999)):
        board.ticks(ticks)
        assert board.count(2) == count
    board.program(2, 2, 0, bcd=1)  # ten thousand
    assert board.pit.counters[2].count == 10_000 and board.count(2) == 0
    assert [to_bcd(from_bcd(n)) for n in (0, 0x1234, 0x9999)] == [0, 0x1234, 0x9999]


def test_binary_whatever_the_bcd_bit_when_asked():
    board = Board(decimal=False)
    board.program(2, 0, 0x1000, bcd=1)
    board.ticks(1)
    assert board.count(2) == 0x0FFF
    board.pit.write(CONTROL, 1, 0xE8)
    assert board.read(2, 1) == bytes([0x31])


@pytest.mark.parametrize("mode, restarts", [(0, False), (1, True), (2, True), (3, True), (4, False), (5, True)])
def test_rising_gate(mode, restarts):
    board = Board()
    board.program(2, mode, 1000)
    board.ticks(300)
    before = board.count(2)
    board.port61.write(0, 1, 1)
    assert board.count(2) == (1000 if restarts else before)
    board.ticks(400)
    before = board.count(2)
    board.port61.write(0, 1, 1)  # no edge
    assert board.count(2) == before


def test_port_61_bits():
    board = Board()
    board.program(2, 0, 1000)
    board.port61.write(0, 1, 0xFF)
    assert [board.port61.read(0, 1) for _ in range(3)] == [0x13, 0x03, 0x13]
    assert board.port61.tone == 0
    board.ticks(1000)
    assert board.port61.read(0, 1) == 0x23 and board.port61.tone == 1
    board.port61.write(0, 1, 0)
    assert board.port61.read(0, 1) == 0x30 and board.port61.tone == 0


def test_only_bytes_within_range():
    board = Board()
    assert board.pit.read(CONTROL, 1) == 0
    for device, offset, size in ((board.pit, 0, 2), (board.pit, 4, 1), (board.port61, 0, 4), (board.port61, 1, 1)):
        with pytest.raises(BadAccess):
            device.read(offset, size)
        with pytest.raises(BadAccess):
            device.write(offset, size, 0)


def test_save_and_restore():
    board = Board()
    board.program(0, 3, 5000)
    board.pit.write(CONTROL, 1, 0xD2)
    board.port61.write(0, 1, 3)
    board.ticks(1234)
    twin = Board()
    twin.clock.advance_to(board.clock.now)
    twin.pit.restore(board.pit.save())
    twin.port61.restore(board.port61.save())
    assert twin.irq0.level == board.irq0.level
    board.edges.clear(), twin.edges.clear()
    for one in (board, twin):
        one.ticks(50_000)
    assert board.edges == twin.edges and board.edges
    assert board.pit.save() == twin.pit.save()
    assert board.port61.read(0, 1) == twin.port61.read(0, 1)
