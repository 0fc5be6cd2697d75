"""A guest's virtio disk: its start, with the accesses of Linux's drivers/block/virtio_blk.c, and many requests in flight.

    disk = VirtioDisk(cpu, transport, memory)
    yield from disk.init()
    disk.submit("read", lba, sectors, gpa, tag)
    disk.flush_ring()                        one kick for all of them, if the device wants to be kicked
    yield from disk.wait()
    for tag, error in disk.reap(): ...
"""

from collections import deque

from vmio.drivers.contracts import DiskRequest, Done, Reaped, VirtioTransport
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Tag
from vmio.machine.storage import SECTOR
from vmio.virtio import blk_wire as w
from vmio.virtio import features as f
from vmio.virtio.queue.driver import BadAnswer, DriverQueue, QueueFull
from vmio.virtio.queue.packed_driver import PackedDriver
from vmio.virtio.queue.split_driver import SplitDriver

TIMEOUT_NS = 60_000_000_000
PAGE = 4096
MAX_SECTORS = 2560             # of a request, where the device names no limit (Linux, BLK_DEF_MAX_SECTORS_CAP)
MAX_ENTRIES = 256              # of the queue: a device may offer more
SLOT = 64                      # bytes of memory of a request: header, range, status
RANGE_AT, STATUS_AT = 16, 32
WANTED = (f.RING & ~f.RING_RESET | f.RING_PACKED | w.SIZE_MAX | w.SEG_MAX | w.GEOMETRY | w.RO | w.BLK_SIZE | w.FLUSH | w.TOPOLOGY | w.CONFIG_WCE
          | w.DISCARD | w.WRITE_ZEROES)
TYPES = {"read": w.IN, "write": w.OUT, "flush": w.FLUSH_REQUEST, "discard": w.DISCARD_REQUEST}
READ_AFTER = ("writeback", "blk_size", "physical_block_exp", "alignment_offset", "min_io_size", "opt_io_size",
              "discard_sector_alignment", "max_discard_sectors", "max_discard_seg", "max_write_zeroes_sectors")
_HEADER = w.HEADER.struct.pack


def memory_needed(entries: int) -> int:
    """Return bytes of memory for a driver whose queue has so many entries: rings, indirect tables, a slot for each request."""
    return 4 * PAGE + entries * (16 + 32 + SLOT + DriverQueue.TABLE_BYTES)


class VirtioError(DriverError):
    """A request ended badly; carries `status`, 1 (error) or 2 (not supported)."""

    def __init__(self, tag: Tag, status: int) -> None:
        self.status = status
        super().__init__(f"virtio disk, request {tag}: {({w.IOERR: 'I/O error', w.UNSUPP: 'not supported'}).get(status, f'status {status}')}")


