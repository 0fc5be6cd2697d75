"""The ring: one producer, one consumer, shared memory, two indices.  Bytes and indices only; it knows no device.

Page 0 is the control page (`CONTROL`), the rest is data.  An index counts bytes
into the data, is a multiple of 8 and below the data's size.  Equal indices mean
empty, so a ring is never filled completely.

Who may write what: the producer the write index and the pending send size, the
consumer the read index and the interrupt mask.  The other side may be hostile:
its index is read once, checked, and used from the private copy; one's own index
is never read back.  Public sources: Linux drivers/hv/ring_buffer.c, OpenVMM
vm/devices/vmbus/vmbus_ring.

Signals, the heart of it:
- the producer signals when the ring was empty before and the consumer hasn't
  masked it (`signal_if_it_was_empty`); after that the consumer is awake;
- the consumer, before it sleeps, publishes its index, unmasks and looks again:
  what came in between was not signalled;
- the consumer signals back when it has made the room that a producer waits for.
"""

from collections.abc import Callable

from vmio.machine.contracts import Buffer
from vmio.machine.layout import Layout, raw, u32
from vmio.machine.memory import PAGE
from vmio.vmbus.bus.packets import (
    COMPLETION_REQUESTED,
    DESCRIPTOR,
    GPA_DIRECT,
    KINDS,
    MAX_RECORD,
    TRAILER,
    TRANSFER_PAGES,
    Packet,
    PageRanges,
    RingCorrupt,
    build_ranges,
    parse_ranges,
)
from vmio.vmbus.bus.ringmemory import RingMemory

CONTROL = Layout(
    "CONTROL",
    u32("write", "producer's: next byte to be written"), u32("read", "consumer's: next byte to be read"),
    u32("mask", "consumer's: 1 = no signals, please"), u32("pending", "producer's: bytes it waits for, 0 = none"),
    raw("reserved1", 48), u32("features", "producer's: 1 = pending send size is in use"), raw("reserved2", PAGE - 68))
WRITE, READ, MASK, PENDING, FEATURES = (CONTROL.by_name[name].offset
                                        for name in ("write", "read", "mask", "pending", "features"))
DATA = PAGE          # where the data starts
OVERHEAD = 24        # bytes of a record beside ranges and payload: descriptor and trailer
_AT_ONCE = 256       # bytes that are copied out before the length of what is there is known: perhaps several records
_new = tuple.__new__  # a named tuple in half the time
_PAD = [bytes(-n % 8) for n in range(8)]
_pack_descriptor, _unpack_descriptor = DESCRIPTOR.struct.pack, DESCRIPTOR.struct.unpack_from
_pack_trailer = TRAILER.struct.pack


class RingFull(Exception):
    """No room for a record of `needed` bytes; `free` bytes are free.  Nothing was changed."""

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(f"{needed} bytes needed, {free} free, and never all may be used")
        self.needed, self.free = needed, free


class NeverFits(ValueError):
    """A record larger than the whole ring."""


def signal_if_it_was_empty(old_write: int, new_write: int, read: int, mask: int) -> bool:
    """Return whether the producer must signal: unless masked, when the consumer had read all that was there before."""
    return mask == 0 and old_write == read


def format_ring(memory: RingMemory) -> None:
    """Make a ring empty, as the guest does with both of its rings before it opens a channel."""
    memory.write(0, bytes(PAGE))
    memory.store32(FEATURES, 1)


class _End:
    """What producer and consumer have in common."""

    POINTS = {"moved": "(used bytes) when our index was published"}
    moved: Callable[[int], None] | None = None

    def __init__(self, memory: RingMemory) -> None:
        if memory.size < 2 * PAGE or memory.size % PAGE:
            raise ValueError(f"ring: {memory.size} bytes of memory; whole pages, at least 2")
        self.memory = memory
        self.size = memory.size - PAGE  # bytes of data

    def _check(self, name: str, index: int) -> int:
        if index >= self.size or index & 7:
            raise RingCorrupt(f"{name} index {index:#x}: not a multiple of 8 below {self.size:#x}")
        return index

    def state(self) -> dict[str, int]:
        """Return the control page's words, with `used` and `free` bytes: a dict for drawings.  `RingCorrupt` if it is bad."""
        write, read, mask, pending = self.memory.indices()
        used = (self._check("write", write) - self._check("read", read)) % self.size
        return {"write": write, "read": read, "mask": mask, "pending": pending, "size": self.size,
                "used": used, "free": self.size - used}


