"""Sockets between host and guest: the host's service on the guest's bus, and the guest's driver for it."""

from collections.abc import Sequence

from vmio.drivers.container.sockets import Sockets
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.modes.platform import Platform
from vmio.vmbus.socket.service import SocketService
from vmio.vmbus.socket.wire import LINUX_PAYLOAD, RING_PAGES

SOCKETS = Form("sockets' attachment", 1, "options", "made", "next", "refused", "ended")


class SplitSockets:
    """`pages` are those of each ring of a connection that the guest opens, `payload` the bytes that it sends in one record.

    `confidential`: the guest's RAM is its own.  Its sockets need no bounce pool: their bytes are copied into rings, and those are shared.
    A machine is saved while no connection is open: who is at its other end, on the host, is a program that can't be saved.
    """

    driver_memory = 2 << 20
    in_memory = True
    for_each_vcpu = False

    def __init__(self, pages: int = RING_PAGES, payload: int = LINUX_PAYLOAD, confidential: bool = False) -> None:
        self.pages, self.payload, self.confidential = pages, payload, confidential

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; sockets have no use for them."""
        return media

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Answer the guest's wishes to connect."""
        self.platform = platform
        self.service = SocketService(platform.host, platform.guest, platform.bus)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: sockets have no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`; `CheckpointRefused` while a connection is open, or its channel not given back."""
        service = self.service
        if service.held:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: guest {self.platform.guest.name} has {service.held} sockets open, and who is "
                                    "connected to them on the host can't be saved")
        return SOCKETS.state(options=[self.pages, self.payload], made=service.made, next=service.next_port,
                             refused=dict(service.refused), ended=dict(service.ended))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved, service = SOCKETS.take(state), self.service
        same("sockets, options", saved["options"], [self.pages, self.payload])
        service.made, service.next_port = saved["made"], saved["next"]
        service.refused.update(saved["refused"])
        service.ended.update(saved["ended"])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[Sockets]:
        """Bring up the bus; a generator that returns `Sockets`."""
        client = yield from self.platform.client(cpu, pages)
        return Sockets(client, self.pages, self.payload)
