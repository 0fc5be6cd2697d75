"""A set of sectors, kept as ranges: as small for a whole disk as for one sector."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """Disjoint ranges of sectors in order; `add` merges those that meet."""

    __slots__ = ("starts", "ends")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Put the sectors from `start` up to `end`, which is not among them, into the set."""
        if start >= end:
            return
        first, last = bisect_left(self.ends, start), bisect_right(self.starts, end)
        if first < last:
            start, end = min(start, self.starts[first]), max(end, self.ends[last - 1])
        self.starts[first:last], self.ends[first:last] = [start], [end]

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of each part of the set that lies between `start` and `end`."""
        at = bisect_right(self.ends, start)
        while at < len(self.starts) and self.starts[at] < end:
            yield max(start, self.starts[at]), min(end, self.ends[at])
            at += 1
