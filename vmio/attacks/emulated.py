"""The world of full emulation: each guest has a board of its own with an ATA disk."""

from vmio.attacks.world import World
from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver

BUS_MASTER = 0xC000
PRD_TABLE = 0x8000
ATA = 0x1F0
COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS = range(ATA + 2, ATA + 8)
READ_DMA, WRITE_DMA, READ_SECTORS, WRITE_SECTORS = 0xC8, 0xCA, 0x20, 0x30
BUSY, DATA_REQUEST, ERROR = 0x80, 0x08, 0x01


class EmulatedWorld(World):
    """`board` is the attacker's."""

    def __init__(self):
        super().__init__()
        self.board = self._board(self.attacker, self.own)
        self._board(self.neighbour, self.theirs)

    def _board(self, guest, image):
        def service(kind, sectors, done):
            if kind in ("buffer", "reset"):
                done()
            else:
                guest.clock.call_later(self.host.costs.disk_ns(kind, sectors), done)
        return Board(guest, (AtaDisk(image),), service)

    def bring_up(self, cpu):
        """Firmware's part, the interrupt controller, the driver with bus-master DMA."""
        for register, value in ((0x20, BUS_MASTER | 1), (0x04, 0x0005)):
            cpu.outl(0xCF8, 0x8000_0900 | register)
            cpu.outl(0xCFC, value)
        pic.init(cpu)
        disk = AtaDriver(cpu, transfer="dma", interrupts=True, bus_master=BUS_MASTER)
        yield from disk.init()
        return disk

    def ready(self, cpu):
        """The attacker's disk brought up, and the attack begun."""
        yield from self.bring_up(cpu)
        yield from self.begin(cpu)

    def dma(self, cpu, command, lba, sectors, table):
        """One DMA command with a PRD table of our own making, as bytes; told if the disk refuses."""
        cpu.write(PRD_TABLE, table)
        cpu.outl(BUS_MASTER + 4, PRD_TABLE)
        cpu.outb(BUS_MASTER, 8 if command == READ_DMA else 0)
        task(cpu, command, lba, sectors)
        cpu.outb(BUS_MASTER, 9 if command == READ_DMA else 1)
        yield from cpu.hlt(1_000_000)
        yield from cpu.hlt(1_000_000)
        if cpu.inb(STATUS) & ERROR:
            self.told("ATA error")
        cpu.outb(BUS_MASTER, 0)


def task(cpu, command, lba, sectors):
    """Fill the task file (ATA/ATAPI-6, 28-bit LBA)."""
    cpu.outb(DEVICE, 0xE0 | lba >> 24)
    for port, value in ((COUNT, sectors), (LBA_LOW, lba), (LBA_MID, lba >> 8), (LBA_HIGH, lba >> 16)):
        cpu.outb(port, value & 0xFF)
    cpu.outb(STATUS, command)
