"""A board with a disk, and the ports that a guest may touch on it."""

from vmio.devices.ata.disk import AtaDisk
from vmio.devices.board import Board
from vmio.machine.storage import Image

PORTS = [*range(0x20, 0x22), *range(0x40, 0x44), 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xA0, 0xA1, 0x4D0, 0x4D1,
         *range(0x3F8, 0x400), *range(0x1F0, 0x1F8), 0x3F6, *range(0x170, 0x178), 0x376, *range(0xCF8, 0xD00),
         *range(0xC000, 0xC010)]
DISK = bytes(range(256)) * 2 * 64


def machine(host):
    """(guest, board): one more guest of `host` with a disk of 64 sectors that takes 1 us a request."""
    guest = host.guest(ram_mib=2)
    disk = AtaDisk(Image.open(DISK))
    board = Board(guest, (disk,), service=lambda op, sectors, done: guest.clock.call_later(1000, done))
    return guest, board
