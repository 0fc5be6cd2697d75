"""A guest's RAM: runs of host pages behind its SLAT table.  Nothing else may assume that they lie in a row.

Memory may go while the guest runs (`remove`) and come back (`add`): what is gone
translates to nothing, and its pages are the host's again, scrubbed.
"""

from bisect import bisect_right
from typing import Any

from vmio.machine.memory import PAGE, OutOfMemory
from vmio.machine.pagetable import EXECUTE, LARGE_PAGE, READ, WRITE


class GuestRam:
    """RAM at guest-physical 0 to `end` in `memory` (the host's); all of it is there at first.  `attach` maps it."""

    def __init__(self, memory, end):
        self.memory, self.end = memory, end
        self.slat: Any = None          # the guest's page table, from `attach` on
        self._starts, self._runs = [], []     # sorted; a run is (gpa, spa, bytes), none overlap
        self._insert(0, self._allocate(end // PAGE))

    def attach(self, slat):
        """Map all of it in the guest's SLAT table, from now on also what changes."""
        self.slat = slat
        for gpa, spa, length in self._runs:
            slat.map(gpa, spa, length, READ | WRITE | EXECUTE)

    @property
    def bytes(self):
        """How much of it is there."""
        return sum(length for _, _, length in self._runs)

    def spa(self, gpa):
        """Return where the host keeps the byte at `gpa`, or None if no RAM is there."""
        at = bisect_right(self._starts, gpa) - 1
        if at < 0:
            return None
        start, spa, length = self._runs[at]
        return spa + gpa - start if gpa < start + length else None

    def runs(self, gpa=0, length=None):
        """Return [(gpa, spa, bytes), ...] of the RAM in [gpa, gpa+length), in order; holes are left out."""
        stop = self.end if length is None else gpa + length
        found = []
        for start, spa, size in self._runs[max(bisect_right(self._starts, gpa) - 1, 0):]:
            if start >= stop:
                break
            low, high = max(start, gpa), min(start + size, stop)
            if low < high:
                found.append((low, spa + low - start, high - low))
        return found

    def add(self, gpa, length):
        """Let the guest have zeroed RAM at [gpa, gpa+length), up to `end`; multiples of 4,096.

        ValueError where RAM is already; `OutOfMemory` leaves the guest with what it had.
        """
        self._check(gpa, length)
        if self.runs(gpa, length):
            raise ValueError(f"RAM at {gpa:#x}, {length:#x} bytes: some of it is there already")
        self._insert(gpa, self._allocate(length // PAGE))
        for start, spa, size in self.runs(gpa, length):
            self.slat.map(start, spa, size, READ | WRITE | EXECUTE)

    def remove(self, gpa, length):
        """Take [gpa, gpa+length) away: nothing is mapped there any more, and the host has its pages back, scrubbed.

        ValueError unless all of it is there.
        """
        self._check(gpa, length)
        gone = self.runs(gpa, length)
        if sum(size for _, _, size in gone) != length:
            raise ValueError(f"RAM at {gpa:#x}, {length:#x} bytes: not all of it is there")
        self.slat.unmap(gpa, length)
        kept = self.runs(0, gpa) + self.runs(gpa + length, self.end - gpa - length)
        self._runs, self._starts = kept, [start for start, _, _ in kept]
        for _, spa, size in gone:
            self.memory.free(spa, size // PAGE)

    def free(self):
        """Give everything back, scrubbed; the guest is gone."""
        for _, spa, size in self._runs:
            self.memory.free(spa, size // PAGE)
        self._starts, self._runs = [], []

    def _insert(self, gpa, pieces):
        at = bisect_right(self._starts, gpa)
        for spa, pages in pieces:
            self._starts.insert(at, gpa)
            self._runs.insert(at, (gpa, spa, pages * PAGE))
            gpa, at = gpa + pages * PAGE, at + 1

    def _allocate(self, pages):
        """Return [(spa, pages), ...] of the host's memory: one run where there is one, else ever smaller ones."""
        found, piece = [], pages
        while pages:
            piece = min(piece, pages)
            try:
                found.append((self.memory.allocate(piece, align=LARGE_PAGE // PAGE if piece * PAGE >= LARGE_PAGE else 1), piece))
                pages -= piece
            except OutOfMemory:
                if piece == 1:
                    for spa, count in found:
                        self.memory.free(spa, count)
                    raise
                piece = -(-piece // 2)
        return found

    def _check(self, gpa, length):
        if gpa % PAGE or length % PAGE or gpa < 0 or length <= 0 or gpa + length > self.end:
            raise ValueError(f"RAM at {gpa:#x}, {length:#x} bytes: multiples of {PAGE} below {self.end:#x}")
