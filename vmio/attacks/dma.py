"""Attacks by a passed-through device's DMA: IOMMU off and on, and a translation that should have been forgotten."""

from collections.abc import Iterator
from contextlib import contextmanager
from struct import unpack
from typing import Any

from vmio.attacks.assigned import AssignedWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import Watchdog, without
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import BUFFER, CANARY, NEIGHBOUR_RAM
from vmio.drivers.nvme import OPCODES
from vmio.hardware.nvme import sgl as nvme_sgl
from vmio.hardware.nvme.wire import SQE_RW
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import TranslationFault
from vmio.passthrough.iommu.requester import requester_id
from vmio.passthrough.strategies import Lazy

VTD = "Intel VT-d specification 3.4 \"Mapping Devices to Domains\""
SECOND = requester_id(0, 31)         # another device of the attacker's
ATTACKS, attack = collection("dma", "passthrough", AssignedWorld, "device's DMA")


@contextmanager
def iommu_off(world: AssignedWorld) -> Iterator[None]:
    """GCMD.TE is 0: a device's addresses are the host's."""
    world.iommu.disable()
    yield


def transfer(world: AssignedWorld, cpu: VCpu, kind: str, spa: int) -> Steps:
    """One command of a page with a host address."""
    driver = yield from world.drive(cpu)
    yield from getattr(driver, kind)(0, 8, spa)


@attack("dma-into-neighbour", "Let the device write into the neighbour's RAM", "a device reaches its domain", VTD,
        "IOMMU on", iommu_off, REJECT, FAIL, wall="IOMMU domain")
def into(world: AssignedWorld, cpu: VCpu) -> Steps:
    yield from transfer(world, cpu, "read", world.neighbour.ram_spa(CANARY))


@attack("dma-from-neighbour", "Let the device read the neighbour's RAM", "a device reaches its domain", VTD,
        "IOMMU on", iommu_off, REJECT, FAIL, wall="IOMMU domain")
def out_of(world: AssignedWorld, cpu: VCpu) -> Steps:
    yield from transfer(world, cpu, "write", world.neighbour.ram_spa(CANARY))


@attack("dma-into-the-tables", "Let the device write into the IOMMU's own tables", "a device reaches its domain", VTD,
        "IOMMU on", iommu_off, PASS, FAIL, wall="IOMMU domain")
def tables(world: AssignedWorld, cpu: VCpu) -> Steps:
    # Translated, the tables' own address is just a number: it names a page of the attacker's RAM.
    yield from transfer(world, cpu, "read", world.iommu.remapper.root)


@attack("dma-stale-mapping", "Use a buffer's address after it was taken back", "what is unmapped is invalidated before it is used again",
        "Intel VT-d specification 6.5 \"Invalidation of Translation Caches\"", "strict invalidation, not lazy",
        lambda world: without(world, "strategy", Lazy), REJECT, FAIL, wall="IOTLB invalidation")
def stale(world: AssignedWorld, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    domain = world.iommu.domain()
    world.iommu.attach(SECOND, domain)
    device, page = world.iommu.space(SECOND), 0x2F_0000
    lender = world.lender(domain, world.neighbour)
    address = lender.map(page, PAGE)
    device.read(address, 64)                           # the IOTLB has it now
    lender.unmap(address, PAGE)
    world.neighbour.memory.write(page, NEIGHBOUR_RAM)  # the page is private again
    try:
        world.loot += device.read(address, 64)
    except TranslationFault as fault:
        world.told(str(fault))


@contextmanager
def endless_lists(world: AssignedWorld) -> Iterator[None]:
    """The controller follows a scatter gather list as long as it goes on."""
    dog = Watchdog()

    def add(*arguments: Any) -> int:
        dog.tick()
        return real(*arguments)
    with without(nvme_sgl, "MAX_DESCRIPTORS", 1 << 60), without(nvme_sgl, "_add", add) as real:
        yield


@attack("dma-list-in-a-circle", "A scatter gather list whose last entry leads back to it", "a list of descriptors ends",
        "NVMe 1.4, 4.4 \"Scatter Gather List\"", "the controller follows so many descriptors and no more", endless_lists,
        REJECT, WEDGED, wall="descriptor limit", long=True)
def circle(world: AssignedWorld, cpu: VCpu) -> Steps:
    driver = yield from world.drive(cpu)
    again = nvme_sgl.DESCRIPTOR.pack(BUFFER, 32, nvme_sgl.SEGMENT << 4)
    cpu.write(BUFFER, nvme_sgl.DESCRIPTOR.pack(BUFFER, 0, nvme_sgl.DATA << 4) + again)
    queue = driver.pairs[0]
    number = queue.free.pop()
    queue.tags[number] = "circle"
    driver._put(queue, SQE_RW.pack(OPCODES["read"], 0x40, number, 1, *unpack("<QQ", again), 0, 7))   # PSDT 01b: SGL
    driver.ring_doorbell()
    yield from cpu.hlt(1_000_000)
    for _, status in driver.reap():
        world.told(f"NVMe status {status & 0x7FF:03X}h")
