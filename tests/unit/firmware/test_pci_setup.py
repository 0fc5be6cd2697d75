"""What the firmware leaves in the board's registers before an operating system runs: none of it is an access of a guest's."""

import pytest

from vmio.devices.board import Board
from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import Identity, PciFunction
from vmio.firmware import pci_setup
from vmio.modes import one_guest


class Register:
    """Answers with the offset."""

    def read(self, offset, size):
        return offset

    def write(self, offset, size, value):
        pass


def function(*bars, pin=1):
    return PciFunction(Identity(0x1234, 0xADD0, 0xFF0000), dict(bars), pin=pin)


@pytest.fixture
def board():
    board = Board(one_guest(ram_mib=1).guest)
    board.plug(3, function((0, Bar(64, io=True, registers=Register())), (1, Bar(16384, wide=True, registers=Register())),
                           (3, Bar(16, registers=Register())), (4, Bar(16, registers=Register()))), "first")
    board.plug(4, function((0, Bar(1 << 20, registers=Register())), pin=2), "second")
    board.plug(5, function(pin=0), "third")
    pci_setup.set_up(board)
    return board


def config(board, slot, number, at, size):
    return board.pci.functions[slot, number].read(at, size)


def test_nothing_is_counted(board):
    guest = board.guest
    assert guest.cpu.exits.total == 0 and guest.cpu.now == 0
    assert sum(region.reads + region.writes for bus in (guest.io, guest.mmio) for region in bus._regions) == 0


def test_interrupts_are_routed_and_level_triggered(board):
    assert [config(board, 1, 0, 0x60 + n, 1) for n in range(4)] == [10, 11, 10, 11]
    assert (board.pic.elcr.read(0, 1), board.pic.elcr.read(1, 1)) == (0, 0x0C)
    board.pci.functions[3, 0].set_interrupt(1)        # slot 3's INTA# is PIRQC#
    assert [n for n, line in enumerate(board.guest.lines) if line.level] == [10] == [config(board, 3, 0, 0x3C, 1)]
    board.pci.functions[3, 0].set_interrupt(0)
    board.pci.functions[4, 0].set_interrupt(1)        # slot 4's INTB# is PIRQA#
    assert [n for n, line in enumerate(board.guest.lines) if line.level] == [10] == [config(board, 4, 0, 0x3C, 1)]
    assert config(board, 5, 0, 0x3C, 1) == 0


def test_both_channels_decode_their_ports(board):
    assert config(board, 1, 1, 0x40, 4) == 0x8000_8000


def test_bars_have_addresses_of_their_own(board):
    io, mmio = board.guest.io, board.guest.mmio
    assert config(board, 1, 1, 0x20, 4) == 0xC001 and io.find(0xC000).name == "bus master"
    assert config(board, 3, 0, 0x10, 4) == 0xC041 and io.find(0xC040).length == 64
    assert config(board, 3, 0, 0x14, 8) == 0xE000_0004 and mmio.find(0xE000_0000).length == 16384
    assert config(board, 3, 0, 0x1C, 4) == 0xE000_4000 and mmio.find(0xE000_4000).length == 16
    assert config(board, 3, 0, 0x20, 4) == 0xE000_5000      # a page of its own, so that it can be given away alone
    assert config(board, 4, 0, 0x10, 4) == 0xE010_0000 and mmio.find(0xE010_0000).length == 1 << 20
    assert config(board, 4, 0, 0x04, 2) == 3 and config(board, 5, 0, 0x04, 2) == 0


def test_power_management_is_at_600h_and_interrupts_as_acpi_wants_it(board):
    assert board.guest.io.find(0x600).name == "power" and board.guest.io.read(0x604, 2) == 1
    assert config(board, 1, 3, 0x3C, 1) == 9


def test_no_room():
    board = Board(one_guest(ram_mib=1).guest)
    board.plug(6, function((0, Bar(1 << 29, registers=Register()))), "large")
    with pytest.raises(ValueError, match="^PCI: no room for the BARs of slot 6$"):
        pci_setup.set_up(board)
