"""A guest's RAM: runs of host pages behind its SLAT table.  Nothing else may assume that they lie in a row.

Memory may go while the guest runs (`remove`) and come back (`add`): what is gone
translates to nothing, and its pages are the host's again, scrubbed.
"""

from bisect import bisect_right
from collections.abc import Iterable

from vmio.machine.checkpoint import Form, State
from vmio.machine.memory import PAGE, HostMemory, OutOfMemory
from vmio.machine.pagetable import EXECUTE, LARGE_PAGE, READ, WRITE, PageTable

RAM = Form("RAM", 1, "runs", "touched")


class GuestRam:
    """RAM at guest-physical 0 to `end` in `memory` (the host's); all of it is there at first.  `attach` maps it in `slat`."""

    slat: PageTable

    def __init__(self, memory: HostMemory, end: int) -> None:
        self.memory, self.end = memory, end
        self._starts: list[int] = []                   # sorted
        self._runs: list[tuple[int, int, int]] = []    # (gpa, spa, bytes); none overlap
        self.touched: set[int] = set()        # numbers of pages, if the host backs them at their first touch (`DemandRam`)
        self._insert(0, self._allocate(end // PAGE))

    def attach(self, slat: PageTable) -> None:
        """Map all of it in the guest's SLAT table, from now on also what changes."""
        self.slat = slat
        for gpa, spa, length in self._runs:
            slat.map(gpa, spa, length, READ | WRITE | EXECUTE)

    @property
    def bytes(self) -> int:
        """How much of it is there."""
        return sum(length for _, _, length in self._runs)

    def spa(self, gpa: int) -> int | None:
        """Return where the host keeps the byte at `gpa`, or None if no RAM is there."""
        at = bisect_right(self._starts, gpa) - 1
        if at < 0:
            return None
        start, spa, length = self._runs[at]
        return spa + gpa - start if gpa < start + length else None

    def runs(self, gpa: int = 0, length: int | None = None) -> list[tuple[int, int, int]]:
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

    def pages_at(self, spa: int, length: int) -> Iterable[int]:
        """Return the number of each guest page that the host keeps in [spa, spa+length), from the first byte to the last."""
        found: list[int] = []
        for gpa, start, size in self._runs:
            low, high = spa - start, spa - start + length
            if 0 <= low and high <= size:          # as nearly always
                return range(gpa + low >> 12, (gpa + high - 1 >> 12) + 1)
            if low < size and high > 0:
                found += range(gpa + max(low, 0) >> 12, (gpa + min(high, size) - 1 >> 12) + 1)
        return found

    def add(self, gpa: int, length: int) -> None:
        """Let the guest have zeroed RAM at [gpa, gpa+length), up to `end`; multiples of 4,096.

        ValueError where RAM is already; `OutOfMemory` leaves the guest with what it had.
        """
        self._check(gpa, length)
        if self.runs(gpa, length):
            raise ValueError(f"RAM at {gpa:#x}, {length:#x} bytes: some of it is there already")
        tables = self.slat.most_tables(gpa, length)
        if self.memory.free_pages < length // PAGE + tables:
            raise OutOfMemory(f"host memory: {length // PAGE} pages and up to {tables} for tables asked, {self.memory.free_pages} left")
        self._insert(gpa, self._allocate(length // PAGE))
        for start, spa, size in self.runs(gpa, length):
            self.slat.map(start, spa, size, READ | WRITE | EXECUTE)

    def remove(self, gpa: int, length: int) -> None:
        """Take [gpa, gpa+length) away: nothing is mapped there any more, and the host has its pages back, scrubbed.

        ValueError unless all of it is there; `OutOfMemory` if not even a page for a table is left: then it stays.
        """
        self._check(gpa, length)
        gone = self.runs(gpa, length)
        if sum(size for _, _, size in gone) != length:
            raise ValueError(f"RAM at {gpa:#x}, {length:#x} bytes: not all of it is there")
        self.slat.unmap(gpa, length)
        low = bisect_right(self._starts, gpa) - 1
        high = bisect_right(self._starts, gpa + length - 1)
        first, last = self._runs[low], self._runs[high - 1]
        kept = [(first[0], first[1], gpa - first[0]), (gpa + length, gone[-1][1] + gone[-1][2], last[0] + last[2] - gpa - length)]
        self._runs[low:high] = [run for run in kept if run[2]]
        self._starts[low:high] = [run[0] for run in kept if run[2]]
        self.touched.difference_update(range(gpa // PAGE, (gpa + length) // PAGE))
        for _, spa, size in gone:
            self.memory.free(spa, size // PAGE)

    def free(self) -> None:
        """Give everything back, scrubbed; the guest is gone."""
        for _, spa, size in self._runs:
            self.memory.free(spa, size // PAGE)
        self._starts, self._runs = [], []

    def save(self) -> State:
        """Return where it lies, as [GPA, SPA, bytes], and what was touched; what is in it is in the host's memory."""
        return RAM.state(runs=self._runs, touched=sorted(self.touched))

    def restore(self, state: State) -> None:
        """Take back what `save` gave; the SLAT table is restored by itself."""
        saved = RAM.take(state)
        self._runs = [(gpa, spa, length) for gpa, spa, length in saved["runs"]]
        self.touched = set(saved["touched"])
        self._starts = [gpa for gpa, _, _ in self._runs]

    def _insert(self, gpa: int, pieces: list[tuple[int, int]]) -> None:
        at = bisect_right(self._starts, gpa)
        for spa, pages in pieces:
            self._starts.insert(at, gpa)
            self._runs.insert(at, (gpa, spa, pages * PAGE))
            gpa, at = gpa + pages * PAGE, at + 1

    def _allocate(self, pages: int) -> list[tuple[int, int]]:
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

    def _check(self, gpa: int, length: int) -> None:
        if gpa % PAGE or length % PAGE or gpa < 0 or length <= 0 or gpa + length > self.end:
            raise ValueError(f"RAM at {gpa:#x}, {length:#x} bytes: multiples of {PAGE} below {self.end:#x}")
