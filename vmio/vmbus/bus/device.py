"""A device on the bus, the host's half: a small class, which the packet loop of `worker.py` serves.

    class Echo(BusDevice):
        class_id = guid_bytes("11111111-2222-3333-4444-555555555555")

        def packet(self, request, packet):
            request.complete(packet.payload, packet.transaction_id)

    Echo(host, guest, instance_id=bytes(16)).offer(VmbusServer(guest))

The guest opens its channel as often as it likes; each opening has a worker of its own.
"""

from vmio.vmbus.bus.worker import RingWorker


class BusDevice:
    """One channel of a device.  `class_id` (what it is) and `instance_id` (which one) are 16 bytes, as the offer has them.

    Subclasses answer in `packet`; `opened` and `closed` are for what begins anew with each opening, and call these here.
    `batch` and `queue_depth` are those of `RingWorker`.
    """

    class_id = None
    batch, queue_depth = 16, 256

    def __init__(self, host, guest, instance_id):
        self.host, self.guest, self.instance_id = host, guest, instance_id
        self.server = self.channel = None     # since it was offered
        self.worker = None                    # while the channel is open

    def offer(self, server, primary=None):
        """Offer it on a bus, or as another channel of the device behind `primary`; returns the bus's channel."""
        self.server, self.channel = server, server.offer(self, primary)
        return self.channel

    def packet(self, request, packet):
        """Answer one packet, now or later: `request.complete(payload, id)`, or `request.end()` if it has no answer.

        `RingCorrupt` for what no honest guest sends: it ends the channel.
        """
        raise NotImplementedError

    def post(self, payload):
        """Send a message that nobody asked for; nothing happens while the channel is closed."""
        if self.worker is not None:
            self.worker.post(payload)

    def opened(self, end):
        """The guest has opened the channel: serve `end`.  `OpenRefused` says no."""
        self.worker = RingWorker(self.host, end, self.packet, self.failed, self.batch, self.queue_depth, self.guest)

    def signalled(self):
        """The guest has signalled."""
        if self.worker is not None:
            self.worker.signalled()

    def closed(self):
        """Stop; returns None, or an event for when the last request in flight has let go of guest memory."""
        worker, self.worker = self.worker, None
        return worker.stop() if worker is not None else None

    def failed(self, error):
        """The guest has written nonsense into the ring: the bus closes the channel."""
        if self.channel is not None:
            self.channel.fail(error)
