"""Free memory that is of use until somebody needs it: a program's data from a disk, kept for who reads it again.

    cache = PageCache(first=0x800, pages=0x200, total=0x800)
    at = cache.room(17)             pages in a row for a read; None if there is no room, and then nothing else goes for it
    cache.keep(0, at, 17)           what was read from byte 0 of the disk: from now on it counts as free
    cache.hold(0)                   these pages again, and whoever holds them has them alone; None if they are gone

What is here stays, and what finds no room is not kept.  Who reads a disk again and again from its beginning would find nothing if
the least recently used went first: that is what is wanted next.  Linux counts such pages as available, too, and drops them for a
balloon: mm/page_alloc.c (si_mem_available), drivers/hv/hv_balloon.c (alloc_balloon_pages).
"""

from vmio.drivers.heap import Heap


class PageCache(Heap):
    """A guest's memory, of which some is `kept`: {where it was read from: (first page, pages)}, the oldest first; `dropped` counts what had to go."""

    def __init__(self, first: int, pages: int, total: int) -> None:
        super().__init__(first, pages, total)
        self.kept: dict[int, tuple[int, int]] = {}
        self.kept_pages = self.dropped = 0

    @property
    def available(self) -> int:
        """Free pages, and those that are kept only because there was room."""
        return self.free.total + self.kept_pages

    def room(self, count: int) -> int | None:
        """Return the first of `count` free pages in a row, which are the caller's from now on; None if there are none."""
        return super().take(count)

    def keep(self, where: int, first: int, count: int) -> None:
        """Have pages back with what was read from `where`; they are free if that is kept already."""
        if where in self.kept:
            self.give_back(first, count)
            return
        self.kept[where] = first, count
        self.kept_pages += count
        self.settle()

    def hold(self, where: int) -> int | None:
        """Return the first page of what was read from `where`, which is the caller's until the next `keep`; None if it is not there."""
        if where not in self.kept:
            return None
        first, count = self.kept.pop(where)
        self.kept_pages -= count
        return first

    def take(self, count: int, align: int = 1) -> int | None:
        """See `Heap`; what is kept goes for it, the newest first."""
        while (first := super().take(count, align)) is None and self.kept:
            self._drop()
        return first

    def settle(self) -> None:
        """See `Heap`; what programs were promised goes before what is kept."""
        while self.missing > self.free.total and self.kept:
            self._drop()
        super().settle()

    def _drop(self) -> None:
        first, count = self.kept.popitem()[1]
        self.kept_pages -= count
        self.dropped += 1
        self.free.add(first, count)
