"""The contract of every medium: what a disk keeps its sectors in.

    medium.sectors, medium.name
    medium.read(lba, count)      bytes
    medium.write(lba, data)      whole sectors
    medium.flush()               what was written is where it belongs when this returns
    medium.persist(lba, count)   the same of these sectors alone
    medium.discard(lba, count)   these sectors read as zeros from now on
    medium.extents()             where there may be something else than zeros

A medium's size costs no memory, and the cost of a sector doesn't depend on it.
Addresses beyond the end are BeyondEnd, half sectors ValueErrors: a device checks
what its guest asks before it asks its medium.
"""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import Any, Self

from vmio.machine import files
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.contracts import Buffer, FileName, Sectors

SECTOR = 512
STEP = 2048    # sectors that pass at a time where a whole disk is read or written: 1 MiB


class BeyondEnd(ValueError):
    """Sectors that the medium does not have: its device should have refused them."""


class Medium:
    """What media have in common; a kind of medium adds `name`, `sectors`, `read` and `write`."""

    __slots__ = ()
    name: str
    sectors: int
    read: Callable[..., Sectors]
    write: Callable[..., None]

    @property
    def writable(self) -> bool:
        """Whether writes end in a file of the host."""
        return False

    @property
    def serial(self) -> str | None:
        """The serial number of a disk with this medium, up to 20 letters and digits; None: what its kind of device has."""
        return None

    @property
    def paths(self) -> tuple[str, ...]:
        """The host's files that are read, the disk's own first, then its parents'."""
        return ()

    def inputs(self, option: str) -> dict[str, FileName]:
        """Return what an output must not replace, as `files.target` takes it; `option` is where the disk was named."""
        return {f"{option}'s layer {n}": path for n, path in enumerate(self.paths)}

    def extents(self) -> Iterator[tuple[int, int]]:
        """Yield (first sector, end) of each part that may hold something, in order; all between them are zeros."""
        yield 0, self.sectors

    def grow(self, sectors: int) -> None:
        """Have so many sectors; the new ones are zeros.  ValueError, with nothing changed, for fewer, or where it can't grow."""
        raise ValueError(f"image {self.name}: {type(self).__name__} can't grow; put an Overlay over it, which can")

    def check_read(self, lba: int, count: int) -> None:
        """Raise BeyondEnd if not all of `count` sectors from `lba` exist."""
        if lba < 0 or count < 0 or lba + count > self.sectors:
            raise BeyondEnd(f"image {self.name}: sectors {lba} to {lba + count - 1} asked, "
                             f"0 to {self.sectors - 1} exist")

    def check_write(self, lba: int, data: Buffer) -> int:
        """Return how many sectors `data` fills from `lba` on; ValueError if that is no whole number, BeyondEnd if they do not exist."""
        count, rest = divmod(len(data), SECTOR)
        if rest:
            raise ValueError(f"image {self.name}: {len(data)} bytes written; only multiples of {SECTOR} can be")
        if lba < 0 or lba + count > self.sectors:
            raise BeyondEnd(f"image {self.name}: sectors {lba} to {lba + count - 1} written, "
                             f"0 to {self.sectors - 1} exist")
        return count

    def saved_sectors(self) -> State:
        """Return what was written, as plain data for a checkpoint; `CheckpointRefused` if that is not in memory."""
        raise CheckpointRefused(f"checkpoint, image {self.name}: it keeps what is written somewhere else; use an Overlay over it")

    def take_back(self, state: State) -> None:
        """Hold what `saved_sectors` gave."""
        raise CheckpointRefused(f"checkpoint, image {self.name}: it can't take back what was saved; use an Overlay over it")

    def discard(self, lba: int, count: int) -> None:
        """Make `count` sectors from `lba` read as zeros; ValueError beyond the last sector."""
        self.check_read(lba, count)
        for at in range(lba, lba + count, STEP):
            self.write(at, bytes(SECTOR * min(STEP, lba + count - at)))

    def flush(self) -> None:
        """Push nothing, as nothing is held back, unless a kind of medium says otherwise."""

    def persist(self, lba: int, count: int) -> None:
        """What was written to `count` sectors from `lba` is where it belongs when this returns: here by flushing all."""
        self.flush()

    def save(self, path: FileName) -> None:
        """Write the disk, as its owner sees it now, to a file at `path` (`files.save`)."""
        files.save(self, path)

    def close(self) -> None:
        """Let go of what the host lent; the medium is of no use afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, sectors={self.sectors}, writable={self.writable})"


def grow(medium: Any, sectors: int) -> None:
    """Let a medium of any kind have so many sectors; ValueError, with nothing changed, if it can't."""
    if not hasattr(medium, "grow"):
        raise ValueError(f"image {medium.name}: {type(medium).__name__} can't grow")
    medium.grow(sectors)


def check_growth(name: str, now: int, then: int) -> None:
    """Raise ValueError unless a disk of `now` sectors may have `then`: more, and fewer than 2^48, as many as ATA can name."""
    if then < now:
        raise ValueError(f"image {name}: {then:,} sectors instead of {now:,}; a disk only grows, or what lies beyond its new end is lost")
    if then == now or then >= 1 << 48:
        raise ValueError(f"image {name}: {then:,} sectors; it has {now:,}, and may have up to {(1 << 48) - 1:,}")


def serial_of(medium: object, usual: str) -> str:
    """Return the serial number that a device with this medium has, `usual` if the medium has none of its own."""
    return getattr(medium, "serial", None) or usual


def merged(*sources: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Return the extents of several media that lie one over the other, as those of one: in order, and apart."""
    first = last = 0
    for start, end in merge(*sources):
        if start > last:
            if first < last:
                yield first, last
            first, last = start, end
        else:
            last = max(last, end)
    if first < last:
        yield first, last
