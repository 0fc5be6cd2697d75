"""The host's physical memory: one buffer, handed out in 4 KiB pages.

Nothing else in the package holds a guest's bytes.  Who wants them goes through
a page table (`pagetable.PageTable`): a guest's CPU through its SLAT table, a
device's DMA through its IOMMU domain.  That is why isolation here is a
property of the code.
"""

import gc
import mmap
import struct
import weakref
from bisect import bisect_left
from collections.abc import Callable

from vmio.machine.checkpoint import Form, State, same
from vmio.machine.contracts import Buffer

PAGE = 4096
AT_ONCE = 1 << 20      # bytes that are looked at together for a checkpoint: most are zeros
UNCOLLECTED = 256 << 20     # bytes of new hosts' memory after which those that nobody uses any more are looked for
MEMORY = Form("host memory", 1, "size", "next", "free", "runs")
_U64 = struct.Struct("<Q")


class MemoryFault(Exception):
    """An access that left the memory it was for."""


class OutOfMemory(MemoryError):
    """The host has no free pages left for what was asked."""


class _Held:
    """How many bytes all hosts' memories have together, and with how many the next look is due."""

    def __init__(self) -> None:
        self.bytes, self.look_at = 0, UNCOLLECTED

    def subtract(self, size: int) -> None:
        """One of `size` bytes is gone, and the next look comes as much earlier as if it had never been."""
        self.bytes -= size
        self.look_at = min(self.look_at, self.bytes + UNCOLLECTED)


_HELD = _Held()


def _room(size: int) -> mmap.mmap:
    """Return `size` zeroed bytes; raises OutOfMemory.

    A host, its guests and what runs in them know each other, so a machine of the past goes only when Python looks for such
    rings; it counts objects, not what they hold, and would come too late.  A look takes long where there are many objects:
    what it leaves is in use, and the next one waits for as much again on top of that.
    """
    if _HELD.bytes + size > _HELD.look_at:
        gc.collect()
        _HELD.look_at = _HELD.bytes + max(size, UNCOLLECTED)
    try:
        room = mmap.mmap(-1, size)
    except (OverflowError, OSError, MemoryError):
        raise OutOfMemory(f"host memory: {size >> 20:,} MiB asked in one piece, and this Python can't have so much; "
                          f"fewer guests, or guests with less RAM, fit") from None
    _HELD.bytes += size
    return room


