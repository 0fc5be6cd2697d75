"""The 8259A pair beyond the recorded traces: nesting, rotation, EOI forms, cascade, spurious requests."""

import pytest

from vmio.devices.pc.pic import PicPair
from vmio.machine.bus import BadAccess
from vmio.machine.lines import Line

EOI, SPECIFIC_EOI, ROTATE_EOI, SET_PRIORITY, ROTATE_SPECIFIC = 0x20, 0x60, 0xA0, 0xC0, 0xE0
POLL, READ_IRR, READ_ISR, SET_SPECIAL_MASK, CLEAR_SPECIAL_MASK = 0x0C, 0x0A, 0x0B, 0x68, 0x48


class Board:
    """A pair initialised as PCs are: vectors 20h and 28h, slave on IRQ 2."""

    def __init__(self, icw4=1, slave_icw4=None):
        self.intr = Line("INTR")
        self.pic = PicPair(self.intr)
        self.master, self.slave = self.pic.master, self.pic.slave
        for chip, base, wiring, last in ((self.master, 0x20, 4, icw4), (self.slave, 0x28, 2, slave_icw4 or icw4)):
            chip.write(0, 1, 0x11)
            for word in (base, wiring, last):
                chip.write(1, 1, word)

    def raise_(self, *irqs):
        for irq in irqs:
            self.pic.input(irq)(1)

    def lower(self, *irqs):
        for irq in irqs:
            self.pic.input(irq)(0)

    def pulse(self, *irqs):
        self.raise_(*irqs), self.lower(*irqs)


def registers(chip):
    """(IRR, ISR)"""
    chip.write(0, 1, READ_IRR)
    irr = chip.read(0, 1)
    chip.write(0, 1, READ_ISR)
    return irr, chip.read(0, 1)


def test_fully_nested_priorities():
    board = Board()
    board.raise_(5, 3)
    assert board.intr.level == 1
    assert board.pic.acknowledge() == 0x23
    assert registers(board.master) == (0x20, 0x08)
    assert board.intr.level == 0  # 5 waits below 3
    board.raise_(1)
    assert board.pic.acknowledge() == 0x21
    board.master.write(0, 1, EOI)  # ends the highest in service: 1
    assert registers(board.master) == (0x20, 0x08)
    board.master.write(0, 1, EOI)
    assert board.intr.level == 1 and board.pic.acknowledge() == 0x25


def test_an_edge_counts_once_a_level_again_and_again():
    board = Board()
    board.raise_(3)
    board.pic.acknowledge()
    board.master.write(0, 1, EOI)
    assert board.intr.level == 0
    board.pic.elcr.write(0, 1, 0xFF)
    assert board.pic.elcr.read(0, 1) == 0xF8
    board.raise_(4)
    for _ in range(3):
        assert board.pic.acknowledge() == 0x24
        board.master.write(0, 1, EOI)
    board.lower(4)
    assert board.intr.level == 0 and registers(board.master) == (0, 0)


def test_elcr_of_the_slave():
    board = Board()
    board.pic.elcr.write(1, 1, 0xFF)
    assert board.pic.elcr.read(1, 1) == 0xDE
    board.raise_(10)
    for _ in range(2):
        assert board.pic.acknowledge() == 0x2A
        board.slave.write(0, 1, EOI)
        board.master.write(0, 1, EOI)
    board.lower(10)
    assert registers(board.slave) == (0, 0)


def test_slave_comes_through_irq_2_and_needs_two_eois():
    board = Board()
    board.raise_(14, 3)
    assert board.pic.acknowledge() == 0x2E
    assert registers(board.master) == (0x08, 0x04)
    assert registers(board.slave) == (0x00, 0x40)
    board.raise_(8)  # higher on the slave, but the master has IRQ 2 in service
    assert board.intr.level == 0
    board.slave.write(0, 1, EOI)
    board.master.write(0, 1, EOI)
    assert board.pic.acknowledge() == 0x28


def test_special_fully_nested_mode_lets_the_slave_interrupt_itself():
    board = Board(icw4=0x11, slave_icw4=0x01)
    board.raise_(14)
    assert board.pic.acknowledge() == 0x2E
    board.raise_(8)
    assert board.intr.level == 1 and board.pic.acknowledge() == 0x28
    board.slave.write(0, 1, EOI)
    assert registers(board.slave) == (0, 0x40)  # not empty: no EOI for the master yet


def test_spurious_requests_set_no_service_bit():
    board = Board()
    board.pic.elcr.write(0, 1, 0x10)
    board.raise_(4), board.lower(4)
    assert board.pic.acknowledge() == 0x27
    assert registers(board.master) == (0, 0)
    board.pic.elcr.write(1, 1, 0x04)
    board.raise_(10), board.lower(10)  # the edge at the master's IRQ 2 stays
    assert board.pic.acknowledge() == 0x2F
    assert registers(board.slave) == (0, 0)
    assert registers(board.master) == (0, 0x04)


def test_mask():
    board = Board()
    board.master.write(1, 1, 0xF7)
    board.raise_(3, 4)
    assert board.master.read(1, 1) == 0xF7
    assert board.pic.acknowledge() == 0x23
    board.master.write(0, 1, EOI)
    assert board.intr.level == 0 and registers(board.master) == (0x10, 0)
    board.master.write(1, 1, 0)
    assert board.intr.level == 1


