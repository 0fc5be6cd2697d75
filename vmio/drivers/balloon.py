"""Dynamic memory, the guest's half: it says how much memory it needs, and gives pages away and takes them back when the host asks.

    balloon = Balloon(client, channel, heap)
    yield from balloon.init()
    yield from balloon.serve(until)         answers what the host asks, and reports once a second

In Linux's order, with Linux's numbers: drivers/hv/hv_balloon.c (balloon_probe, post_status, balloon_up, alloc_balloon_pages,
compute_balloon_floor, balloon_down, hot_add_req).
"""

from collections import Counter, deque

from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.heap import Heap
from vmio.drivers.vmbus import GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.contracts import Record
from vmio.vmbus.balloon import wire as w
from vmio.vmbus.balloon.wire import Message
from vmio.vmbus.bus.ring import RingFull

SECOND = 1_000_000_000
ANSWER_NS = 5 * SECOND          # for each step of the start-up
FULL_NS = 20_000_000            # until a full ring is tried again
REPORT_DELAY = 45               # seconds without a report, Linux's `pressure_report_delay`
MIB_PAGES = 256
INITIALIZING, INITIALIZED, BALLOON_UP, BALLOON_DOWN, HOT_ADD = "initializing", "initialized", "balloon up", "balloon down", "hot add"
CAPABILITIES = w.BALLOONS | w.HOT_ADDS | 7 << 2       # hot add in pieces of 2^7 MiB


def floor(total: int) -> int:
    """Return how many of its `total` pages a guest keeps for itself, whatever the host asks (compute_balloon_floor)."""
    for below, base, shift in ((128, 8, 1), (512, 40, 2), (2048, 104, 3), (8192, 232, 4)):
        if total < below * MIB_PAGES:
            return base * MIB_PAGES + (total >> shift)
    return 488 * MIB_PAGES + (total >> 5)


