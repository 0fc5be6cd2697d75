"""A device on the bus, the host's half: a small class, which the packet loop of `worker.py` serves.

    class Echo(BusDevice):
        class_id = guid_bytes("11111111-2222-3333-4444-555555555555")

        def packet(self, request, packet):
            request.complete(packet.payload, packet.transaction_id)

    Echo(host, guest, instance_id=bytes(16)).offer(VmbusServer(guest))

The guest opens its channel as often as it likes; each opening has a worker of its own.
"""

from collections.abc import Callable

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Buffer
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.gpadl import Gpadl
from vmio.vmbus.bus.host_channel import HostChannel
from vmio.vmbus.bus.packets import Packet
from vmio.vmbus.bus.server import VmbusServer
from vmio.vmbus.bus.worker import RingWorker


class BusDevice:
    """One channel of a device.  `class_id` (what it is) and `instance_id` (which one) are 16 bytes, as the offer has them.

    Subclasses answer in `packet`; `opened` and `closed` are for what begins anew with each opening, and call these here.
    `batch` and `queue_depth` are those of `RingWorker`.  With a `monitor_latency` (100 ns units, 1 to 65,535) the
    channel is offered with a bit in the guest's monitor page, if the guest has one (`monitor.py`).
    """

    POINTS = {"negotiated": "(version, agreed) when the guest has asked for one"}
    negotiated: Callable[[int, bool], None] | None = None
    class_id: bytes
    monitor_latency: int | None = None
    batch, queue_depth = 16, 256

    def __init__(self, host: Root, guest: Guest | None, instance_id: bytes) -> None:
        self.host, self.guest, self.instance_id = host, guest, instance_id
        self.server: VmbusServer | None = None      # since it was offered
        self.channel: HostChannel | None = None
        self.worker: RingWorker | None = None       # while the channel is open

    def offer(self, server: VmbusServer, primary: HostChannel | None = None) -> HostChannel:
        """Offer it on a bus, or as another channel of the device behind `primary`; returns the bus's channel."""
        self.server = server
        self.channel = channel = server.offer(self, primary)
        return channel

    def packet(self, request: Answerable, packet: Packet) -> None:
        """Answer one packet, now or later: `request.complete(payload, id)`, or `request.end()` if it has no answer.

        `RingCorrupt` for what no honest guest sends: it ends the channel.
        """
        raise NotImplementedError

    def told_version(self, version: int, agreed: bool) -> bool:
        """Return `agreed`; the guest has asked for a version of the protocol, and who watches is told."""
        if self.negotiated is not None:
            self.negotiated(version, agreed)
        return agreed

    def post(self, payload: Buffer) -> None:
        """Send a message that nobody asked for; nothing happens while the channel is closed."""
        if self.worker is not None:
            self.worker.post(payload)

    def opened(self, end: ChannelEnd) -> None:
        """The guest has opened the channel: serve `end`.  `OpenRefused` says no."""
        self.worker = RingWorker(self.host, end, self.packet, self.failed, self.batch, self.queue_depth, self.guest)

    def restored(self, end: ChannelEnd, go_on: Callable[[RingWorker], None]) -> None:
        """Serve `end`, of a channel that was open when it was saved; `go_on(worker)` lets the worker be as far as it was."""
        self.worker = RingWorker(self.host, end, self.packet, self.failed, self.batch, self.queue_depth, self.guest, go_on)

    def further(self) -> "BusDevice":
        """Return the device of another channel, which the guest had asked for when this one was saved; it is not offered yet."""
        raise NotImplementedError

    def closed(self) -> Event | None:
        """Stop; returns None, or an event for when the last request in flight has let go of guest memory."""
        worker, self.worker = self.worker, None
        return worker.stop() if worker is not None else None

    def torn_down(self, gpadl: Gpadl) -> None:
        """The guest takes pages back that it had lent to this device, beside the rings: touch them no more."""

    def failed(self, error: Exception) -> None:
        """The guest has written nonsense into the ring: the bus closes the channel."""
        if self.channel is not None:
            self.channel.fail(error)
