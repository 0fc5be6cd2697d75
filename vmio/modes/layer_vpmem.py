"""A container's base layer as virtual persistent memory: no driver's requests, the host's frames in the guest's own addresses."""

from collections.abc import Callable, Sequence

from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.pmem import READ_ONLY, Frames, Pmem
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR
from vmio.modes.platform import Platform

LAYER = Form("layer of virtual persistent memory", 1, "place", "frames", "reads", "touches", "refused")
SECTORS = PAGE // SECTOR
MIB = 1 << 20


class MappedLayer:
    """The guest's side: `read` loads, as a file system that is mounted with DAX does."""

    def __init__(self, cpu: VCpu, base: int, size: int) -> None:
        self.cpu, self.base, self.size = cpu, base, size

    def read(self, at: int, length: int) -> bytes:
        """Return `length` bytes of the layer from byte `at` on; ValueError beyond its end."""
        if not 0 <= at <= at + length <= self.size:
            raise ValueError(f"layer: {length} bytes at {at} asked; it has {self.size:,}")
        return b"".join(self.cpu.read(self.base + piece, min(MIB, at + length - piece)) for piece in range(at, at + length, MIB))


class VPmemLayer:
    """One layer of one guest.  Guests that are given the same medium have the same frames.

    `permissions` of the mapping are for who wants to see what a writable one would do.
    """

    driver_memory = 1 << 20
    in_memory = False
    for_each_vcpu = False

    def __init__(self, permissions: int = READ_ONLY) -> None:
        self.permissions = permissions

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[Frames]:
        """Return the frames of each medium; equal media have equal frames.  ValueError for a medium of no whole number of pages."""
        found: dict[int, Frames] = {}
        for medium in media:
            if medium.sectors % SECTORS:
                raise ValueError(f"layer {medium.name}: {medium.sectors} sectors; a whole number of pages, {SECTORS} sectors each")
            found.setdefault(id(medium), Frames(host.memory, medium.name, medium.sectors // SECTORS, _reader(medium)))
        return [found[id(medium)] for medium in media]

    def plug(self, platform: Platform, backend: Frames) -> None:
        """Put the layer into the guest's address space; nothing is mapped yet."""
        self.pmem = Pmem(platform.guest, backend, self.permissions)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: memory has no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`; what is in the frames is in the host's memory, and where the guest has them in its table."""
        pmem = self.pmem
        saving.assigned.add((pmem.guest.name, f"layer {pmem.frames.name}"))
        return LAYER.state(place=self._place, frames=sorted(pmem.frames.spas.items()), reads=pmem.frames.reads, touches=pmem.touches, refused=pmem.refused)

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`: all guests that share the layer say the same of its frames."""
        saved, pmem = LAYER.take(state), self.pmem
        same(f"guest {pmem.guest.name}, layer", saved["place"], self._place)
        pmem.frames.spas, pmem.frames.reads = {page: spa for page, spa in saved["frames"]}, saved["reads"]
        pmem.touches, pmem.refused = saved["touches"], saved["refused"]

    @property
    def _place(self) -> list:
        return [self.pmem.frames.name, self.pmem.frames.pages, self.pmem.base, self.permissions, self.pmem.frames.sharers]

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[MappedLayer]:
        """Return the layer as the guest has it; a generator without a wait, for the memory is there."""
        return MappedLayer(cpu, self.pmem.base, self.pmem.end - self.pmem.base)
        yield


def _reader(medium: SectorStore) -> Callable[[int], bytes]:
    return lambda page: bytes(medium.read(page * SECTORS, SECTORS))
