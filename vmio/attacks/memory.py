"""Attacks on memory that is not the guest's: past the end of its RAM, across a page's edge, over read-only pages."""

from collections.abc import Iterator
from contextlib import contextmanager

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.verdict import FAIL, PASS
from vmio.attacks.world import World
from vmio.drivers import synic
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.hyperv.hypercalls import Overlays, enable_enlightenments
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import EXECUTE, READ, WRITE, AddressSpace

EPT = "Intel SDM vol. 3C, 29.3.2 \"EPT Translation Mechanism\""
ATTACKS, attack = collection("memory", "hypervisor", World, "memory access")


@contextmanager
def one_to_one(world: World) -> Iterator[None]:
    """The second-level table shows, above the guest's RAM, all of the host's memory that comes after it."""
    guest = world.attacker
    start = guest.ram_spa(0) + guest.ram
    guest.slat.map(guest.ram, start, world.host.memory.size - start, READ | WRITE)
    yield


@attack("ram-read-past-the-end", "Read past the end of RAM", "a guest-physical address reaches what the table maps, no more",
        EPT, "second-level table ends with the RAM", one_to_one, PASS, FAIL, wall="SLAT", long=True)
def read_past(world: World, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    for gpa in range(world.attacker.ram, world.attacker.ram + (8 << 20), PAGE // 2):
        world.loot += cpu.read(gpa, 16)


@attack("ram-write-past-the-end", "Write past the end of RAM", "a guest-physical address reaches what the table maps, no more",
        EPT, "second-level table ends with the RAM", one_to_one, PASS, FAIL, wall="SLAT")
def write_past(world: World, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    for gpa in range(world.attacker.ram, world.attacker.ram + PAGE, 8):
        cpu.write(gpa, b"attacked")


class FirstPageOnly(AddressSpace):
    """An address space by somebody who translates the first byte and trusts the rest."""

    def read(self, address: int, length: int, /) -> bytes:
        spa = self.table.translate(address, READ)
        return self._bytes[spa:spa + length]

    def write(self, address: int, data: Buffer, /) -> None:
        spa = self.table.translate(address, WRITE)
        self._bytes[spa:spa + len(data)] = data


@attack("edge-read", "Read across the last page's edge", "each page of an access is translated by itself", EPT,
        "translation of every page", lambda world: without(AddressSpace, "read", FirstPageOnly.read), PASS, FAIL,
        wall="SLAT, page by page")
def edge_read(world: World, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    world.loot += cpu.read(world.attacker.ram - 8, 64)


@attack("edge-write", "Write across the last page's edge", "each page of an access is translated by itself", EPT,
        "translation of every page", lambda world: without(AddressSpace, "write", FirstPageOnly.write), PASS, FAIL,
        wall="SLAT, page by page")
def edge_write(world: World, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    cpu.store(world.attacker.ram - 4, 8, 0x6666_6666_6666_6666)


class Enlightened(World):
    """Both guests know the hypervisor; its page of code is a canary."""

    def __init__(self) -> None:
        super().__init__()
        enlightened = enable_enlightenments(self.attacker)
        self.watch("hypercall page", enlightened._code)


@contextmanager
def writable_overlays(world: Enlightened) -> Iterator[None]:
    """Every page of the hypervisor's own is shown readable, writable and executable."""
    def show(self: Overlays, name: str, spa: int, gpa: int, permissions: int = 0) -> None:
        real(self, name, spa, gpa, READ | WRITE | EXECUTE)
    with without(Overlays, "show", show) as real:
        yield


@attack("hypercall-page-overwritten", "Write into the hypercall page", "the hypercall page is read-only to the guest",
        "TLFS, \"Establishing the Hypercall Interface\"", "permissions of the second-level table", writable_overlays,
        PASS, FAIL, world=Enlightened, wall="SLAT's permissions")
def write_code(world: Enlightened, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    synic.enable_hypercalls(cpu, 0x10_0000)
    cpu.store(0x10_0000, 8, 0x9090_9090_9090_9090)
    cpu.write(0x10_0000 + 64, b"\xCC" * 8 + b"\x90" * 64)
