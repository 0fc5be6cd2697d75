"""The world of full emulation: each guest has a board of its own with an ATA disk."""

from vmio.attacks.world import World
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes import GuestMachine
from vmio.modes.disk_emulated import BUS_MASTER, EmulatedDisk, map_bus_master

PRD_TABLE = 0x8000
ATA = 0x1F0
COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS = range(ATA + 2, ATA + 8)
READ_DMA, WRITE_DMA, READ_SECTORS, WRITE_SECTORS = 0xC8, 0xCA, 0x20, 0x30
BUSY, DATA_REQUEST, ERROR = 0x80, 0x08, 0x01


class EmulatedWorld(World):
    """The attacker's disk, if it has one, and the neighbour's are emulated."""

    attackers_disk = True

    def __init__(self) -> None:
        super().__init__()
        attacker, neighbour = self.machine.guests
        self.fit(attacker)
        neighbour.attach(EmulatedDisk(), self.theirs)
        self.machine.power_on()

    @property
    def board(self) -> Board:
        """The attacker's emulated PC."""
        return self.machine.guests[0].board

    def fit(self, attacker: GuestMachine) -> None:
        """Plan the attacker's devices."""
        if self.attackers_disk:
            attacker.attach(EmulatedDisk(), self.own)

    def bring_up(self, cpu: VCpu) -> Steps:
        """Firmware's part, the interrupt controller, the driver with bus-master DMA."""
        map_bus_master(cpu)
        pic.init(cpu)
        disk = AtaDriver(cpu, transfer="dma", interrupts=True, bus_master=BUS_MASTER)
        yield from disk.init()
        if cpu.guest is self.neighbour:
            channel = self.machine.guests[1].board.ata[0]
            self.watch_state("neighbour's registers", lambda: channel.control_bits)
        return disk

    def ready(self, cpu: VCpu) -> Steps[None]:
        """The attacker's disk brought up, and the attack begun."""
        yield from self.bring_up(cpu)
        yield from self.begin(cpu)

    def dma(self, cpu: VCpu, command: int, lba: int, sectors: int, table: bytes) -> Steps[None]:
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


def task(cpu: VCpu, command: int, lba: int, sectors: int) -> None:
    """Fill the task file (ATA/ATAPI-6, 28-bit LBA)."""
    cpu.outb(DEVICE, 0xE0 | lba >> 24)
    for port, value in ((COUNT, sectors), (LBA_LOW, lba), (LBA_MID, lba >> 8), (LBA_HIGH, lba >> 16)):
        cpu.outb(port, value & 0xFF)
    cpu.outb(STATUS, command)
