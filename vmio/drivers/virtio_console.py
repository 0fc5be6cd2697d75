"""A guest's virtio console, of one port: it lends buffers for what is typed, and writes from a page of its own at a time.

    console = VirtioConsole(cpu, transport, memory)
    yield from console.init()
    yield from console.write(b"hello")
    yield from console.wait()
    data = console.reap()

Source: VIRTIO 1.2, 5.3.6; features as Linux's drivers/char/virtio_console.c wants them.
"""

from functools import partial

from vmio.drivers.contracts import VirtioTransport
from vmio.drivers.errors import DriverError
from vmio.drivers.virtio_queue import RINGS, next_back, queue
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.memory import PAGE
from vmio.virtio import console_wire as w
from vmio.virtio import features as f
from vmio.virtio.queue.driver import BadAnswer, DriverQueue

QUEUES = (w.RECEIVE, w.TRANSMIT)
BUFFERS = 8                              # of a page, for each direction
MEMORY = len(QUEUES) * (RINGS + BUFFERS * PAGE)
WANTED = f.VERSION_1 | f.EVENT_IDX | w.SIZE | w.EMERG_WRITE
WATCH_NS = 1_000_000_000                 # the longest sleep without a look


class VirtioConsole:
    """The console behind `transport`; `memory` is the address of `MEMORY` bytes.  `size` is (columns, rows), from `init` on."""

    def __init__(self, cpu: Cpu, transport: VirtioTransport, memory: int) -> None:
        self.cpu, self.transport, self._memory = cpu, transport, memory
        self.size = (0, 0)
        self._queues: list[DriverQueue] = []
        self._spare: list[int] = []          # pages that nothing is written from
        self._received = bytearray()
        self.error: Exception | None = None

    def init(self) -> Steps[None]:
        """Features, queues, the window's size; then lend buffers.  A generator."""
        transport = self.transport
        agreed = yield from transport.start(WANTED)
        transport.hear_changes()
        self._queues = [queue(self.cpu, transport, number, self._memory + number * RINGS, bool(agreed & f.EVENT_IDX)) for number in QUEUES]
        for number in QUEUES:
            transport.enable(number)
        transport.add_status(f.DRIVER_OK)
        first = self._memory + len(QUEUES) * RINGS
        for at in range(first, first + BUFFERS * PAGE, PAGE):
            self._lend(at, 0)
        self._spare = list(range(first + BUFFERS * PAGE, first + 2 * BUFFERS * PAGE, PAGE))
        self._push(w.RECEIVE)
        for each in self._queues:
            each.sleep()
        self.changed()

    def changed(self) -> None:
        """The interrupt of the configuration: the window has another size."""
        columns, rows = (self.transport.config(*w.CONFIG.at(name)) for name in ("cols", "rows"))
        self.size = columns, rows

    def emergency(self, character: int) -> None:
        """Write one character without any queue."""
        self.transport.set_config(*w.CONFIG.at("emerg_wr"), character)

    def write(self, data: bytes) -> Steps[None]:
        """Write it all; a generator that returns when the host has it."""
        for begin in range(0, len(data), PAGE):
            while not self._spare:
                yield from self._sleep(NEVER)
            part, at = data[begin:begin + PAGE], self._spare.pop()
            self.cpu.write(at, part)
            self._queues[w.TRANSMIT].add([(at, len(part))], [], at)
            self._push(w.TRANSMIT)
        while len(self._spare) < BUFFERS:
            yield from self._sleep(NEVER)

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Sleep until something was typed, or the time is `until` (ns)."""
        while not self._received and self.cpu.now < until:
            yield from self._sleep(until)

    def _sleep(self, until: int) -> Steps[None]:
        yield from self.cpu.hlt(watchdog_ns=min(until - self.cpu.now, WATCH_NS))
        if self.error is not None:
            raise self.error

    def reap(self) -> bytes:
        """Return what was typed since the last call."""
        received, self._received = bytes(self._received), bytearray()
        return received

    def _lend(self, at: int, _written: int) -> None:
        self._queues[w.RECEIVE].add([], [(at, PAGE)], at)

    def _push(self, number: int) -> None:
        if self._queues[number].publish():
            self.transport.kick(number)

    def _came(self, at: int, written: int) -> None:
        if not 0 <= written <= PAGE:
            raise BadAnswer(f"the device says that it wrote {written} bytes to a buffer of {PAGE}")
        self._received += self.cpu.read(at, written)
        self._lend(at, 0)

    def interrupt(self) -> None:
        """The queues' interrupt: what was typed, and pages that were written."""
        self.transport.interrupted()
        try:
            for each, over in zip(self._queues, (self._came, lambda at, _written: self._spare.append(at))):
                for at, written in iter(partial(next_back, each), None):
                    over(at, written)
            self._push(w.RECEIVE)
        except BadAnswer as error:
            self.error = DriverError(f"virtio console: {error}")
