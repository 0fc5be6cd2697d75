"""A guest's virtio balloon: it gives pages when the host wants some, 256 in a buffer, takes them back when it wants fewer, and tells how much is free.

    balloon = VirtioBalloon(cpu, transport, memory, heap)
    yield from balloon.init()
    yield from balloon.serve(until)         does what the host wants

In Linux's order, with Linux's numbers: drivers/virtio/virtio_balloon.c (virtballoon_probe, update_balloon_size_func, fill_balloon, leak_balloon,
tell_host, stats_handle_request).  Source: VIRTIO 1.2, 5.5.6.
"""

from functools import partial
from struct import pack

from vmio.drivers.contracts import VirtioTransport
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.heap import Heap
from vmio.drivers.virtio_queue import RINGS, next_back, queue
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.memory import PAGE
from vmio.virtio import balloon_wire as w
from vmio.virtio import features as f
from vmio.virtio.queue.driver import BadAnswer, DriverQueue

IN_A_BUFFER = 256                        # pages, Linux's VIRTIO_BALLOON_ARRAY_PFNS_MAX
MEMORY = 3 * RINGS + 3 * PAGE            # three queues, and a buffer for each
WANTED = f.VERSION_1 | f.EVENT_IDX | w.MUST_TELL_HOST | w.STATS_VQ
ANSWER_NS = 60_000_000_000               # for a host that has no frames to give back
AGAIN_NS = 200_000_000                   # until it tries once more to find free pages, as Linux does


class VirtioBalloon:
    """The balloon behind `transport`; `memory` is the address of `MEMORY` bytes.  `heap` is where it takes pages from, `ballooned` those that the host has."""

    def __init__(self, cpu: Cpu, transport: VirtioTransport, memory: int, heap: Heap) -> None:
        self.cpu, self.transport, self.heap, self._memory = cpu, transport, heap, memory
        self.ballooned: list[int] = []           # the last one given comes back first
        self.buffers = self.reports = 0          # of pages and of statistics, that were sent
        self._queues: list[DriverQueue] = []
        self._changed = True
        self.error: Exception | None = None

    def init(self) -> Steps[None]:
        """Features, queues, the first statistics; a generator.  `DriverError` for a device that is none for us."""
        transport = self.transport
        agreed = yield from transport.start(WANTED)
        transport.hear_changes()
        numbers = (w.INFLATE, w.DEFLATE, w.STATS) if agreed & w.STATS_VQ else (w.INFLATE, w.DEFLATE)
        self._queues = [queue(self.cpu, transport, number, self._memory + number * RINGS, bool(agreed & f.EVENT_IDX)) for number in numbers]
        for number in numbers:
            transport.enable(number)
        transport.add_status(f.DRIVER_OK)
        for each in self._queues:
            each.sleep()
        if agreed & w.STATS_VQ:
            self._report()

    def serve(self, until: int) -> Steps[None]:
        """Do what the host wants, until the time is `until` (ns); a generator."""
        while True:
            yield from self.work()
            now = self.cpu.now
            if now >= until:
                return
            if not self._changed:
                yield from self.cpu.hlt(min(until - now, AGAIN_NS))

    def work(self) -> Steps[None]:
        """Give or take what there is between what the host wants and what it has; a generator."""
        self._raise()
        self._changed = False
        wanted, before = self.transport.config(*w.CONFIG.at("num_pages")), len(self.ballooned)
        while len(self.ballooned) < wanted:
            pages = self._free(min(wanted - len(self.ballooned), IN_A_BUFFER))
            if not pages:
                break                            # it tries again later
            self.heap.total -= len(pages)
            yield from self._tell(w.INFLATE, pages)
            self.ballooned += pages
        while len(self.ballooned) > wanted:
            pages = self.ballooned[max(wanted, len(self.ballooned) - IN_A_BUFFER):]
            yield from self._tell(w.DEFLATE, pages)
            del self.ballooned[-len(pages):]
            self.heap.total += len(pages)
            for page in pages:
                self.heap.give_back(page, 1)
        if len(self.ballooned) != before:
            self.transport.set_config(w.CONFIG.at("actual")[0], 4, len(self.ballooned))
            yield from self.cpu.pay()

    def _free(self, most: int) -> list[int]:
        """Take up to so many free pages, one by one."""
        pages: list[int] = []
        while len(pages) < most and (page := self.heap.take(1)) is not None:
            pages.append(page)
        return pages

    def _tell(self, number: int, pages: list[int]) -> Steps[None]:
        """Name pages to the host, and wait until it knows (tell_host)."""
        at, each = self._buffer(number), self._queues[number]
        self.cpu.write(at, pack(f"<{len(pages)}I", *pages))
        each.add([(at, w.PAGE_NUMBER * len(pages))], [], number)
        self.buffers += 1
        self._push(number)
        deadline = self.cpu.now + ANSWER_NS
        while each.waiting:
            yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)
            self._raise()
            if self.cpu.now >= deadline and each.waiting:
                raise DriverTimeout(f"virtio balloon: {len(pages)} pages, no answer")

    def _report(self) -> None:
        """Say how much memory there is, in bytes; the host gives the buffer back when it wants to know again."""
        heap, at = self.heap, self._buffer(w.STATS)
        told = ((w.FREE, heap.available), (w.TOTAL, heap.total), (w.AVAILABLE, heap.available))
        self.cpu.write(at, b"".join(w.STAT.pack(tag=tag, val=pages * PAGE) for tag, pages in told))
        self._queues[w.STATS].add([(at, w.STAT.size * len(told))], [], w.STATS)
        self.reports += 1
        self._push(w.STATS)

    def _buffer(self, number: int) -> int:
        return self._memory + 3 * RINGS + number * PAGE

    def _push(self, number: int) -> None:
        if self._queues[number].publish():
            self.transport.kick(number)

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def changed(self) -> None:
        """The interrupt of the configuration: the host wants another number."""
        self._changed = True

    def interrupt(self) -> None:
        """The queues' interrupt: buffers that came back."""
        self.transport.interrupted()
        asked = False
        try:
            for each in self._queues:
                for number, _ in iter(partial(next_back, each), None):
                    asked = asked or number == w.STATS
        except BadAnswer as error:
            self.error = DriverError(f"virtio balloon: {error}")
            return
        if asked:
            self._report()
