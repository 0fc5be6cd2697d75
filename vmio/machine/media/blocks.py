"""What VHD and VHDX have in common: a table that says where each block is, and sectors that may be a parent's."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from vmio.machine.contracts import DiskFile, Sectors
from vmio.machine.media.formats import damaged
from vmio.machine.media.medium import SECTOR, Medium, merged

PAGE = 4096        # bytes of the table that are read at a time
KEPT = 256         # pages of it that are kept
CHUNK = 1 << 20    # bytes of it that are checked at a time


class Layered(Protocol):
    """A disk over a parent, or over nothing."""

    sectors: int

    @property
    def parent(self) -> Medium | None:
        """The disk that has what this one has not, or None."""


class Table:
    """`count` numbers in a row from byte `at` of `file`; `layout` is a numpy type such as "<u8".

    Only the pages last looked at are in memory: a table may be hundreds of megabytes.
    """

    def __init__(self, file: DiskFile, at: int, count: int, layout: str) -> None:
        self.file, self.at, self.count, self.layout = file, at, count, np.dtype(layout)
        self._pages: dict[int, np.ndarray] = {}

    def __getitem__(self, index: int) -> int:
        """One number."""
        number, place = divmod(index * self.layout.itemsize, PAGE)
        page = self._pages.get(number)
        if page is None:
            if len(self._pages) >= KEPT:
                self._pages.clear()
            page = self._pages[number] = self._read(number * PAGE, PAGE)
        return int(page[place // self.layout.itemsize])

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield all of it in order, as arrays."""
        for at in range(0, self.count * self.layout.itemsize, CHUNK):
            yield self._read(at, CHUNK)

    def where(self, present: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Iterator[int]:
        """Yield the index of each number for which `present(numbers, their indices)`, both arrays, is true."""
        first = 0
        for numbers in self.chunks():
            if numbers.any():           # no format has a block in the file's first bytes
                yield from (np.flatnonzero(present(numbers, np.arange(first, first + numbers.size))) + first).tolist()
            first += numbers.size

    def _read(self, at: int, length: int) -> np.ndarray:
        end = self.count * self.layout.itemsize
        return np.frombuffer(self.file.read(self.at + at, min(length, end - at)), self.layout)


class Layout:
    """Which bytes of a file belong to what: everything is inside of it, and nothing lies over something else."""

    def __init__(self, file: DiskFile) -> None:
        self.file = file
        self._starts: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []

    def add(self, starts: int | np.ndarray, length: int, what: str) -> None:
        """Note structures of `length` bytes at `starts`.  ValueError, naming `what`, if one ends after the file does."""
        starts = np.atleast_1d(np.asarray(starts, np.uint64))
        if starts.size and int(starts.max()) + length > self.file.size:
            raise damaged(self.file.name, f"{what} at byte {int(starts.max())} takes {length} bytes, "
                                          f"the file has {self.file.size}")
        self._starts.append(starts.astype(np.int64))
        self._lengths.append(np.full(starts.size, length, np.int64))

    def check(self) -> None:
        """Raise ValueError if two structures have a byte in common."""
        starts, lengths = np.concatenate(self._starts), np.concatenate(self._lengths)
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], (starts + lengths)[order]
        bad = np.flatnonzero(ends[:-1] > starts[1:])
        if bad.size:
            first = int(bad[0])
            raise damaged(self.file.name, f"what is at byte {int(starts[first])} of the file and what is at byte "
                                          f"{int(starts[first + 1])} overlap")


def pieces(lba: int, count: int, per_block: int) -> Iterator[tuple[int, int, int]]:
    """Yield (block, first sector in it, sectors) of each block that a range of sectors touches."""
    while count > 0:
        block, first = divmod(lba, per_block)
        n = min(count, per_block - first)
        yield block, first, n
        lba, count = lba + n, count - n


def choose(have: Sequence[int], own: bytes, below: Sectors) -> bytes:
    """Return the sectors of `own` where `have` (a bit for each) is set, those of `below` where it isn't."""
    return b"".join((own if here else below)[at * SECTOR:(at + 1) * SECTOR] for at, here in enumerate(have))


def stacked(medium: Layered, blocks: Iterable[int], per_block: int) -> Iterator[tuple[int, int]]:
    """Return the extents of a medium that has these `blocks`, and a parent below them or none."""
    last = medium.sectors
    own = ((block * per_block, min((block + 1) * per_block, last)) for block in blocks)
    if medium.parent is None:
        return merged(own)
    return merged(own, ((start, min(end, last)) for start, end in medium.parent.extents()))


def from_parent(parent: Medium | None, lba: int, count: int) -> Sectors:
    """Return `count` sectors of a parent, or of nobody: zeros where it ends, or where there is none."""
    there = max(min(count, parent.sectors - lba), 0) if parent else 0
    data = parent.read(lba, there) if parent and there else b""
    return data + bytes((count - there) * SECTOR)
