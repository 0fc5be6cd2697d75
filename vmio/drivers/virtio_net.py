"""A guest's virtio network card: a queue of buffers lent for what comes, another one of frames that go, one interrupt for both.

    card = VirtioNet(cpu, transport, memory)
    yield from card.init()
    card.send(frame)                         a kick, if the device wants to be kicked
    yield from card.wait()
    for frame in card.reap(): ...

Source: VIRTIO 1.2, 5.1 "Network Device".
"""

from functools import partial

from vmio.drivers.contracts import VirtioTransport
from vmio.drivers.errors import DriverError
from vmio.drivers.virtio_queue import ENTRIES, RINGS, next_back, queue
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.net.frames import longest
from vmio.virtio import features as f
from vmio.virtio import net_wire as w
from vmio.virtio.queue.driver import BadAnswer, DriverQueue

RECEIVE, TRANSMIT = 0, 1
QUEUES = (RECEIVE, TRANSMIT)
BUFFER = 2048                            # bytes of a buffer for each entry: a header and the longest frame fit
MEMORY = len(QUEUES) * (RINGS + ENTRIES * BUFFER)
WANTED = f.VERSION_1 | f.EVENT_IDX | w.MAC | w.STATUS
WATCH_NS = 1_000_000_000                 # the longest sleep of `wait`
HEADER = w.HEADER.size


class VirtioNet:
    """The card behind `transport`; `memory` is the address of `MEMORY` bytes.  `address` is the card's own, from `init` on."""

    address: bytes

    def __init__(self, cpu: Cpu, transport: VirtioTransport, memory: int) -> None:
        self.cpu, self.transport, self._memory = cpu, transport, memory
        self._rx: DriverQueue                # from `init` on
        self._tx: DriverQueue
        self._spare: list[int] = []          # buffers in which no frame is on its way out
        self._received: list[bytes] = []
        self.error: Exception | None = None

    def init(self) -> Steps[None]:
        """Features, queues, the card's address; then lend it buffers for what comes.  A generator; `DriverError` for a card without an address."""
        transport = self.transport
        agreed = yield from transport.start(WANTED)
        if not agreed & w.MAC:
            raise DriverError(f"virtio card: features {agreed:#x}, and no address among them")
        self.address = transport.config(0, 4).to_bytes(4, "little") + transport.config(4, 2).to_bytes(2, "little")
        self._rx, self._tx = (queue(self.cpu, transport, number, self._memory + number * RINGS, bool(agreed & f.EVENT_IDX)) for number in QUEUES)
        for number in QUEUES:
            transport.enable(number)
        transport.add_status(f.DRIVER_OK)
        buffers = self._memory + len(QUEUES) * RINGS
        for at in range(buffers, buffers + self._rx.size * BUFFER, BUFFER):
            self._lend(at)
        self._push(RECEIVE)
        first = buffers + ENTRIES * BUFFER
        self._spare = list(range(first, first + self._tx.size * BUFFER, BUFFER))
        self._rx.sleep()
        self._tx.sleep()

    def _push(self, number: int) -> None:
        """Let the device see what was added to a queue, and kick it if it wants to be kicked."""
        if (self._rx, self._tx)[number].publish():
            self.transport.kick(number)

    # Out.

    @property
    def pending(self) -> int:
        """Frames that were accepted and are not known to have left."""
        return self._tx.size - len(self._spare)

    def send(self, frame: bytes, more: bool = False) -> bool:
        """Send a frame, at once, whether `more` follow or not; False if no buffer is free.  `DriverError` for one that is too long."""
        if self.error is not None:
            raise self.error
        if len(frame) > longest(frame):
            raise DriverError(f"virtio card: a frame of {len(frame)} bytes; at most {longest(frame)}")
        if not self._spare:
            return False
        at = self._spare.pop()
        self.cpu.write(at, bytes(HEADER) + frame)          # no checksum is left to the card, and no cutting
        self._tx.add([(at, HEADER + len(frame))], [], at)
        self._push(TRANSMIT)
        return True

    # In.

    def _lend(self, at: int) -> None:
        self._rx.add([], [(at, BUFFER)], at)

    def _came(self, at: int, written: int) -> None:
        """Take the frame out of a buffer, and lend it again."""
        if written <= HEADER:
            raise BadAnswer(f"the device says that it wrote {written} bytes for a frame; its header alone has {HEADER}")
        self._received.append(self.cpu.read(at + HEADER, written - HEADER))
        self._lend(at)

    def _left(self, at: int, _written: int) -> None:
        self._spare.append(at)

    def interrupt(self, cpu: Cpu) -> None:
        """Take all that has come, and see what has left; look again before we go."""
        self.transport.interrupted()
        try:
            for each, over in ((self._rx, self._came), (self._tx, self._left)):
                each.awake()
                for at, written in iter(partial(next_back, each), None):
                    over(at, written)
            self._push(RECEIVE)
        except BadAnswer as error:
            self.error = DriverError(f"virtio card: {error}")

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Sleep until frames have come, what was sent has left, or the time is `until` (ns); raises what was wrong with the device's answers."""
        left = min(until - self.cpu.now, WATCH_NS)
        if not self._received and self.error is None and left > 0:
            yield from self.cpu.hlt(watchdog_ns=left)
        yield from self.cpu.pay()
        if self.error is not None:
            raise self.error

    def reap(self) -> list[bytes]:
        """Return the frames that have come since the last call."""
        received, self._received = self._received, []
        return received
