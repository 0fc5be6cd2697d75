"""A driver for an NVMe disk: one class for the host, and for a guest that was given the device.

Commands are built in a ring, one doorbell tells the controller of all that are
new, and a phase bit in each answer tells which answers are.  No register is
read once the driver runs.  Source: NVMe 1.4, 7.6.1 "Initialization", 4.1, 4.3, 4.6.
"""

import struct
from collections.abc import Callable, Sequence

from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.hardware.nvme.wire import COMPLETION, RANGE, SQE_RW
from vmio.hypervisor.contracts import DriverCpu, Steps
from vmio.machine.contracts import Tag

CAP, CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0x00, 0x14, 0x1C, 0x24, 0x28, 0x30, 0x1000
ENABLE = 0x0046_0001           # 16-byte answers, 64-byte commands, 4 KiB pages, EN
READY, FATAL = 1, 2
CREATE_SQ, CREATE_CQ, IDENTIFY, SET_FEATURES = 0x01, 0x05, 0x06, 0x09
NUMBER_OF_QUEUES = 7
OPCODES = {"flush": 0, "write": 1, "read": 2, "zero": 8, "discard": 9}
PAGE, SECTOR = 4096, 512
MAX_DISCARDED = (1 << 32) - 1 # blocks of a range
ADMIN_ENTRIES = 16
POLLS = 100_000                # looks before the driver gives up
POLL_NS = 1000                 # between two looks, when there is nothing to wait for

ANSWER = COMPLETION.only("command_id", "status")     # what a driver needs of it for I/O


class NvmeError(DriverError):
    """A command ended badly; carries `command`, `status` (NVMe 1.4, 4.6.1; without the phase bit)."""

    def __init__(self, command: str, status: int) -> None:
        self.command, self.status = command, status
        super().__init__(f"NVMe {command}: status {status & 0x7FF:03X}h")


class QueuePair:
    """A submission and a completion ring of `entries`, and a PRP list page for each command slot."""

    def __init__(self, id: int, entries: int, sq: int, cq: int, lists: int) -> None:
        self.id, self.entries, self.sq, self.cq, self.lists = id, entries, sq, cq, lists
        self.tail = self.head = self.rung = 0
        self.phase = 1
        self.free = list(range(entries - 2, -1, -1))   # command ids; one entry stays unused
        self.tags: list[Tag] = [None] * entries
        self.sq_doorbell = DOORBELLS + 8 * id
        self.cq_doorbell = self.sq_doorbell + 4


