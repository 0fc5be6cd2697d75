"""Attacks through an emulated disk's bus-master DMA: the table's addresses, its length, the sectors."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import Watchdog, without
from vmio.attacks.emulated import READ_DMA, WRITE_DMA, EmulatedWorld
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import BUFFER, CANARY, SECTORS
from vmio.devices.ata import bmide
from vmio.devices.ata.bmide import END_OF_TABLE, PRD
from vmio.devices.ata.disk import AtaDisk
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu

PIIX = "Intel 82371SB (PIIX3) data sheet 290550, 2.7"
ATTACKS, attack = collection("ata", "emulated", EmulatedWorld, "registers")


class Flat:
    """Host memory from where the guest's RAM begins: a bus address is added, and that is all."""

    def __init__(self, world: EmulatedWorld, tick: Callable[[], None] = lambda: None) -> None:
        self.memory, self.base, self.tick = world.host.memory, world.attacker.ram_spa(0), tick

    def read(self, address: int, length: int) -> bytes:
        self.tick()
        return self.memory.read(self.base + address, length)

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(self.base + address, data)


def flat(world: EmulatedWorld) -> AbstractContextManager:
    """The emulator's DMA goes by arithmetic, not by the guest's table."""
    return without(world.board.bus_master.engines[0], "memory", Flat(world))


def foreign(world: EmulatedWorld) -> bytes:
    """Return a page of the neighbour's, counted from where our RAM begins."""
    return PRD.pack(world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0), 4096 | END_OF_TABLE)


@attack("ata-prd-into-neighbour", "A PRD that points outside of the RAM; read a sector there", "DMA reaches the guest's RAM",
        PIIX, "the emulator's DMA is translated by the guest's table", flat, PASS, FAIL, wall="SLAT, for DMA")
def into(world: EmulatedWorld, cpu: VCpu) -> Steps[None]:
    yield from world.ready(cpu)
    yield from world.dma(cpu, READ_DMA, 0, 8, foreign(world))


@attack("ata-prd-from-neighbour", "A PRD that points outside of the RAM; write it to the disk", "DMA reaches the guest's RAM",
        PIIX, "the emulator's DMA is translated by the guest's table", flat, PASS, FAIL, wall="SLAT, for DMA")
def out_of(world: EmulatedWorld, cpu: VCpu) -> Steps[None]:
    yield from world.ready(cpu)
    yield from world.dma(cpu, WRITE_DMA, 0, 8, foreign(world))


@contextmanager
def endless_table(world: EmulatedWorld) -> Iterator[None]:
    """The walk ends where the guest says so, and nowhere else."""
    engine = world.board.bus_master.engines[0]
    with without(bmide, "TABLE_BYTES", 1 << 40), without(engine, "memory", Flat(world, Watchdog().tick)):
        yield


@attack("ata-prd-endless", "A PRD table without an end", "a PRD table does not cross a 64 KiB boundary",
        "\"Programming Interface for Bus Master IDE Controller\" 1.0, 1.2", "the walk is bounded", endless_table, PASS, WEDGED,
        wall="PRD table's bound")
def endless(world: EmulatedWorld, cpu: VCpu) -> Steps[None]:
    yield from world.ready(cpu)
    cpu.write(0, PRD.pack(BUFFER, 2) * (CANARY // PRD.size))       # all RAM that is not secret of its own
    yield from world.dma(cpu, READ_DMA, 0, 8, PRD.pack(BUFFER, 2) * 512)


@attack("ata-past-the-end", "DMA from sectors after the disk's last", "a sector that isn't there is IDNF or ABRT",
        "ATA/ATAPI-6 (T13/1410D), 8.25 \"READ DMA\"", "LBA and count are compared with the disk's size",
        lambda world: without(AtaDisk, "in_range", lambda self, lba, count: True), REJECT, WEDGED, wall="disk's size check")
def past(world: EmulatedWorld, cpu: VCpu) -> Steps[None]:
    yield from world.ready(cpu)
    yield from world.dma(cpu, READ_DMA, SECTORS - 4, 8, PRD.pack(BUFFER, 4096 | END_OF_TABLE))
