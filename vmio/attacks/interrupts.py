"""Attacks by interrupt messages: a device's MSI-X table is its guest's to fill, so the message may say anything."""

from collections.abc import Iterator
from contextlib import contextmanager

from vmio.attacks.assigned import ENTRIES, HOSTS_DEVICE, AssignedWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.attacks.world import AFTER, BUFFER
from vmio.drivers.errors import DriverError
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.passthrough.iommu import interrupts
from vmio.vmbus.pci import vpci as v

ATTACKS, attack = collection("interrupts", "passthrough", AssignedWorld, "device's interrupts")


def send(world: AssignedWorld, cpu: VCpu, address: int, data: int) -> Steps:
    """Make our device send a message: it is what an I/O queue's interrupt says."""
    driver = yield from world.drive(cpu, vector=0x50)
    for at, value in ((0, address & 0xFFFF_FFFF), (4, address >> 32), (8, data), (12, 0)):
        cpu.store(driver.bar + 0x2000 + 16 + at, 4, value)
    yield from driver.read(0, 8, driver.address(BUFFER))


@attack("msi-any-vector", "A message with an APIC id and a vector of one's own choice", "messages in the old format are refused",
        "Intel VT-d specification 5.1.2.1 (compatibility format)", "interrupt remapping on",
        lambda world: without(world.iommu.interrupts, "enabled", False), REJECT, FAIL, wall="interrupt remapping")
def any_vector(world: AssignedWorld, cpu: VCpu) -> Steps:
    place = next(iter(world.router._handlers))         # of the host's own device
    yield from send(world, cpu, *interrupts.compatibility_message(*place))


@contextmanager
def any_requester(world: AssignedWorld) -> Iterator[None]:
    """The table's entries do not say who may use them (SVT = 0)."""
    memory, router = world.host.memory, world.router
    for index, owner in router.owners.items():
        if owner == HOSTS_DEVICE:
            at = router.table + interrupts.ENTRY_BYTES * index + 8
            memory.store64(at, memory.load64(at) & ~(interrupts.REMAPPED.mask("verify") >> 64))
    yield


@attack("msi-foreign-entry", "A message with another device's table entry", "an entry names the requester that may use it",
        "Intel VT-d specification 9.9 (SVT, SID)", "source validation in the table entry", any_requester, REJECT, FAIL,
        wall="remapping: owner")
def foreign_entry(world: AssignedWorld, cpu: VCpu) -> Steps:
    yield from send(world, cpu, *world.bell)


class Rung(AssignedWorld):
    """The neighbour waits at a vector that no device of its own sends: what comes there comes from somebody else."""

    def bring_up(self, cpu: VCpu, vector: int | None = None, entries: int = ENTRIES) -> Steps:
        disk = yield from super().bring_up(cpu, vector, entries)
        if cpu.guest is self.neighbour:
            yield from self.functions[cpu.guest].connect(2, 0x70, lambda cpu: self.effects.append("neighbour's interrupts"))
        return disk


@contextmanager
def anybodys(world: Rung) -> Iterator[None]:
    """Entries are written without the requester that may use them (SVT = 0)."""
    def entry(*arguments: int) -> bytes:
        number = int.from_bytes(real(*arguments), "little") & ~interrupts.REMAPPED.mask("verify")
        return number.to_bytes(interrupts.ENTRY_BYTES, "little")
    with without(interrupts, "remapped_entry", entry) as real:
        yield


@attack("msi-neighbours-entry", "A message with the neighbour's table entry", "an entry names the requester that may use it",
        "Intel VT-d specification 9.9 (SVT, SID)", "source validation in the table entry", anybodys, REJECT, FAIL, world=Rung,
        wall="remapping: owner")
def neighbours_entry(world: Rung, cpu: VCpu) -> Steps:
    while not world.up:
        yield from cpu.hlt(10_000)
    index = next(index for index, guest in world.router._guests.items() if guest is world.neighbour)
    yield from send(world, cpu, *interrupts.message(index))


@contextmanager
def longer_table(world: AssignedWorld) -> Iterator[None]:
    """The size says more than there is; behind the table lies what an attacker could have put there."""
    remapper, router = world.iommu.interrupts, world.router
    destination, vector = next(iter(router._handlers))
    world.host.memory.write(router.table + interrupts.ENTRY_BYTES * 300, interrupts.REMAPPED.pack(
        present=1, destination=destination << 8, vector=vector))       # and nobody's: SVT is 0
    with without(remapper, "entries", 1 << 16):
        yield


@attack("msi-beyond-the-table", "A message with an entry after the table's last", "an index is below the table's size",
        "Intel VT-d specification 5.1.4.1", "the index is compared with the size in IRTA", longer_table,
        REJECT, FAIL, wall="remapping: size")
def beyond(world: AssignedWorld, cpu: VCpu) -> Steps:
    yield from send(world, cpu, *interrupts.message(300))


class Latecomer(AssignedWorld):
    """The attacker has four functions; the neighbour's driver wants one more interrupt when all is over."""

    more = 3

    def _requests(self, cpu: VCpu, number: int) -> Steps:
        if number == AFTER:
            cpu.compute(max(self.host.env.now - cpu.now, 0))
            yield from self.functions[cpu.guest].connect(2, 0x60, lambda cpu: None)
        yield from super()._requests(cpu, number)


@attack("interrupts-hoard", "Ask for all interrupts of the host's table", "the table's entries are shared by all guests",
        "Intel VT-d specification 5.1.3 (a table of 65,536 entries at most)", "a quota for each guest",
        lambda world: without(world.router, "quota", 1 << 60), REJECT, WEDGED, world=Latecomer,
        wall="interrupt quota", door="messages", long=True)
def hoard(world: Latecomer, cpu: VCpu) -> Steps:
    functions = yield from world.find(cpu)
    yield from world.begin(cpu)
    for function in functions:
        try:
            while True:
                yield from function.bus._ask(function._interrupt_request(0x60, cpu), "interrupt", v.INTERRUPT_REPLY)
        except DriverError:
            world.told("insufficient resources")
