"""The host's physical memory: one buffer, handed out in 4 KiB pages.

Nothing else in the package holds a guest's bytes.  Who wants them goes through
a page table (`pagetable.PageTable`): a guest's CPU through its SLAT table, a
device's DMA through its IOMMU domain.  That is why isolation here is a
property of the code.
"""

import mmap
import struct
from bisect import bisect_left

PAGE = 4096
_U64 = struct.Struct("<Q")


class MemoryFault(Exception):
    """An access that left the memory it was for."""


class OutOfMemory(MemoryError):
    """The host has no free pages left for what was asked."""


class HostMemory:
    """`size` bytes (a multiple of 4,096) of zeroed RAM, addressed by SPA (system physical address)."""

    def __init__(self, size):
        if size <= 0 or size % PAGE:
            raise ValueError(f"host memory: {size} bytes is not a positive multiple of {PAGE}")
        self.size = size
        self.bytes = mmap.mmap(-1, size)
        self._next = PAGE  # page 0 stays free, so that address 0 in a table can only mean "nothing"
        self._free = []    # runs that came back: (spa, end), sorted, with something between any two

    @property
    def free_pages(self):
        """Pages that nobody has."""
        return (self.size - self._next + sum(end - spa for spa, end in self._free)) // PAGE

    def allocate(self, pages, align=1):
        """SPA of `pages` zeroed pages in a row, aligned to `align` pages: from what came back, if it fits there."""
        step, length = align * PAGE, pages * PAGE
        for at, (spa, end) in enumerate(self._free):
            start = -(-spa // step) * step
            if start + length <= end:
                self._free[at:at + 1] = [run for run in ((spa, start), (start + length, end)) if run[0] < run[1]]
                return start
        start = -(-self._next // step) * step
        if start + length > self.size:
            raise OutOfMemory(f"host memory: {pages} pages in a row asked, {self.free_pages} left")
        self._next = start + length
        return start

    def free(self, spa, pages):
        """Take pages back, scrubbed: the next owner reads zeros, not the last owner's bytes."""
        self.write(spa, bytes(pages * PAGE))
        self._give(spa, spa + pages * PAGE)

    def _give(self, spa, end):
        """Note a run as free, joined with its neighbours."""
        at = bisect_left(self._free, (spa, end))
        if at < len(self._free) and self._free[at][0] == end:
            end = self._free.pop(at)[1]
        if at and self._free[at - 1][1] == spa:
            spa = self._free.pop(at - 1)[0]
            at -= 1
        self._free.insert(at, (spa, end))

    def read(self, spa, length):
        """`length` bytes from `spa`; raises `MemoryFault` outside (a Python slice would just be short)."""
        if spa < 0 or length < 0 or spa + length > self.size:
            raise MemoryFault(f"read of {length} bytes at SPA {spa:#x}: memory ends at {self.size:#x}")
        return self.bytes[spa:spa + length]

    def write(self, spa, data):
        """Store `data` at `spa`; raises `MemoryFault` outside."""
        end = spa + len(data)
        if spa < 0 or end > self.size:
            raise MemoryFault(f"write of {len(data)} bytes at SPA {spa:#x}: memory ends at {self.size:#x}")
        self.bytes[spa:end] = data

    def load64(self, spa):
        """One little-endian 64-bit word (a page-table entry)."""
        return _U64.unpack_from(self.bytes, spa)[0]

    def store64(self, spa, value):
        """Store one little-endian 64-bit word."""
        _U64.pack_into(self.bytes, spa, value)
