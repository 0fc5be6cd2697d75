"""A set of page numbers, kept as runs: what is given away, what is free.

    pages = PageRuns()
    pages.add(512, 512)
    pages.take(16)              [(512, 16)]: the lowest ones
    pages.runs                  [(528, 496)]
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class PageRuns:
    """Runs (first, count) of page numbers, in order, with something between any two; `total` is how many pages they are."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0
        for first, count in runs:
            self.add(first, count)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """All of them, as [(first, count), ...]."""
        return [(start, end - start) for start, end in zip(self._starts, self._ends)]

    def overlaps(self, first: int, count: int) -> bool:
        """Return whether any of these pages is among them."""
        at = bisect_right(self._ends, first)
        return at < len(self._starts) and self._starts[at] < first + count

    def add(self, first: int, count: int) -> None:
        """Add pages; ValueError if one is there already, or for no pages."""
        if count < 1 or first < 0 or self.overlaps(first, count):
            raise ValueError(f"pages {first:#x}, {count} of them: 1 or more, none of which is there")
        low, high = bisect_left(self._ends, first), bisect_right(self._starts, first + count)
        start = self._starts[low] if low < high and self._ends[low] == first else first
        end = self._ends[high - 1] if low < high and self._starts[high - 1] == first + count else first + count
        self._starts[low:high], self._ends[low:high] = [start], [end]
        self.total += count

    def remove(self, first: int, count: int) -> None:
        """Remove pages; ValueError unless all of them are there."""
        at = bisect_right(self._starts, first) - 1
        if count < 1 or at < 0 or self._ends[at] < first + count:
            raise ValueError(f"pages {first:#x}, {count} of them: not all are there")
        parts = [(self._starts[at], first), (first + count, self._ends[at])]
        self._starts[at:at + 1] = [start for start, end in parts if start < end]
        self._ends[at:at + 1] = [end for start, end in parts if start < end]
        self.total -= count

    def find(self, count: int, align: int = 1) -> int | None:
        """Return the first of `count` pages in a row that begin at a multiple of `align`: the lowest; None if there are none."""
        for start, end in zip(self._starts, self._ends):
            first = -(-start // align) * align
            if first + count <= end:
                return first
        return None

    def take(self, count: int) -> list[tuple[int, int]]:
        """Remove the `count` lowest pages, or all if there are fewer, and return them as runs."""
        taken = []
        while count and self._starts:
            first, end = self._starts[0], self._ends[0]
            piece = min(count, end - first)
            self.remove(first, piece)
            taken.append((first, piece))
            count -= piece
        return taken