class RingWriter(_End):
    """The producer's end.  Attaches where the indices are; a fresh ring has them at 0."""

    def __init__(self, memory: RingMemory, should_signal: Callable[[int, int, int, int], bool] = signal_if_it_was_empty) -> None:
        super().__init__(memory)
        self.should_signal = should_signal
        write, read, _, _ = memory.indices()
        self._write = self._published = self._check("write", write)
        self._free = self.size - (write - self._check("read", read)) % self.size
        self._pending = 0
        self._was_full = False
        self.sent = self.intr_out_empty = self.out_full_first = self.out_full_total = 0
        memory.store32(FEATURES, 1)

    def send(self, kind: int, payload: Buffer, transaction_id: int = 0, flags: int = 0, ranges: PageRanges = (),
             wait: bool = False) -> bool:
        """Write one record and publish it.  Returns whether the other side must be signalled.

        `RingFull`: nothing was written; with `wait` the pending send size now says
        what we wait for.  `NeverFits`: it never will.
        """
        self.write(kind, payload, transaction_id, flags, ranges, wait)
        return self.publish()

    def write(self, kind: int, payload: Buffer, transaction_id: int = 0, flags: int = 0, ranges: PageRanges = (),
              wait: bool = False) -> None:
        """Write one record without publishing it: several, and one `publish`, are a batch."""
        extra = build_ranges(kind, ranges) if ranges else b""
        head, size = 16 + len(extra), len(payload)
        length = head + size + 7 & ~7
        total = length + 8
        if self._free <= total or length > MAX_RECORD:
            self._find_room(total, wait)
        start = self._write
        record = b"".join((_pack_descriptor(kind, head >> 3, length >> 3, flags, transaction_id),
                           extra, payload, _PAD[size & 7], _pack_trailer(0, start)))
        end = start + total
        if end <= self.size:
            self.memory.write(DATA + start, record)
        else:
            cut = self.size - start
            self.memory.write(DATA + start, record[:cut])
            self.memory.write(DATA, record[cut:])
        self._write = end if end < self.size else end - self.size
        self._free -= total
        self.sent += 1

    def publish(self) -> bool:
        """Let the other side see what was written.  Returns whether it must be signalled.

        First the index, then the look at the consumer's words: the other way
        round, it could go to sleep in between, and nobody would wake it.
        """
        old, new = self._published, self._write
        self.memory.store32(WRITE, new)
        self._published = new
        self._was_full = False
        if self._pending:
            self._wait_for(0)
        _, read, mask, _ = self.memory.indices()
        self._set_read(read)
        if self.moved is not None:
            self.moved(self.size - self._free)
        if old != new and self.should_signal(old, new, read, mask):
            self.intr_out_empty += old == read and not mask    # what is signalled for any other reason was not for want of it
            return True
        return False

    def make_room(self, size: int) -> None:
        """Be sure that records of `size` bytes in all have room; `RingFull`: not yet, and the other side will signal when they have."""
        if self._free <= size:
            self._find_room(size, True)

    def available(self) -> int:
        """Free bytes, by the consumer's index as it is now; a record must be smaller than this."""
        self._set_read(self.memory.load32(READ))
        return self._free

    def _set_read(self, read: int) -> None:
        if read >= self.size or read & 7:
            self._check("read", read)
        free = self.size - (self._write - read) % self.size
        if free < self._free:  # free bytes only grow while we write nothing
            raise RingCorrupt(f"read index {read:#x} went back, or past the write index")
        self._free = free

    def _find_room(self, total: int, wait: bool) -> None:
        """Look again for `total` bytes of room; `RingFull` if they aren't there."""
        if total >= self.size or total - 8 > MAX_RECORD:
            raise NeverFits(f"a record of {total} bytes never fits in a ring of {self.size}")
        if self.available() > total:
            return
        if wait:
            self._wait_for(total)
            if self.available() > total:  # the consumer may have made room before it could see what we wait for
                return
        self.out_full_total += 1
        if not self._was_full:
            self._was_full = True
            self.out_full_first += 1
        raise RingFull(total, self._free)

    def _wait_for(self, size: int) -> None:
        self._pending = size
        self.memory.store32(PENDING, size)