class VirtioDisk:
    """The disk behind `transport`; `memory` is the address of `memory_needed` bytes.  `wanted` are features, `entries` the queue's size at most."""

    def __init__(self, cpu: Cpu, transport: VirtioTransport, memory: int, wanted: int = WANTED, entries: int = MAX_ENTRIES, polled: bool = False) -> None:
        self.cpu, self.transport, self.wanted, self.entries, self.polled = cpu, transport, wanted, entries, polled
        self._memory = memory
        self.queue: DriverQueue                 # from `init` on
        self.agreed = self.sectors = self.max_discarded = 0
        self.in_flight = 0
        self.finished: deque[Reaped] = deque()
        self.error: Exception | None = None
        self._waiting: deque[tuple[DiskRequest, str, int, int, int]] = deque()    # parts that found the queue full
        self._slots: list[int] = []

    def init(self) -> Steps[None]:
        """Features, queue, what the configuration says; a generator."""
        transport = self.transport
        self.agreed = agreed = yield from transport.start(self.wanted)
        segments = self._config("seg_max") if agreed & w.SEG_MAX else 1
        self.max_sectors = min(MAX_SECTORS, segments * PAGE // SECTOR)
        size = min(transport.queue_size(0), self.entries)
        self._make_queue(size)
        transport.enable(0)
        for name in READ_AFTER:
            value = self._config(name)
            if name == "max_discard_sectors" and agreed & w.DISCARD:
                self.max_discarded = value
        self.sectors = self._capacity()
        transport.add_status(f.DRIVER_OK)
        if not self.polled:
            self.queue.sleep()

    def _make_queue(self, size: int) -> None:
        """Lay the queue's parts, tables and slots out in memory, and tell the device where."""
        packed = bool(self.agreed & f.RING_PACKED)
        rings = self._memory
        places = rings, rings + 16 * size, rings + 16 * size + PAGE
        after = places[2] + PAGE + 8 * size
        slots = after + -after % PAGE
        tables = slots + SLOT * size
        self.cpu.write(rings, bytes(slots - rings))
        self._slots = [slots + SLOT * n for n in range(size)][::-1]
        self.queue = (PackedDriver if packed else SplitDriver)(
            self.cpu, size, *places, tables=tables if self.agreed & f.INDIRECT_DESC else None, event_idx=bool(self.agreed & f.EVENT_IDX))
        self.transport.set_queue(0, size, places, 1)

    def _config(self, name: str) -> int:
        return self.transport.config(*w.CONFIG.at(name))

    def _capacity(self) -> int:
        """The capacity, read in two halves: again if the configuration has changed meanwhile."""
        while True:
            before = self.transport.generation()
            capacity = self.transport.config(0, 4) | self.transport.config(4, 4) << 32
            if self.transport.generation() == before:
                return capacity

    @property
    def discards(self) -> bool:
        """Does the disk take discards?"""
        return bool(self.agreed & w.DISCARD)

    # -- requests ----------------------------------------------------------------------------

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag, done: Done | None = None) -> None:
        """Start a "read", "write", "flush" or "discard"; data is at `gpa`, contiguous.  `done(tag, error)`, or `reap` tells."""
        most = self.max_discarded if op == "discard" else self.max_sectors
        request = DiskRequest(tag, done, max(-(-sectors // most), 1))
        if op == "flush":
            self._put(request, op, 0, 0, 0)
        while sectors > 0:
            part = min(sectors, most)
            self._put(request, op, lba, part, gpa)
            lba, sectors, gpa = lba + part, sectors - part, gpa + part * SECTOR

    def _put(self, request: DiskRequest, op: str, lba: int, sectors: int, gpa: int) -> None:
        if self.error is not None:
            raise self.error
        if self._waiting or not self._start(request, op, lba, sectors, gpa):
            self._waiting.append((request, op, lba, sectors, gpa))

    def _start(self, request: DiskRequest, op: str, lba: int, sectors: int, gpa: int) -> bool:
        """Put a part into the queue; False if there is no room."""
        if not self._slots:
            return False
        slot, write = self._slots[-1], self.cpu.write
        readable, writable, at = [(slot, w.HEADER.size)], [(slot + STATUS_AT, 1)], lba
        if op == "read":
            writable.insert(0, (gpa, sectors * SECTOR))
        elif op == "write":
            readable.append((gpa, sectors * SECTOR))
        elif op == "discard":
            write(slot + RANGE_AT, w.RANGE.pack(sector=lba, sectors=sectors))
            readable.append((slot + RANGE_AT, w.RANGE.size))
            at = 0
        write(slot, _HEADER(TYPES[op], 0, at))
        try:
            self.queue.add(readable, writable, (request, slot))
        except QueueFull:
            return False
        self._slots.pop()
        self.in_flight += 1
        return True

    def flush_ring(self) -> None:
        """Let the device see what was submitted, and kick it if it wants to be kicked."""
        while self._waiting and self._start(*self._waiting[0]):
            self._waiting.popleft()
        if self.queue.publish():
            self.transport.kick(0)

    def interrupt(self, cpu: Cpu) -> None:
        """Take every answer that is there; ask for no interrupts meanwhile, and look again before we go."""
        self.transport.interrupted()
        queue = self.queue
        try:
            while True:
                queue.awake()
                while (answer := queue.reap()) is not None:
                    self._answered(*answer[0])
                if self.polled or not queue.sleep():
                    return
        except BadAnswer as error:
            self._lose(DriverError(f"virtio disk: {error}"))

    def _answered(self, request: DiskRequest, slot: int) -> None:
        status = self.cpu.read(slot + STATUS_AT, 1)[0]
        self._slots.append(slot)
        self.in_flight -= 1
        self._over(request, VirtioError(request.tag, status) if status else None)

    def _over(self, request: DiskRequest, error: Exception | None) -> None:
        """A part of a request is over: good, or what went wrong."""
        request.error = request.error or error
        request.remaining -= 1
        if not request.remaining:
            if request.done is not None:
                request.done(request.tag, request.error)
            else:
                self.finished.append((request.tag, request.error))

    def _lose(self, error: Exception) -> None:
        """The device can't be believed any more: every request ends with `error`."""
        self.error = error
        parts = [token[0] for token, _, _ in self.queue.waiting.values()] + [part[0] for part in self._waiting]
        self.queue.waiting.clear()
        self._waiting.clear()
        self.in_flight = 0
        for request in parts:
            self._over(request, error)

    def reap(self) -> list[Reaped]:
        """Return what is over: [(tag, error or None), ...]."""
        over = list(self.finished)
        self.finished.clear()
        return over

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Until there is something to reap, or the time is `until`: asleep, or by looking again and again."""
        cpu = self.cpu
        deadline = cpu.now + TIMEOUT_NS
        if self.polled:
            self.interrupt(cpu)
        while not self.finished and cpu.now < until:
            if self.error is not None:
                raise self.error
            if not self.in_flight and until < NEVER:
                yield from cpu.hlt(until - cpu.now)
                continue
            if self.polled:
                yield from cpu.spin()
                self.interrupt(cpu)
            else:
                now = cpu.now
                yield from cpu.hlt(None if until == NEVER else until - now, watchdog_ns=deadline - now)
            if cpu.now >= deadline and not self.finished:
                raise DriverTimeout(f"virtio disk: {self.in_flight} requests, no answer")
            if self._waiting:
                yield from cpu.pay()
                self.flush_ring()
