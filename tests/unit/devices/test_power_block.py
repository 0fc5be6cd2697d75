"""The PIIX4's power management: registers that answer where software puts them, events, the machine switched off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio.devices.board import Board
from vmio.devices.pc.power_block import HZ, PowerBlock
from vmio.machine.bus import BadAccess
from vmio.machine.clock import NEVER, Clock
from vmio.machine.lines import Line
from vmio.machine.probes import watch
from vmio.modes import one_guest

HALF_NS, TWO_HALVES_NS = (-(-n * (1 << 23) * 1_000_000_000 // HZ) for n in (1, 2))     # bit 23 of the timer changes every 2.34 s


@pytest.fixture
def block():
    return PowerBlock(Clock(), Line("SCI"))


@pytest.fixture
def board():
    return Board(one_guest(ram_mib=1).guest)


def config(board, register, value, size=4):
    board.guest.io.write(0xCF8, 4, 1 << 31 | 1 << 11 | 3 << 8 | register & ~3)
    board.guest.io.write(0xCFC + (register & 3), size, value)


def test_it_answers_where_software_puts_it(board):
    io = board.guest.io
    assert io.read(0x604, 2) == 0xFFFF
    config(board, 0x40, 0x601)
    assert io.read(0x604, 2) == 0xFFFF                # a base alone is not enough
    config(board, 0x80, 1, 1)
    assert io.read(0x604, 2) == 0
    config(board, 0x40, 0xB03F)                       # bits 5:0 are no part of the base
    assert io.read(0x604, 2) == 0xFFFF and io.read(0xB004, 2) == 0 and io.find(0xB000).length == 64
    config(board, 0x80, 0, 1)
    assert io.find(0xB000) is None
    config(board, 0x80, 1, 1)
    board.reset()
    assert io.find(0xB000) is None


def test_who_was_there_first_keeps_the_ports(board):
    config(board, 0x80, 1, 1)
    config(board, 0x40, 0x1C1)                        # the disk's ports are within
    assert board.guest.io.find(0x1F0).name == "ata" and board.guest.io.find(0x1C0) is None


def test_a_saved_board_has_them_where_they_were(board):
    config(board, 0x40, 0x601)
    config(board, 0x80, 1, 1)
    board.guest.io.write(0x602, 2, 0x0121)
    board.guest.io.write(0x604, 2, 1)
    state = board.save()
    other = Board(one_guest(ram_mib=1).guest)
    other.restore(state)
    assert other.guest.io.read(0x600, 4) == 0x0121_0000 and other.guest.io.read(0x604, 2) == 1
    assert other.save() == state and [timer.when for name, timer in other.timers() if name == "power, overflow"] == [HALF_NS]


def test_only_what_the_data_sheet_has_sticks(block):
    block.write(2, 2, 0xFFFF)
    block.write(4, 2, 0xDFFF)
    assert (block.read(0, 4), block.read(4, 4)) == (0x0521_0000, 0x1C01)
    block.write(3, 1, 0)                              # a byte of it
    block.write(4, 1, 0)
    assert (block.read(2, 2), block.read(4, 2)) == (0x0021, 0x1C00)
    block.reset()
    assert block.read(0, 4) == block.read(4, 4) == 0


def test_the_timer_counts(block):
    block.clock.advance_to(1_000_000)
    assert block.read(8, 4) == 3579
    block.write(8, 4, 0)
    assert block.read(8, 2) == 3579 and block.read(9, 1) == 3579 >> 8
    block.clock.advance_to(TWO_HALVES_NS)
    assert block.read(8, 4) == 0                      # of 24 bits


def test_its_overflow_is_an_event(block):
    block.clock.advance_to(HALF_NS - 1)
    assert block.read(0, 2) == 0
    block.clock.advance_to(HALF_NS)
    assert block.read(0, 2) == 1 and block.sci.level == 0
    block.write(2, 2, 1)
    assert block.sci.level == 0                       # not by SCI yet
    block.write(4, 2, 1)
    assert block.sci.level == 1
    block.write(0, 2, 1)
    assert block.read(0, 2) == 0 and block.sci.level == 0
    block.clock.advance_to(TWO_HALVES_NS - 1)
    assert block.sci.level == 0
    block.clock.advance_to(TWO_HALVES_NS)
    assert block.sci.level == 1 and block.clock.deadline() == NEVER      # nothing new until the guest has cleared it


def test_nobody_waits_for_what_nobody_wants_to_know(block):
    block.write(2, 2, 1)
    assert block.clock.deadline() == NEVER
    block.write(4, 2, 1)
    assert block.clock.deadline() == HALF_NS


def test_switched_off(block):
    heard = []
    watch(block, "off", lambda: heard.append(block.clock.now))
    block.write(4, 2, 0x2401)                         # type 1: suspend to RAM
    assert heard == []
    block.write(4, 2, 0x2001)
    assert heard == [0] and block.read(4, 2) == 1     # SUS_EN reads 0
    block.write(5, 1, 0x20)
    assert heard == [0, 0]


def test_nobody_listens(block):
    block.write(4, 2, 0x2000)


@pytest.mark.parametrize("offset, size", [(0, 3), (0, 8), (12, 1), (10, 4), (63, 1), (-1, 1)])
def test_what_is_no_register(block, offset, size):
    with pytest.raises(BadAccess):
        block.read(offset, size)
    with pytest.raises(BadAccess):
        block.write(offset, size, 0)


@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from([1, 2, 4]), st.integers(0, 0xFFFF_FFFF), st.integers(0, 3_000_000_000)), max_size=30))
def test_whatever_is_written_the_line_says_what_the_registers_say(acts):
    one = PowerBlock(Clock(), Line("SCI"))
    for offset, size, value, ns in acts:
        if offset + size <= 12:
            one.write(offset, size, value & (1 << 8 * size) - 1)
        one.clock.advance_to(one.clock.now + ns)
        status, enable, control = one.read(0, 2), one.read(2, 2), one.read(4, 2)
        assert one.sci.level == int(bool(status & enable) and control & 1) and not status & ~1
    other = PowerBlock(Clock(one.clock.now), Line("SCI"))
    other.restore(one.save())
    assert other.save() == one.save() and other.sci.level == one.sci.level