def memory_needed(entries: int, pairs: int = 1) -> int:
    """Return bytes of memory that a driver with `pairs` queue pairs of `entries` needs."""
    return PAGE * (3 + pairs * (-(-entries * 64 // PAGE) + -(-entries * 16 // PAGE) + entries))


class NvmeDriver:
    """The disk whose BAR 0 is at `bar`.  `cpu` is a guest's `VCpu` or the host's `HostCpu`.

    `base` and `size` are memory for rings and lists, by the addresses that the
    device's DMA uses; page-aligned, `memory_needed()` bytes.  `vectors` are the
    MSI-X vectors of the queue pairs, None for no interrupts.  ValueError for what can't be.
    """

    def __init__(self, cpu: DriverCpu, bar: int, base: int, size: int, entries: int = 64, pairs: int = 1,
                 vectors: list[int] | None = None, address: Callable[[int], int] | None = None) -> None:
        if not 2 <= entries <= 2048:
            raise ValueError(f"entries {entries}: 2 to 2,048")
        if not 1 <= pairs <= 64:
            raise ValueError(f"pairs {pairs}: 1 to 64")
        if base % PAGE or size < memory_needed(entries, pairs):
            needed = memory_needed(entries, pairs)
            raise ValueError(f"memory {base:#x}, {size} bytes: page-aligned, {needed} bytes needed")
        self.cpu, self.bar, self.vectors = cpu, bar, vectors
        self.address = address or (lambda at: at)   # from the CPU's address to the device's
        self.buffer = base
        self._next = base + PAGE
        self.admin = self._pair(0, ADMIN_ENTRIES, lists=False)
        self.pairs = [self._pair(n + 1, entries) for n in range(pairs)]
        self.sectors = self.max_sectors = 0
        self.max_discarded = MAX_DISCARDED       # sectors
        self.discards = False          # does it take DATASET MANAGEMENT (ONCS, 5.15)?
        self.serial = self.model = ""
        self.submitted = self.completed = 0
        self.doorbells = self.head_doorbells = 0       # stores to tell of new commands, and of answers seen

    def _take(self, length: int) -> int:
        at = self._next
        self._next += -(-length // PAGE) * PAGE
        return at

    def _pair(self, id: int, entries: int, lists: bool = True) -> QueuePair:
        return QueuePair(id, entries, self._take(64 * entries), self._take(16 * entries),
                         self._take(PAGE * entries) if lists else 0)

    # -- bringing it up (7.6.1) ----------------------------------------------------------------

    def init(self) -> Steps:
        """Reset, admin queues, identify, I/O queues.  A generator; `DriverTimeout` if the device doesn't answer."""
        cpu, bar, to_device = self.cpu, self.bar, self.address
        if cpu.load(bar + CAP, 4) == 0xFFFF_FFFF:
            raise DriverTimeout(f"no NVMe controller at {bar:#x}")
        cpu.store(bar + CC, 4, 0)
        yield from self._until(lambda status: not status & READY, "disable")
        for pair in (self.admin, *self.pairs):
            cpu.write(pair.cq, bytes(16 * pair.entries))
        cpu.store(bar + AQA, 4, (ADMIN_ENTRIES - 1) * 0x10001)
        for register, at in ((ASQ, self.admin.sq), (ACQ, self.admin.cq)):
            cpu.store(bar + register, 4, to_device(at) & 0xFFFF_FFFF)
            cpu.store(bar + register + 4, 4, to_device(at) >> 32)
        cpu.store(bar + CC, 4, ENABLE)
        yield from self._until(lambda status: status & (READY | FATAL), "enable")
        yield from self._identify()
        count = len(self.pairs) - 1
        result = yield from self._admin("SET FEATURES", SET_FEATURES, low=NUMBER_OF_QUEUES | (count * 0x10001) << 32)
        if min(result & 0xFFFF, result >> 16) < count:
            raise DriverError(f"NVMe: {len(self.pairs)} queue pairs asked, SET FEATURES gave {result:#x}")
        for n, pair in enumerate(self.pairs):
            ring = pair.id | pair.entries - 1 << 16
            flags = 1 if self.vectors is None else 3 | self.vectors[n] << 16
            yield from self._admin("CREATE I/O COMPLETION QUEUE", CREATE_CQ, pair.cq, low=ring | flags << 32)
            flags = 1 | pair.id << 16
            yield from self._admin("CREATE I/O SUBMISSION QUEUE", CREATE_SQ, pair.sq, low=ring | flags << 32)

    def _until(self, ready: Callable[[int], object], what: str) -> Steps:
        for _ in range(POLLS):
            status = self.cpu.load(self.bar + CSTS, 4)
            if status & FATAL:
                raise DriverError(f"NVMe {what}: fatal status (CSTS {status:#x})")
            if ready(status):
                return
            yield from self.cpu.hlt(POLL_NS)
        raise DriverTimeout(f"NVMe {what}: CSTS {status:#x} after {POLLS} looks")

    def _identify(self) -> Steps:
        yield from self._admin("IDENTIFY controller", IDENTIFY, self.buffer, low=1)
        page = self.cpu.read(self.buffer, PAGE)
        self.serial, self.model = (page[a:b].decode("ascii", "replace").strip() for a, b in ((4, 24), (24, 64)))
        self.discards = bool(page[520] & 4)
        self.max_sectors = min((PAGE << page[77]) // SECTOR if page[77] else 65536, 65536, 511 * 8)
        yield from self._admin("IDENTIFY namespace 1", IDENTIFY, self.buffer, nsid=1)
        page = self.cpu.read(self.buffer, PAGE)
        if page[128 + 4 * (page[26] & 15) + 2] != 9:
            raise DriverError("NVMe: only blocks of 512 bytes are supported")
        self.sectors = int.from_bytes(page[:8], "little")

    def _admin(self, name: str, opcode: int, page: int = 0, nsid: int = 0, low: int = 0) -> Steps:
        """One admin command, waited for: its result."""
        pair = self.admin
        self._put(pair, SQE_RW.pack(opcode, 0, 0, nsid, self.address(page), 0, low, 0))
        self._ring(pair)
        for _ in range(POLLS):
            result, _, _, _, _, status = COMPLETION.parse(self.cpu.read(pair.cq + 16 * pair.head, 16))
            if status & 1 == pair.phase:
                self._advance(pair)
                self.head_doorbells += 1
                self.cpu.store(self.bar + pair.cq_doorbell, 4, pair.head)
                if status >> 1:
                    raise NvmeError(name, status >> 1)
                return result
            yield from self.cpu.hlt(POLL_NS)
        raise DriverTimeout(f"NVMe {name}: no answer after {POLLS} looks")

    # -- requests ------------------------------------------------------------------------------

    def submit(self, op: str, lba: int, sectors: int, pages: Sequence[int], tag: Tag, pair: int = 0) -> bool:
        """Put a "read", "write", "zero", "discard" or "flush" in the queue; False if the queue is full.

        `pages` are physical addresses, the first may start within its page, the
        others are whole pages.  `tag` comes back from `reap`.  The controller
        learns of it at the next `ring_doorbell`.
        """
        queue = self.pairs[pair]
        if not queue.free:
            return False
        if len(pages) > 513:
            raise ValueError(f"{len(pages)} pages: a request has at most 513")
        most = MAX_DISCARDED if op == "discard" else 65536
        if sectors > most or sectors < 1 and op != "flush":
            raise ValueError(f"{op} of {sectors} sectors: 1 to {most:,}")
        id = queue.free[-1]
        count = len(pages)
        prp1, prp2 = pages[0] if count else 0, 0
        if count == 2:
            prp2 = pages[1]
        elif count > 2:
            at = queue.lists + PAGE * id
            self.cpu.write(at, struct.pack(f"<{count - 1}Q", *pages[1:]))
            prp2 = self.address(at)
        if op == "discard":          # 6.7: one range, in the list page; dword 11 says deallocate
            at = queue.lists + PAGE * id
            self.cpu.write(at, RANGE.struct.pack(0, sectors, lba))
            prp1, lba, sectors = self.address(at), 4 << 32, 0
        sqe = SQE_RW.pack(OPCODES[op], 0, id, 1, prp1, prp2, lba, sectors - 1 if sectors else 0)
        self.cpu.write(queue.sq + 64 * queue.tail, sqe)
        queue.tail = queue.tail + 1 if queue.tail + 1 < queue.entries else 0
        queue.free.pop()            # only now is it taken: what can't be built takes no place
        queue.tags[id] = tag
        self.submitted += 1
        return True

    def _put(self, pair: QueuePair, sqe: bytes) -> None:
        self.cpu.write(pair.sq + 64 * pair.tail, sqe)
        pair.tail += 1
        if pair.tail == pair.entries:
            pair.tail = 0

    def ring_doorbell(self, pair: int = 0) -> None:
        """Tell the controller of all that was submitted since the last time; a no-op if nothing was."""
        queue = self.pairs[pair]
        if queue.rung != queue.tail:
            self._ring(queue)

    def _ring(self, pair: QueuePair) -> None:
        pair.rung = pair.tail
        self.doorbells += 1
        self.cpu.store(self.bar + pair.sq_doorbell, 4, pair.tail)

    def reap(self, pair: int = 0) -> list[tuple[Tag, int]]:
        """Return the answers that have come: [(tag, status), ...], status 0 for success.  `NvmeError` for an unknown id."""
        queue, answers = self.pairs[pair], []
        head, phase, entries, tags, free = queue.head, queue.phase, queue.entries, queue.tags, queue.free
        while True:
            most = min(entries - 1 - len(free), entries - head) or 1     # as many as can have come
            for id, status in ANSWER.iter_unpack(self.cpu.read(queue.cq + 16 * head, 16 * most)):
                if status & 1 != phase:
                    break
                if id >= entries or tags[id] is None:
                    raise NvmeError(f"answer to unknown command {id}", status >> 1)
                answers.append((tags[id], status >> 1))
                tags[id] = None
                free.append(id)
                head += 1
            if head < entries:
                break
            head, phase = 0, phase ^ 1
        if answers:
            queue.head, queue.phase = head, phase
            self.completed += len(answers)
            self.head_doorbells += 1
            self.cpu.store(self.bar + queue.cq_doorbell, 4, head)
        return answers

    def lose(self, pair: int = 0) -> list[Tag]:
        """The device has gone: return the tags of all requests that it has not answered; none will be."""
        queue = self.pairs[pair]
        tags = [tag for tag in queue.tags if tag is not None]
        queue.tags = [None] * queue.entries
        return tags

    def _advance(self, pair: QueuePair) -> None:
        pair.head += 1
        if pair.head == pair.entries:
            pair.head, pair.phase = 0, pair.phase ^ 1

    # -- one request at a time, for simple programs ----------------------------------------------

    def read(self, lba: int, sectors: int, address: int) -> Steps[None]:
        """Read to contiguous memory at `address`, a device address (`yield from disk.read(...)`)."""
        yield from self._transfer("read", lba, sectors, address)

    def write(self, lba: int, sectors: int, address: int) -> Steps[None]:
        """Write from contiguous memory at `address`, a device address."""
        yield from self._transfer("write", lba, sectors, address)

    def flush(self) -> Steps:
        """All that was answered before is on the medium when this returns."""
        yield from self._one("flush", 0, 0, ())

    def _transfer(self, op: str, lba: int, sectors: int, address: int) -> Steps[None]:
        most = self.max_sectors
        for done in range(0, sectors, most):
            n, at = min(most, sectors - done), address + done * SECTOR
            yield from self._one(op, lba + done, n, page_list(at, n * SECTOR))

    def _one(self, op: str, lba: int, sectors: int, pages: Sequence[int]) -> Steps[None]:
        if not self.submit(op, lba, sectors, pages, (op, lba)):
            raise DriverError("NVMe: the queue is full; reap() first")
        self.ring_doorbell()
        for _ in range(POLLS):
            for tag, status in self.reap():
                if status:
                    raise NvmeError(f"{op} at LBA {lba}", status)
                return
            if self.vectors is None:
                yield from self.cpu.hlt(POLL_NS)
            else:
                yield from self.cpu.hlt(watchdog_ns=POLL_NS * 1000)
        raise DriverTimeout(f"NVMe {op} at LBA {lba}: no answer after {POLLS} looks")


def page_list(address: int, length: int) -> list[int]:
    """Return the page addresses of contiguous memory, the first with its offset, as `submit` wants them."""
    return [address, *range((address & -PAGE) + PAGE, address + length, PAGE)]