class Balloon:
    """The driver.  `heap` is where it takes pages from; `ballooned` counts those that the host has."""

    def __init__(self, client: VmBusClient, channel: GuestChannel, heap: Heap, report_delay: int = REPORT_DELAY,
                 capabilities: int = CAPABILITIES, versions: tuple[int, ...] = w.LINUX_VERSIONS) -> None:
        self.client, self.channel, self.cpu, self.heap = client, channel, client.cpu, heap
        self.capabilities, self.versions, self.delay = capabilities, versions, report_delay
        self.state, self.version = INITIALIZING, 0
        self.ballooned = self.added = 0
        self.maximum: int | None = None         # as the host has said
        self.heard: Counter[str] = Counter()
        self.partial = 0                        # requests that were fulfilled in part
        self._messages: deque[bytes] = deque()
        self._number = 0
        self._due = 0

    def init(self) -> Steps[None]:
        """Open the channel and agree with the host; `DriverError` if it wants none of it."""
        self.end = yield from self.client.open(self.channel, pages=w.RING_PAGES, on_signal=self._look)
        for version in self.versions:
            last = version == self.versions[-1]
            yield from self._send(w.VERSION_REQUEST.pack(transaction=self._next(), version=version, last=int(last)))
            if (yield from self._answer(Message.VERSION_RESPONSE)).accepted & w.FLAG:
                self.version = version
                break
        else:
            raise DriverError("balloon: no version in common with the host")
        yield from self._send(w.CAPABILITIES.pack(transaction=self._next(), capabilities=self.capabilities))
        if not (yield from self._answer(Message.CAPABILITIES_RESPONSE)).accepted & w.FLAG:
            raise DriverError("balloon: the host does not accept the guest's capabilities")
        self.state, self._due = INITIALIZED, self.cpu.now + SECOND

    def on(self, cpu: Cpu) -> "Balloon":
        """Return the driver for a further vCPU: it is the same, as memory is all vCPUs'; the first one does its `work`."""
        return self

    def serve(self, until: int) -> Steps[None]:
        """Answer the host and report to it, until the time is `until` (ns); a generator."""
        while True:
            yield from self.work()
            now = self.cpu.now
            if now >= until:
                return
            if not self._messages:
                yield from self.cpu.hlt(min(until, self._due) - now)

    def work(self) -> Steps[None]:
        """Do what there is to do now: answer messages, and report if a second has gone by; a generator."""
        while self._messages:
            yield from self._obey(w.parse(self._messages.popleft()))
        if self.cpu.now >= self._due:
            self._due += SECOND * ((self.cpu.now - self._due) // SECOND + 1)
            yield from self._report()

    # What is sent.

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _send(self, message: bytes) -> Steps[None]:
        yield from self.cpu.pay()
        while True:
            try:
                return self.end.send(message)
            except RingFull:
                yield from self.cpu.hlt(FULL_NS)

    def _report(self) -> Steps[None]:
        """How much there is, and how much was promised: what the host has and what the guest must keep are counted in."""
        if self.delay:
            self.delay -= 1
            return
        heap = self.heap
        committed = heap.committed + self.ballooned + floor(heap.total)
        yield from self._send(w.STATUS_REPORT.pack(transaction=self._next(), available=heap.available, committed=committed, free=heap.available))

    # What comes.

    def _look(self, cpu: Cpu) -> None:
        self._messages.extend(packet.payload for packet in self.end.packets())

    def _answer(self, expected: Message) -> Steps[Record]:
        """Wait for a step of the start-up, 5 s at most."""
        deadline = self.cpu.now + ANSWER_NS
        while not self._messages:
            if not (yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)):
                raise DriverTimeout(f"balloon: no {expected.name}")
        record = w.parse(self._messages.popleft())
        if record.type != expected:
            raise DriverError(f"balloon: {w.NAMES[record.type]}, where {expected.name} is due")
        return record

    def _obey(self, record: Record) -> Steps[None]:
        self.heard[w.NAMES[record.type]] += 1
        if record.type == Message.BALLOON:
            self.state = BALLOON_UP
            yield from self._inflate(record.pages)
        elif record.type == Message.UNBALLOON:
            self.state = BALLOON_DOWN
            yield from self._deflate(record)
        elif record.type == Message.HOT_ADD:
            self.state = HOT_ADD
            yield from self._add(*w.unpack_range(record.range))
        elif record.type == Message.INFO and record.kind == w.MAX_PAGE_COUNT:
            self.maximum = record.value

    def _inflate(self, wanted: int) -> Steps[None]:
        """Give `wanted` pages, or as many as leave the floor free: first pieces of 2 MiB, then single pages."""
        heap = self.heap
        available, least = heap.available, floor(heap.total)
        if available < wanted or available - wanted < least:
            self.partial += 1
            wanted = max(available - least, 0)
            wanted -= wanted % w.LARGE
        piece, more = w.LARGE, True
        while more:
            ranges = self._pieces(wanted, piece)
            if piece != 1 and not ranges:
                piece = 1
                continue
            given = piece * len(ranges)
            wanted -= given
            more = bool(given and wanted)
            self.ballooned += given
            heap.total -= given
            if not more:
                self.state = INITIALIZED
            yield from self._send(w.with_ranges(w.BALLOON_RESPONSE, ranges, transaction=self._next(), counts=len(ranges) << 1 | int(more)))

    def _pieces(self, wanted: int, piece: int) -> list[tuple[int, int]]:
        """Pieces for one message: up to 510, of `piece` pages each."""
        ranges: list[tuple[int, int]] = []
        while len(ranges) < w.MOST_RANGES and (len(ranges) + 1) * piece <= wanted:
            first = self.heap.take(piece, piece)
            if first is None:
                break
            ranges.append((first, piece))
        return ranges

    def _deflate(self, record: Record) -> Steps[None]:
        for first, count in w.ranges_of(record.ranges, record.count):
            self.ballooned -= count
            self.heap.total += count
            self.heap.give_back(first, count)
        if not record.more & w.FLAG:
            yield from self._send(w.UNBALLOON_RESPONSE.pack(transaction=self._next()))
            self.state = INITIALIZED

    def _add(self, first: int, count: int) -> Steps[None]:
        """Have more memory than there was at the start."""
        self.heap.total += count
        self.added += count
        self.heap.give_back(first, count)
        self.state = INITIALIZED
        yield from self._send(w.HOT_ADD_RESPONSE.pack(transaction=self._next(), pages=count, result=w.ADDED))
