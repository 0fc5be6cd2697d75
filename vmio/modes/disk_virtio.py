"""A disk by split drivers that speak virtio: a driver in the guest, a worker on the host, the host's NVMe disk behind it."""

from collections.abc import Sequence

from vmio.devices.board import Board
from vmio.drivers.pages import GuestPages
from vmio.drivers.virtio_disk import MAX_ENTRIES, WANTED, VirtioDisk, memory_needed
from vmio.drivers.virtio_pci import PciTransport
from vmio.host.physical import PhysicalDisk, Slice
from vmio.host.virtio_disk import SliceStore
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.media.medium import serial_of
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.modes.platform import Platform
from vmio.modes.virtio_slot import place
from vmio.virtio import features as f
from vmio.virtio.blk import FEATURES, Blk
from vmio.virtio.pci import VirtioFunction
from vmio.virtio.worker import QueueWorker

CONFIG_VECTOR, QUEUE_VECTOR = 0x80, 0x90      # and the next ones, by slot
VIRTQUEUES = ("split", "packed")


class VirtioSplitDisk:
    """`virtqueue` "split" or "packed", of `entries`; `indirect` and `event_idx` are offered or not; the guest waits for interrupts, or is `polled`.

    `batch`: as of `QueueWorker`.
    """

    in_memory = True
    for_each_vcpu = False
    driver_memory = (1 << 20) + -(-memory_needed(MAX_ENTRIES) >> 20 << 20) + (1 << 20)

    def __init__(self, virtqueue: str = "split", entries: int = 128, indirect: bool = True, event_idx: bool = True, polled: bool = False,
                 batch: int = 16) -> None:
        if virtqueue not in VIRTQUEUES:
            raise ValueError(f"virtqueue {virtqueue!r}: choose one of {', '.join(VIRTQUEUES)}")
        if not 4 <= entries <= MAX_ENTRIES or entries & entries - 1:
            raise ValueError(f"entries {entries}: a power of two, 4 to {MAX_ENTRIES}")
        self.features = FEATURES & ~f.INDIRECT_DESC & ~f.EVENT_IDX | f.INDIRECT_DESC * indirect | f.EVENT_IDX * event_idx
        self.features |= f.RING_PACKED * (virtqueue == "packed")
        self.entries, self.polled, self.batch, self.slot = entries, polled, batch, 0
        self.device: Blk         # from `power_on` on

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[Slice]:
        """Return the parts of one physical disk that holds all `media`, which must have one size."""
        return PhysicalDisk(host, media).slices

    def plug(self, platform: Platform, backend: Slice) -> None:
        """Put the function into a slot of the guest's board; a worker of the host's serves its queue."""
        self.backend, self.platform = backend, platform
        store = SliceStore(platform.host, platform.guest, backend)

        def fill(board: Board, slot: int) -> None:
            self.slot = slot
            self.device = Blk(board.dma, store, (self.entries,), serial_of(backend, f"VMIO{slot:04}"), self.features)
            self.device.served_by(lambda device, number: QueueWorker(platform.host, platform.guest, device, number, self.batch))
            self.function = board.plug(slot, VirtioFunction(self.device), "virtio")
        platform.plan_slot(fill)

    @property
    def workers(self) -> list[QueueWorker]:
        """Those that serve its queues now."""
        return [server for server in self.device.servers.values() if isinstance(server, QueueWorker)]

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: what the disk does for this guest; its data is moved by the disk itself."""
        watch(self.backend, "served", served)

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`."""
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: a virtio disk of guest {self.platform.guest.name} can't be saved yet")

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        raise CheckpointRefused("checkpoint: a virtio disk can't be restored yet")

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[VirtioDisk]:
        """Firmware's part, then the driver; a generator that returns a `VirtioDisk`."""
        place(cpu, self.slot)
        vectors = [CONFIG_VECTOR + self.slot, QUEUE_VECTOR + self.slot]
        transport = PciTransport(cpu, self.slot, vectors)
        transport.find()
        disk = VirtioDisk(cpu, transport, pages.take(-(-memory_needed(self.entries) // PAGE)), WANTED, self.entries, self.polled)

        def answered(cpu: VCpu) -> None:
            cpu.wrmsr(X2APIC_EOI, 0)
            disk.interrupt(cpu)
        cpu.on_interrupt(vectors[0], lambda cpu: cpu.wrmsr(X2APIC_EOI, 0))
        cpu.on_interrupt(vectors[1], answered)
        yield from disk.init()
        return disk