def test_specific_eoi():
    board = Board()
    for irq in (5, 3):
        board.raise_(irq)
        board.pic.acknowledge()
    board.master.write(0, 1, SPECIFIC_EOI | 5)
    assert registers(board.master) == (0, 0x08)


def test_rotate_on_non_specific_eoi_makes_it_the_lowest():
    board = Board()
    board.raise_(4)
    board.pic.acknowledge()
    board.master.write(0, 1, ROTATE_EOI)
    board.lower(4), board.raise_(4, 6, 3)
    assert [board.pic.acknowledge()] == [0x26]
    board.master.write(0, 1, EOI)
    assert board.pic.acknowledge() == 0x23
    board.master.write(0, 1, EOI)
    assert board.pic.acknowledge() == 0x24


def test_set_priority_and_rotate_on_specific_eoi():
    board = Board()
    board.master.write(0, 1, SET_PRIORITY | 3)  # 4 is the highest now
    board.raise_(0, 4)
    assert board.pic.acknowledge() == 0x24
    board.master.write(0, 1, ROTATE_SPECIFIC | 4)
    assert registers(board.master) == (0x01, 0)
    board.lower(4), board.raise_(4, 5)
    assert board.pic.acknowledge() == 0x25


def test_automatic_eoi_with_and_without_rotation():
    board = Board(icw4=3)
    board.raise_(3, 5)
    assert [board.pic.acknowledge(), board.pic.acknowledge()] == [0x23, 0x25]
    assert registers(board.master) == (0, 0)
    board.lower(3, 5)
    board.master.write(0, 1, 0x80)  # rotate in automatic EOI mode
    board.raise_(3, 5)
    assert board.pic.acknowledge() == 0x23
    board.lower(3), board.raise_(3)
    assert board.pic.acknowledge() == 0x25
    assert board.pic.acknowledge() == 0x23
    board.master.write(0, 1, 0x00)
    board.lower(3, 5), board.raise_(3)
    assert board.pic.acknowledge() == 0x23


def test_automatic_eoi_loses_no_request_of_the_slave():
    board = Board(icw4=3)
    board.raise_(9, 12, 15)
    assert [board.pic.acknowledge() for _ in range(3)] == [0x29, 0x2C, 0x2F]
    assert board.intr.level == 0


def test_special_mask_mode_lets_lower_ones_in():
    board = Board()
    board.raise_(3, 6)
    board.pic.acknowledge()
    board.master.write(1, 1, 0x08)
    assert board.intr.level == 0
    board.master.write(0, 1, SET_SPECIAL_MASK)
    assert board.intr.level == 1
    board.master.write(0, 1, CLEAR_SPECIAL_MASK)
    assert board.intr.level == 0


def test_poll_acknowledges():
    board = Board()
    board.raise_(5)
    board.master.write(0, 1, POLL)
    assert board.master.read(0, 1) == 0x85
    assert board.master.read(0, 1) == 0x00  # poll is over: this is IRR
    assert registers(board.master) == (0, 0x20)
    board.master.write(0, 1, POLL)
    assert board.master.read(1, 1) == 0x00  # nothing above IR5 waits


def test_icw1_clears_masks_service_and_edges_but_not_levels():
    board = Board()
    board.pic.elcr.write(0, 1, 0x20)
    board.raise_(3, 4, 5)
    board.pic.acknowledge()
    board.master.write(1, 1, 0xFF)
    board.master.write(0, 1, 0x11)
    for word in (0x40, 4, 1):
        board.master.write(1, 1, word)
    assert board.master.read(1, 1) == 0 and board.master.read(0, 1) == 0x20
    assert board.pic.acknowledge() == 0x45


@pytest.mark.parametrize("icw1, words", [(0x10, 2), (0x11, 3), (0x12, 1), (0x13, 2), (0x18, 2)])
def test_number_of_initialisation_words(icw1, words):
    board = Board()
    board.master.write(0, 1, icw1)
    for n in range(words):
        board.master.write(1, 1, 0xA8 if n == 0 else 1)
        assert board.master.read(1, 1) == 0
    board.master.write(1, 1, 0x5A)
    assert board.master.read(1, 1) == 0x5A
    board.raise_(0)
    assert board.pic.acknowledge() == 0xA8


def test_only_bytes_at_two_offsets():
    board = Board()
    for device in (board.master, board.slave, board.pic.elcr):
        for offset, size in ((0, 2), (1, 4), (2, 1)):
            with pytest.raises(BadAccess):
                device.read(offset, size)
            with pytest.raises(BadAccess):
                device.write(offset, size, 0)
    with pytest.raises(ValueError, match="IRQ is 16"):
        board.pic.input(16)


def test_save_and_restore():
    board = Board()
    board.pic.elcr.write(1, 1, 0x08)
    board.raise_(11, 3)
    board.pic.acknowledge()
    twin = PicPair(Line("INTR"))
    twin.restore(board.pic.save())
    assert twin.save() == board.pic.save() and twin.line.level == board.intr.level
    for pic in (board.pic, twin):
        pic.slave.write(0, 1, EOI)
        pic.master.write(0, 1, EOI)
    assert twin.acknowledge() == board.pic.acknowledge() == 0x2B
