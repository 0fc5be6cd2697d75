"""A guest's virtio disk: its start, with the accesses of Linux's drivers/block/virtio_blk.c, and many requests in flight.

    disk = VirtioDisk(cpu, transport, memory)
    yield from disk.init()
    disk.submit("read", lba, sectors, gpa, tag)
    disk.flush_ring()                        one kick for all of them, if the device wants to be kicked
    yield from disk.wait()
    for tag, error in disk.reap(): ...
"""

from vmio.drivers.contracts import DiskRequest, VirtioTransport
from vmio.drivers.errors import DriverError
from vmio.drivers.nvme_disk import DiskOfParts
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.contracts import Tag
from vmio.machine.storage import SECTOR
from vmio.virtio import blk_wire as w
from vmio.virtio import features as f
from vmio.virtio.queue.driver import BadAnswer, DriverQueue, QueueFull
from vmio.virtio.queue.packed_driver import PackedDriver
from vmio.virtio.queue.split_driver import SplitDriver

PAGE = 4096
MAX_SECTORS = 2560             # of a request, where the device names no limit (Linux, BLK_DEF_MAX_SECTORS_CAP)
NO_LIMIT = 0xFFFF_FFFF         # sectors of a discard, where the device says 0 (Linux)
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


class VirtioDisk(DiskOfParts):
    """The disk behind `transport`; `memory` is the address of `memory_needed` bytes.  `wanted` are features, `entries` the queue's size at most."""

    kind = "virtio disk"

    def __init__(self, cpu: Cpu, transport: VirtioTransport, memory: int, wanted: int = WANTED, entries: int = MAX_ENTRIES, polled: bool = False) -> None:
        super().__init__(cpu, self, polled)
        self.transport, self.wanted, self.entries = transport, wanted, entries
        self._memory = memory
        self.queue: DriverQueue                 # from `init` on
        self.agreed = self.sectors = self.max_discarded = 0
        self._slots: list[int] = []

    def init(self) -> Steps[None]:
        """Features, queue, what the configuration says; a generator."""
        transport = self.transport
        self.agreed = agreed = yield from transport.start(self.wanted)
        segments = max(1, self._config("seg_max")) if agreed & w.SEG_MAX else 1      # a host may say 0, and nothing would go
        self.max_sectors = min(MAX_SECTORS, segments * PAGE // SECTOR)
        size = min(transport.queue_size(0), self.entries)
        self._make_queue(size)
        transport.enable(0)
        for name in READ_AFTER:
            value = self._config(name)
            if name == "max_discard_sectors" and agreed & w.DISCARD:
                self.max_discarded = value or NO_LIMIT
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

    def _lose(self, error: Exception) -> None:
        """The device can't be believed any more: every request ends with `error`."""
        started = [token[0] for token, _, _ in self.queue.waiting.values()]
        self.queue.waiting.clear()
        self._lose_all(started, error)