class HostMemory:
    """`size` bytes (a multiple of 4,096) of zeroed RAM, addressed by SPA (system physical address)."""

    POINTS = {"written": "(SPA, bytes) when the host or a device of its own has written; guests' stores are not told",
              "reading": "(SPA, bytes) before the host or a device of its own reads; guests' loads are not told"}
    written: Callable[[int, int], None] | None = None
    reading: Callable[[int, int], None] | None = None

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE:
            raise ValueError(f"host memory: {size} bytes is not a positive multiple of {PAGE}")
        self.size = size
        self.bytes = _room(size)
        self._held = weakref.finalize(self, _HELD.subtract, size)
        self._can_punch = hasattr(mmap, "MADV_REMOVE") and mmap.PAGESIZE == PAGE
        self._next = PAGE  # page 0 stays free, so that address 0 in a table can only mean "nothing"
        self._free: list[tuple[int, int]] = []    # runs that came back: (spa, end), sorted, with something between any two

    @property
    def free_pages(self) -> int:
        """Pages that nobody has."""
        return (self.size - self._next + sum(end - spa for spa, end in self._free)) // PAGE

    def allocate(self, pages: int, align: int = 1) -> int:
        """Return the SPA of `pages` zeroed pages in a row, aligned to `align` pages: from what came back, if it fits there."""
        step, length = align * PAGE, pages * PAGE
        for at, (spa, end) in enumerate(self._free):
            start = -(-spa // step) * step
            if start + length <= end:
                self._free[at:at + 1] = [run for run in ((spa, start), (start + length, end)) if run[0] < run[1]]
                return start
        start = -(-self._next // step) * step
        if start + length > self.size:
            raise OutOfMemory(f"host memory: {pages} pages in a row asked, {self.free_pages} left")
        if start > self._next:
            self._give(self._next, start)     # what the alignment passes over fits somebody else
        self._next = start + length
        return start

    def free(self, spa: int, pages: int) -> None:
        """Take pages back, scrubbed: the next owner reads zeros, not the last owner's bytes."""
        length = pages * PAGE
        if length >= AT_ONCE and self._can_punch:
            self.bytes.madvise(mmap.MADV_REMOVE, spa, length)    # as zeros, and the machine that this runs on has the room back
            if self.written is not None:
                self.written(spa, length)
        else:
            self.write(spa, bytes(length))
        self._give(spa, spa + length)

    def _give(self, spa: int, end: int) -> None:
        """Note a run as free, joined with its neighbours."""
        at = bisect_left(self._free, (spa, end))
        if at < len(self._free) and self._free[at][0] == end:
            end = self._free.pop(at)[1]
        if at and self._free[at - 1][1] == spa:
            spa = self._free.pop(at - 1)[0]
            at -= 1
        self._free.insert(at, (spa, end))

    def read(self, spa: int, length: int) -> bytes:
        """Return `length` bytes from `spa`; raises `MemoryFault` outside (a Python slice would just be short)."""
        if spa < 0 or length < 0 or spa + length > self.size:
            raise MemoryFault(f"read of {length} bytes at SPA {spa:#x}: memory ends at {self.size:#x}")
        if self.reading is not None:
            self.reading(spa, length)
        return self.bytes[spa:spa + length]

    def write(self, spa: int, data: Buffer) -> None:
        """Store `data` at `spa`; raises `MemoryFault` outside."""
        end = spa + len(data)
        if spa < 0 or end > self.size:
            raise MemoryFault(f"write of {len(data)} bytes at SPA {spa:#x}: memory ends at {self.size:#x}")
        self.bytes[spa:end] = data
        if self.written is not None:
            self.written(spa, end - spa)

    def release(self) -> None:
        """Let this program have the room back at once, for who knows that nobody looks at this memory again."""
        self._held()
        self.bytes.close()

    def save(self) -> State:
        """Return what is in use: pages that hold something, in runs of [SPA, bytes], and which are free."""
        return MEMORY.state(size=self.size, next=self._next, free=self._free,
                            runs=[[spa, self.bytes[spa:end]] for spa, end in self._used()])

    def restore(self, state: State) -> None:
        """Take back what `save` gave; everything else is zeros."""
        saved = MEMORY.take(state)
        same("host memory, bytes", saved["size"], self.size)
        for spa, end in self._used():
            self.write(spa, bytes(end - spa))
        self._next, self._free = saved["next"], [tuple(run) for run in saved["free"]]
        for spa, data in saved["runs"]:
            self.write(spa, data)

    def _used(self) -> list[tuple[int, int]]:
        """Return [(SPA, end), ...] of the pages that hold something else than zeros."""
        runs: list[tuple[int, int]] = []
        blank = bytes(AT_ONCE)
        for start in range(0, self._next, AT_ONCE):
            data = self.bytes[start:min(start + AT_ONCE, self._next)]
            if data == blank[:len(data)]:
                continue
            for at in range(0, len(data), PAGE):
                if data[at:at + PAGE] != blank[:PAGE]:
                    spa = start + at
                    if runs and runs[-1][1] == spa:
                        spa = runs.pop()[0]
                    runs.append((spa, start + at + PAGE))
        return runs

    def load64(self, spa: int) -> int:
        """Return one little-endian 64-bit word (a page-table entry)."""
        return _U64.unpack_from(self.bytes, spa)[0]

    def store64(self, spa: int, value: int) -> None:
        """Store one little-endian 64-bit word."""
        _U64.pack_into(self.bytes, spa, value)