class RingReader(_End):
    """The consumer's end.  Order before sleep: `receive` until None, `commit`, `unmask`; if that says True, go on."""

    def __init__(self, memory: RingMemory) -> None:
        super().__init__(memory)
        write, read, _, _ = memory.indices()
        self._read = self._published = self._check("read", read)
        self._written = self._check("write", write)      # the producer's index as it was last seen
        self._available = (write - read) % self.size     # not yet received, as far as we know
        self._held = b""         # the first bytes of these, our private copy: each is fetched once
        self.received = self.intr_in_full = 0

    def receive(self) -> Packet | None:
        """Return the next `Packet`, or None when there is none.  `RingCorrupt` if what lies there can't be one."""
        available = self._available
        if not available:
            write = self.memory.load32(WRITE)
            if write == self._written:
                return None
            self._set_write(write)
            available = self._available
            if not available:
                return None
        if available < OVERHEAD:
            raise RingCorrupt(f"{available} bytes published, a record has at least {OVERHEAD}")
        at, size = self._read, self.size
        record = self._held                # all is decoded from this private copy
        if len(record) < OVERHEAD:
            copied = _AT_ONCE if available > _AT_ONCE else available
            record = self.memory.read(DATA + at, copied) if not record and at + copied <= size else self._more(record, copied)
        kind, offset8, length8, flags, transaction_id = _unpack_descriptor(record)
        head, length = 8 * offset8, 8 * length8
        if not 16 <= head <= length or length + 8 > available:
            raise RingCorrupt(f"record at {at:#x}: payload at {head}, length {length}, {available} bytes published")
        if kind not in KINDS or flags & ~COMPLETION_REQUESTED:
            raise RingCorrupt(f"record at {at:#x}: type {kind:#x}, flags {flags:#x}")
        if length + 8 > len(record):
            record = self._more(record, length + 8)
        self._held = record[length + 8:]
        ranges = parse_ranges(kind, record[16:head]) if kind == GPA_DIRECT or kind == TRANSFER_PAGES else ()
        at += length + 8
        self._read = at if at < size else at - size
        self._available = available - length - 8
        self.received += 1
        return _new(Packet, (kind, flags, transaction_id, record[head:length], ranges))

    def _more(self, held: bytes, length: int) -> bytes:
        """Return the first `length` published bytes: what we hold, and the rest of them."""
        at, missing = self._read + len(held), length - len(held)
        if at + missing <= self.size:
            return held + self.memory.read(DATA + at, missing)
        return held + self._fetch(at % self.size, missing)

    def _fetch(self, at: int, length: int) -> bytes:
        """A private copy of data that may wrap around."""
        first = self.memory.read(DATA + at, min(length, self.size - at))
        return first + self.memory.read(DATA, length - len(first))

    def commit(self) -> bool:
        """Give the room of what was received back.  Returns whether the producer waits for it and must be signalled."""
        freed = (self._read - self._published) % self.size
        if not freed:
            return False
        self.memory.store32(READ, self._read)
        self._published = self._read
        write, _, _, pending = self.memory.indices()
        if write != self._written:
            self._set_write(write)
        if self.moved is not None:
            self.moved(self._available)
        if not pending or not self.memory.load32(FEATURES) & 1:
            return False
        free = self.size - self._available
        if free - freed <= pending < free:  # it was too little before, and is enough now
            self.intr_in_full += 1
            return True
        return False

    def mask(self) -> None:
        """Ask for no signals: we are awake."""
        self.memory.store32(MASK, 1)

    def unmask(self) -> bool:
        """Ask for signals again.  Returns True if there is something to read *now*: nobody will signal that.

        Without this second look a record written between the last `receive` and
        the unmasking would lie there unnoticed: the lost wake-up.
        """
        self.memory.store32(MASK, 0)
        write = self.memory.load32(WRITE)
        if write != self._written:
            self._set_write(write)
        return self._available != 0

    def available(self) -> int:
        """Return bytes published and not yet received, by the producer's index as it is now."""
        self._set_write(self.memory.load32(WRITE))
        return self._available

    def _set_write(self, write: int) -> None:
        if write >= self.size or write & 7:
            self._check("write", write)
        available = (write - self._read) % self.size
        if available < self._available:  # what was published once can't be taken back
            raise RingCorrupt(f"write index {write:#x} went back, or past the read index")
        self._written, self._available = write, available
