"""A network card by split drivers that speak virtio: a driver in the guest, a worker on the host, a port of the host's network behind it."""

from collections.abc import Sequence

from vmio.devices.board import Board
from vmio.drivers.pages import GuestPages
from vmio.drivers.virtio_net import MEMORY, VirtioNet
from vmio.drivers.virtio_pci import PciTransport
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.machine.net.contracts import NetPort
from vmio.modes.platform import Platform
from vmio.modes.virtio_slot import place
from vmio.virtio.net import Net
from vmio.virtio.pci import VirtioFunction
from vmio.virtio.worker import QueueWorker

CONFIG_VECTOR, QUEUE_VECTOR = 0xA0, 0xB0      # and the next ones, by slot


class VirtioSplitNet:
    """`address` is the card's; `batch` as of `QueueWorker`.  Its backend is the `NetPort` that it is plugged into."""

    driver_memory = (1 << 20) + MEMORY
    in_memory = True
    for_each_vcpu = False

    card: Net                # from `power_on` on

    def __init__(self, address: bytes, batch: int = 16) -> None:
        self.address, self.batch, self.slot = address, batch, 0

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a network card has no use for them."""
        return media

    def plug(self, platform: Platform, backend: NetPort) -> None:
        """Put the function into a slot of the guest's board, and its cable into the port; a worker of the host's sends what goes."""
        self.platform = platform

        def fill(board: Board, slot: int) -> None:
            self.slot = slot
            self.card = Net(board.dma, self.address)
            self.card.served_by(lambda device, number: QueueWorker(platform.host, platform.guest, device, number, self.batch))
            board.plug(slot, VirtioFunction(self.card), "virtio")
            self.card.plug_in(backend)
        platform.plan_slot(fill)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: a card has no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`."""
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: a virtio network card of guest {self.platform.guest.name} can't be saved yet")

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        raise CheckpointRefused("checkpoint: a virtio network card can't be restored yet")

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[VirtioNet]:
        """Firmware's part, then the driver; a generator that returns a `VirtioNet`."""
        place(cpu, self.slot)
        vectors = [CONFIG_VECTOR + self.slot, QUEUE_VECTOR + self.slot]
        transport = PciTransport(cpu, self.slot, vectors)
        transport.find()
        card = VirtioNet(cpu, transport, pages.take(-(-MEMORY // PAGE)))

        def answered(cpu: VCpu) -> None:
            cpu.wrmsr(X2APIC_EOI, 0)
            card.interrupt(cpu)
        cpu.on_interrupt(vectors[0], lambda cpu: cpu.wrmsr(X2APIC_EOI, 0))
        cpu.on_interrupt(vectors[1], answered)
        yield from card.init()
        return card
