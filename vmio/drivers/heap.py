"""The guest's memory for its programs: who was promised how much, and which pages are free.

    heap = Heap(first=0x800, pages=0x7800, total=0x8000)
    heap.promise(1000)          programs may use so much from now on; as far as there are free pages, they do
    heap.take(1, 512)           512 pages in a row for a driver; None if there are none
    heap.give_back(first, 512)
"""

from vmio.machine.pageruns import PageRuns


class Heap:
    """Pages `first` to `first + pages` of a guest with `total` pages; the others are the kernel's and the drivers'.

    `committed` is what was promised to programs (Linux's Committed_AS), `resident` what of that has pages; `missing` has none:
    a real guest would write it to its page file, and wait.
    """

    def __init__(self, first: int, pages: int, total: int) -> None:
        self.free = PageRuns([(first, pages)])
        self.total, self.committed = total, 0
        self._resident = PageRuns()

    @property
    def available(self) -> int:
        """Free pages."""
        return self.free.total

    @property
    def resident(self) -> int:
        """Pages that programs have."""
        return self._resident.total

    @property
    def missing(self) -> int:
        """Pages that programs were promised, and that are not there."""
        return self.committed - self.resident

    def promise(self, pages: int) -> None:
        """Let programs have so many pages from now on, and no more; ValueError for fewer than none."""
        if pages < 0:
            raise ValueError(f"{pages} pages for programs: 0 or more")
        self.committed = pages
        self.settle()

    def settle(self) -> None:
        """Give programs what they were promised, as far as there is something, and take what they have too much."""
        if self.resident > self.committed:
            for first, count in self._resident.take(self.resident - self.committed):
                self.free.add(first, count)
        elif self.missing:
            for first, count in self.free.take(self.missing):
                self._resident.add(first, count)

    def take(self, count: int, align: int = 1) -> int | None:
        """Take `count` pages in a row, at a multiple of `align`, out of the free ones; returns the first, None if there are no such."""
        first = self.free.find(count, align)
        if first is not None:
            self.free.remove(first, count)
        return first

    def give_back(self, first: int, count: int) -> None:
        """Have pages free that were taken, or that are new."""
        self.free.add(first, count)
        self.settle()
