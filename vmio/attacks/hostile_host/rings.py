"""Attacks on the ring from the host to the guest, and on the guest's memory itself."""

from vmio.attacks.hostile_host.catalogue import HostAttack
from vmio.attacks.hostile_host.trusting import always, any_record
from vmio.attacks.hostile_host.world import SECRET, HostWorld
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.hypervisor.isolation.pages import PrivatePages
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import TranslationFault
from vmio.vmbus.bus.packets import COMPLETION, DESCRIPTOR
from vmio.vmbus.bus.ring import DATA, WRITE
from vmio.vmbus.bus.ringmemory import RingMemory

LINUX = "Linux drivers/hv/ring_buffer.c (hv_pkt_iter_first)"
_SNP = "AMD64 Architecture Programmer's Manual vol. 2, 15.36"
_RECEIVE = "vmbus.bus.ring:RingReader.receive"


def too_long(world: HostWorld) -> None:
    """A record that says it is longer than the whole ring."""
    world.raw(DESCRIPTOR.pack(type=COMPLETION, offset8=2, length8=0xFFFF, transaction_id=1) + bytes(72))


def offset_outside(world: HostWorld) -> None:
    """A payload that begins behind its record's end."""
    world.raw(DESCRIPTOR.pack(type=COMPLETION, offset8=12, length8=11, transaction_id=1) + bytes(80))


def index_jumps(world: HostWorld) -> None:
    """A write index far outside the ring."""
    world.raw(DESCRIPTOR.pack(type=COMPLETION, offset8=2, length8=11, transaction_id=1) + bytes(80), 0x7FFF_FFF8)


class Flipping:
    """A ring's memory that the host changes behind the guest's back: after the first look at a record, its length is another one."""

    def __init__(self, memory: RingMemory, at: int) -> None:
        self.memory, self.at, self.size = memory, at, memory.size

    def read(self, offset: int, length: int) -> bytes:
        """See `RingMemory`."""
        found = self.memory.read(offset, length)
        self._looked(offset, length)
        return found

    def load32(self, offset: int) -> int:
        """See `RingMemory`."""
        found = self.memory.load32(offset)
        self._looked(offset, 4)
        return found

    def _looked(self, offset: int, length: int) -> None:
        if offset <= self.at + 4 < offset + length:
            self.memory.write(self.at + 4, b"\xff\x1f")

    def write(self, offset: int, data: Buffer) -> None:
        """See `RingMemory`."""
        self.memory.write(offset, data)

    def store32(self, offset: int, value: int) -> None:
        """See `RingMemory`."""
        self.memory.store32(offset, value)

    def indices(self) -> tuple[int, int, int, int]:
        """See `RingMemory`."""
        return self.memory.indices()


def changed_between_reads(world: HostWorld) -> None:
    """A good record with an id of nobody's, whose length is 64 KiB from the second look on."""
    reader = world.disk.end.incoming
    at = DATA + reader.memory.load32(WRITE)
    reader.memory = Flipping(reader.memory, at)      # it is the host's memory, too
    world.disk_end.send_completion(bytes(64), 0x77)


def reads_private(world: HostWorld) -> None:
    """Look for the secret where it lies."""
    world.loot += world.guest.seen.read(world.secret, PAGE)


def writes_private(world: HostWorld) -> None:
    """Put something else where the secret lies."""
    try:
        world.guest.seen.write(world.secret, b"the host's own!!"[:len(SECRET)])
    except TranslationFault:
        pass                         # counted by who refused it


ATTACKS = [
    HostAttack("ring-length", "A record longer than the ring", "a record lies within the published bytes", LINUX, "disk", too_long,
               _RECEIVE, "its length is compared with the bytes published", any_record, REJECT, WEDGED),
    HostAttack("ring-offset", "A payload behind its record's end", "a payload lies within its record", LINUX, "disk", offset_outside,
               _RECEIVE, "its offset is compared with its length", any_record, REJECT, WEDGED),
    HostAttack("ring-index", "A write index far outside the ring", "an index is below the ring's size, a multiple of 8", LINUX, "disk", index_jumps,
               "vmbus.bus.ring:RingReader._set_write", "the index is checked each time it is read", any_record, REJECT, WEDGED),
    HostAttack("ring-double-fetch", "A length that changes after it was checked", "what the host may change is fetched once", LINUX, "disk",
               changed_between_reads, _RECEIVE, "all is decoded from a private copy", any_record, REJECT, WEDGED),
    HostAttack("memory-read", "Read a private page", "a private page is its guest's alone", _SNP, "memory", reads_private,
               "hypervisor.isolation.pages:SeenMemory.read", "the memory controller encrypts it", always(PrivatePages, "may"), REJECT, FAIL),
    HostAttack("memory-write", "Write a private page", "a private page is its guest's alone", _SNP, "memory", writes_private,
               "hypervisor.isolation.pages:PrivatePages.translate", "the table of owners refuses the write", always(PrivatePages, "may"), REJECT, FAIL),
]
