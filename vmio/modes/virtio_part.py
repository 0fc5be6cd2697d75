"""What attachments by virtio have in common that need no part of the host's but a device in a slot: a worker of the host's serves its queues."""

from collections.abc import Callable, Sequence

from vmio.devices.board import Board
from vmio.drivers.virtio_pci import PciTransport
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import Span
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.clock import Timers
from vmio.machine.contracts import Memory, SectorStore
from vmio.modes.platform import Platform
from vmio.modes.virtio_slot import place
from vmio.virtio.device import VirtioDevice
from vmio.virtio.pci import VirtioFunction
from vmio.virtio.worker import QueueWorker

CONFIG_VECTOR, QUEUE_VECTOR = 0xC0, 0xD0      # and the next ones, by slot
BATCH = 16                                    # as of `QueueWorker`


class VirtioPart:
    """`what` is the device in words; `device` is there when the guest is switched on."""

    in_memory = True
    for_each_vcpu = False
    what: str
    device: VirtioDevice

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; these devices have no use for them."""
        return media

    def put(self, platform: Platform, make: Callable[[Memory], VirtioDevice]) -> None:
        """Put what `make(the device's way to memory)` returns into a slot of the guest's board."""
        self.platform = platform

        def fill(board: Board, slot: int) -> None:
            self.slot, self.device = slot, make(board.dma)
            self.device.served_by(lambda device, number: QueueWorker(platform.host, platform.guest, device, number, BATCH))
            self.function = board.plug(slot, VirtioFunction(self.device), "virtio")
        platform.plan_slot(fill)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: there are no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`."""
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: a virtio {self.what} of guest {self.platform.guest.name} can't be saved yet")

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        raise CheckpointRefused(f"checkpoint: a virtio {self.what} can't be restored yet")

    def transport(self, cpu: VCpu, changed: Callable[[], None], interrupt: Callable[[], None]) -> PciTransport:
        """Do firmware's part, and return how the driver reaches the device; it is told of changes of the configuration, and of its queues."""
        place(cpu, self.slot)
        vectors = [CONFIG_VECTOR + self.slot, QUEUE_VECTOR + self.slot]
        transport = PciTransport(cpu, self.slot, vectors)
        transport.find()
        cpu.on_interrupt(vectors[0], _ended(changed))
        cpu.on_interrupt(vectors[1], _ended(interrupt))
        return transport


def _ended(handler: Callable[[], None]) -> Callable[[VCpu], None]:
    """What ends an interrupt, and then has `handler` do its part."""
    def interrupted(cpu: VCpu) -> None:
        cpu.wrmsr(X2APIC_EOI, 0)
        handler()
    return interrupted
