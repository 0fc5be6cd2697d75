"""Attacks at a change of owner: a disk not erased, memory not scrubbed, a guest that dies with requests under way."""

from contextlib import AbstractContextManager

from vmio.attacks.assigned import AssignedWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.split import SplitWorld
from vmio.attacks.talker import read10, request
from vmio.attacks.verdict import FAIL, PASS, REJECT
from vmio.attacks.world import BUFFER, NEIGHBOUR_RAM, RAM_MIB, SECTORS, World, nobody_asks, pages_of
from vmio.drivers.nvme import page_list
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE, HostMemory
from vmio.passthrough.assignment import AssignmentRefused
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp

ATTACKS, attack = collection("handover", "passthrough", AssignedWorld, "change of owner")


@attack("handover-disk", "Take over a disk that was the neighbour's, and read it", "a device changes hands clean",
        "NIST SP 800-88r1, \"Guidelines for Media Sanitization\"", "a disk is erased before it goes to another guest",
        lambda world: without(world, "inherit", True), REJECT, FAIL, wall="erase before reuse")
def disk(world: AssignedWorld, cpu: VCpu) -> Steps:
    world.lent.take_back()
    try:
        world.lend(world.spare, world.attacker, inherit=world.inherit)
    except AssignmentRefused:
        yield from world.begin(cpu)
        world.told("assignment refused")
        return
    driver = yield from world.drive(cpu)
    yield from driver.read(0, 8, BUFFER)


def not_scrubbed(world: World) -> AbstractContextManager:
    """Memory goes back as it is."""
    return without(HostMemory, "free", lambda self, spa, pages: self._give(spa, spa + pages * PAGE))


@attack("handover-memory", "Look for what the last guest left in one's RAM", "memory changes hands clean",
        "NIST SP 800-125A, hypervisor baseline functions", "memory is scrubbed when it comes back", not_scrubbed, PASS, FAIL,
        mode="hypervisor", world=World, wall="scrub before reuse")
def memory(world: World, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    victim = world.host.guest("victim", RAM_MIB)
    victim.memory.write(0, pages_of(NEIGHBOUR_RAM, victim.ram))
    victim.destroy()
    again = world.host.guest("attacker again", RAM_MIB)       # as soon as the other one is gone
    world.loot += again.memory.read(0, again.ram)


@attack("handover-in-flight", "Die with requests under way", "memory that a device may still write is nobody else's",
        "Linux Documentation/virt/hyperv/vmbus.rst (GPADL teardown)", "a guest is destroyed when its requests are back",
        nobody_asks, REJECT, FAIL, mode="split", world=SplitWorld, wall="wait for requests")
def in_flight(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    for number in range(20):
        talker.send(*request(read10(0, 128), 128 * 512), number=number)
    yield from cpu.pay()
    world.pass_on(20_000, reset=False)


def unit_stays(world: World) -> AbstractContextManager:
    """The guest is told that the disk goes, and the controller keeps it."""
    return without(StorVsp, "remove_unit", lambda self, lun: self.post(v.PACKET.pack(operation=v.REMOVE_DEVICE)))


@attack("handover-removed-lun", "Go on reading a disk that was taken away", "a disk that was taken away is reached no more",
        "SPC-4, \"Incorrect logical unit selection\"", "a request's unit is looked up among those that there are", unit_stays, REJECT, FAIL,
        mode="split", world=SplitWorld, wall="look the unit up")
def removed_lun(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    world.vsp.add_unit(1, ScsiTarget(SECTORS), world.physical.slices[1])      # it was the attacker's, and is the neighbour's from now on
    world.vsp.remove_unit(1)
    yield from talker.srb(read10(0, 8), 4096, lun=1)


@attack("handover-device-at-work", "Die while one's device writes to one's memory", "memory that a device may still write is nobody else's",
        "Linux drivers/vfio/vfio_iommu_type1.c (pages mapped for DMA stay pinned)", "a guest is destroyed when its devices are back",
        nobody_asks, REJECT, FAIL, wall="wait for devices")
def device_at_work(world: AssignedWorld, cpu: VCpu) -> Steps:
    driver = yield from world.drive(cpu, entries=64)
    for number in range(60):
        driver.submit("read", 0, 128, page_list(BUFFER, 128 * 512), number)
    driver.ring_doorbell()
    yield from cpu.pay()
    world.pass_on(20_000, reset=False)
