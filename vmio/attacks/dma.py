"""Attacks by a passed-through device's DMA: IOMMU off and on, and a translation that should have been forgotten."""

from contextlib import contextmanager

from vmio.attacks.assigned import AssignedWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.verdict import FAIL, PASS, REJECT
from vmio.attacks.world import CANARY, NEIGHBOUR_RAM
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import TranslationFault
from vmio.passthrough.requester import requester_id
from vmio.passthrough.strategies import Lazy

VTD = "Intel VT-d specification 3.4 \"Address Translation\""
SECOND = requester_id(0, 31)         # another device of the attacker's
ATTACKS, attack = collection("dma", "passthrough", AssignedWorld)


@contextmanager
def iommu_off(world):
    """GCMD.TE is 0: a device's addresses are the host's."""
    world.iommu.disable()
    yield


def transfer(world, cpu, kind, spa):
    """One command of a page with a host address."""
    driver = yield from world.drive(cpu)
    yield from getattr(driver, kind)(0, 8, spa)


@attack("dma-into-neighbour", "Let the device write into the neighbour's RAM", "a device reaches its domain", VTD,
        "IOMMU on", iommu_off, REJECT, FAIL)
def into(world, cpu):
    yield from transfer(world, cpu, "read", world.neighbour.ram_spa(CANARY))


@attack("dma-from-neighbour", "Let the device read the neighbour's RAM", "a device reaches its domain", VTD,
        "IOMMU on", iommu_off, REJECT, FAIL)
def out_of(world, cpu):
    yield from transfer(world, cpu, "write", world.neighbour.ram_spa(CANARY))


@attack("dma-into-the-tables", "Let the device write into the IOMMU's own tables", "a device reaches its domain", VTD,
        "IOMMU on", iommu_off, PASS, FAIL)
def tables(world, cpu):
    # Translated, the tables' own address is just a number: it names a page of the attacker's RAM.
    yield from transfer(world, cpu, "read", world.iommu.remapper.root)


@attack("dma-stale-mapping", "Use a buffer's address after it was taken back", "what is unmapped is invalidated before it is used again",
        "Intel VT-d specification 6.5 \"Invalidation of Translation Caches\"", "strict invalidation, not lazy",
        lambda world: without(world, "strategy", Lazy), REJECT, FAIL)
def stale(world, cpu):
    yield from world.begin(cpu)
    domain = world.iommu.domain()
    world.iommu.attach(SECOND, domain)
    device, page = world.iommu.space(SECOND), 0x2F_0000
    lender = world.strategy(world.iommu, domain, world.neighbour)
    address = lender.map(page, PAGE)
    device.read(address, 64)                           # the IOTLB has it now
    lender.unmap(address, PAGE)
    world.neighbour.memory.write(page, NEIGHBOUR_RAM)  # the page is private again
    try:
        world.loot += device.read(address, 64)
    except TranslationFault as fault:
        world.told(str(fault))
