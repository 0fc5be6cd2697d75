"""The contract of every medium: what a disk keeps its sectors in.

    medium.sectors, medium.name
    medium.read(lba, count)      bytes
    medium.write(lba, data)      whole sectors
    medium.flush()               what was written is where it belongs when this returns
    medium.persist(lba, count)   the same of these sectors alone
    medium.discard(lba, count)   these sectors read as zeros from now on
    medium.extents()             where there may be something else than zeros

A medium's size costs no memory, and the cost of a sector doesn't depend on it.
Addresses beyond the end, and half sectors, are ValueErrors: a device checks what
its guest asks before it asks its medium.
"""

from collections.abc import Callable
from heapq import merge

from vmio.machine import files

SECTOR = 512
STEP = 2048    # sectors that pass at a time where a whole disk is read or written: 1 MiB


class Medium:
    """What media have in common; a kind of medium adds `name`, `sectors`, `read` and `write`."""

    __slots__ = ()
    name: str
    sectors: int
    read: Callable[..., bytes]
    write: Callable[..., None]

    @property
    def writable(self) -> bool:
        """Whether writes end in a file of the host."""
        return False

    @property
    def paths(self) -> tuple[str, ...]:
        """The host's files that are read, the disk's own first, then its parents'."""
        return ()

    def inputs(self, option):
        """What an output must not replace, as `files.target` takes it; `option` is where the disk was named."""
        return {f"{option}'s layer {n}": path for n, path in enumerate(self.paths)}

    def extents(self):
        """Yield (first sector, end) of each part that may hold something, in order; all between them are zeros."""
        yield 0, self.sectors

    def check_read(self, lba, count):
        """Raise ValueError if not all of `count` sectors from `lba` exist."""
        if lba < 0 or count < 0 or lba + count > self.sectors:
            raise ValueError(f"image {self.name}: sectors {lba} to {lba + count - 1} asked, "
                             f"0 to {self.sectors - 1} exist")

    def check_write(self, lba, data):
        """Return how many sectors `data` fills from `lba` on; ValueError if that is no whole number or beyond the end."""
        count, rest = divmod(len(data), SECTOR)
        if rest:
            raise ValueError(f"image {self.name}: {len(data)} bytes written; only multiples of {SECTOR} can be")
        if lba < 0 or lba + count > self.sectors:
            raise ValueError(f"image {self.name}: sectors {lba} to {lba + count - 1} written, "
                             f"0 to {self.sectors - 1} exist")
        return count

    def discard(self, lba, count):
        """Make `count` sectors from `lba` read as zeros; ValueError beyond the last sector."""
        self.check_read(lba, count)
        for at in range(lba, lba + count, STEP):
            self.write(at, bytes(SECTOR * min(STEP, lba + count - at)))

    def flush(self):
        """Nothing to push, unless a kind of medium says otherwise."""

    def persist(self, lba, count):
        """What was written to `count` sectors from `lba` is where it belongs when this returns: here by flushing all."""
        self.flush()

    def save(self, path):
        """Write the disk, as its owner sees it now, to a file at `path` (`files.save`)."""
        files.save(self, path)

    def close(self):
        """Let go of what the host lent; the medium is of no use afterwards."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}, sectors={self.sectors}, writable={self.writable})"


def merged(*sources):
    """The extents of several media that lie one over the other, as those of one: in order, and apart."""
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
