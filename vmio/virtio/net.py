"""A network card by virtio: queue 0 for what comes, 1 for what goes, 2 for commands; each frame behind a header of 12 bytes.

With MRG_RXBUF a frame that is longer than a chain goes on in the next ones; the header says in how
many it is.  Offloads are not offered, so nothing else of the header is used.
Source: VIRTIO 1.2, 5.1 "Network Device"; where that leaves it open, QEMU 7.2's hw/net/virtio-net.c.
"""

from collections import deque
from collections.abc import Callable

from vmio.machine.contracts import Memory
from vmio.machine.net import frames
from vmio.machine.net.contracts import NetPort
from vmio.virtio import features as f
from vmio.virtio import net_wire as w
from vmio.virtio.device import VirtioDevice
from vmio.virtio.net_filter import Filter
from vmio.virtio.queue.base import DeviceQueue
from vmio.virtio.queue.chain import Chain

RECEIVE, TRANSMIT, CONTROL = 0, 1, 2
FEATURES = (f.RING | w.MAC | w.MRG_RXBUF | w.STATUS | w.CTRL_VQ | w.CTRL_RX | w.CTRL_VLAN | w.CTRL_RX_EXTRA | w.GUEST_ANNOUNCE
            | w.CTRL_MAC_ADDR | w.CTRL_GUEST_OFFLOADS)
MAX_COMMAND = 4096           # bytes of one command
NUM_BUFFERS, _ = w.HEADER.at("num_buffers")


class Net(VirtioDevice):
    """The card with this `address`; plug it into a port with `plug_in`."""

    POINTS = VirtioDevice.POINTS | {"sent": "(frame, did it arrive) after each frame that has left",
                                    "received": "(frame, was it taken) after each frame that came"}
    sent: Callable[[bytes, bool], None] | None = None
    received: Callable[[bytes, bool], None] | None = None
    type, lent = w.TYPE, (RECEIVE,)

    def __init__(self, memory: Memory, address: bytes, sizes: tuple[int, ...] = (256, 256, 64), features: int = FEATURES) -> None:
        self.filter = Filter(frames.station_address(address))
        self.port: NetPort | None = None
        self._spare: deque[Chain] = deque()       # receive chains that were taken, and not used yet
        self.frames_in = self.frames_out = self.dropped = 0
        super().__init__(memory, sizes, features)

    def plug_in(self, port: NetPort) -> None:
        """Let `port` carry its frames."""
        self.port = port
        port.connect(self)

    def config(self) -> bytes:
        """See `VirtioDevice` (5.1.4)."""
        return w.CONFIG.pack(mac=self.filter.address, status=w.LINK_UP if self.port is None or self.port.up else 0)

    def ended(self) -> None:
        """See `VirtioDevice`."""
        self.filter.reset()

    def stopping(self, number: int) -> None:
        """See `VirtioDevice`: chains that wait for a frame go back with their queue."""
        if number == RECEIVE:
            for chain in self._spare:
                chain.queue.drop()
            self._spare.clear()

    def handle(self, number: int, chain: Chain) -> None:
        """See `VirtioDevice`."""
        if number == TRANSMIT:
            self._transmit(chain)
        else:
            data = chain.fetch(0, MAX_COMMAND + 1)
            good = data is not None and len(data) <= MAX_COMMAND and self.filter.command(data)
            chain.store(0, bytes([w.ACK if good else w.NACK]))
            self.done(CONTROL, chain, min(chain.space, 1))

    # -- what goes (5.1.6.2) -----------------------------------------------------------------------

    def _transmit(self, chain: Chain) -> None:
        """Send a frame; a chain that has no header breaks the device, one with no proper frame behind it is dropped."""
        data = chain.fetch(0, w.HEADER.size + frames.MAX + frames.TAG + 1)
        if data is not None and len(data) < w.HEADER.size:
            chain.queue.fail(f"a frame of {len(data)} bytes, its header has {w.HEADER.size}")
        elif data is not None:
            self._send(data[w.HEADER.size:])
        self.done(TRANSMIT, chain, 0)

    def _send(self, frame: bytes) -> None:
        if not frames.HEADER <= len(frame) <= frames.longest(frame) or self.port is None:
            self.dropped += 1
            return
        frame = frame.ljust(frames.MIN, b"\0")       # a card pads what is too short for the wire
        arrived = self.port.send(frame)
        self.frames_out += 1
        if self.sent is not None:
            self.sent(frame, arrived)

    # -- what comes (5.1.6.3) ----------------------------------------------------------------------

    def receive(self, frame: bytes) -> bool:
        """See `Station`: the driver gets the frame if it has lent enough for it; a part of a frame is none."""
        taken = self._receive(frame) if self.broken is None and RECEIVE in self.queues else False
        self.dropped += not taken
        if self.received is not None:
            self.received(frame, taken)
        return taken

    def _receive(self, frame: bytes) -> bool:
        if not self.filter.wants(frame):
            return True
        data, queue = bytes(w.HEADER.size) + frame, self.queues[RECEIVE]
        chains = self._chains(queue, len(data))
        if not chains:
            return False
        if self.agreed & w.MRG_RXBUF:
            data = data[:NUM_BUFFERS] + len(chains).to_bytes(2, "little") + data[w.HEADER.size:]
        for chain in chains:
            part, data = data[:chain.space], data[chain.space:]
            chain.store(0, part)
            queue.put(chain, len(part))
        if queue.must_interrupt():
            self.interrupt(RECEIVE)
        self.frames_in += 1
        return True

    def _chains(self, queue: DeviceQueue, size: int) -> list[Chain]:
        """Chains with room for `size` bytes: one that is large enough, or with MRG_RXBUF several; none if there are not enough.

        While enough are lent nobody need kick; before the device gives up it asks for kicks, and looks again.
        """
        queue.awake()
        while not self._enough(size):
            chain = queue.take()
            if chain is not None:
                self._spare.append(chain)
            elif not queue.rest():
                return []
        chains: list[Chain] = []
        while size > 0:
            if chains and not self.agreed & w.MRG_RXBUF:
                self._spare.extendleft(chains)       # too small for this frame, and it may not go on in the next
                return []
            chains.append(self._spare.popleft())
            size -= chains[-1].space
        return chains

    def _enough(self, size: int) -> bool:
        """Whether the chains that were taken may hold a frame: without MRG_RXBUF one must do."""
        return sum(chain.space for chain in self._spare) >= size if self.agreed & w.MRG_RXBUF else bool(self._spare)

    def link_changed(self, up: bool) -> None:
        """See `Station`: the driver is told."""
        self.config_changed()
