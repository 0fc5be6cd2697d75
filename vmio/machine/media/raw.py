"""A raw disk: sector n is at byte 512 n of a file or block device."""

from collections.abc import Iterator

from vmio.machine.contracts import Buffer
from vmio.machine.media.hostfile import HostFile
from vmio.machine.media.medium import SECTOR, Medium


class RawFile(Medium):
    """`sectors` of `file` (a `HostFile`) from its first byte on; writes go to the file if it was opened for them."""

    __slots__ = ("file", "name", "sectors")

    def __init__(self, file: HostFile) -> None:
        """ValueError for a size that is no disk's."""
        check_size(file.name, file.size)
        self.file, self.name, self.sectors = file, file.name, file.size // SECTOR

    @property
    def writable(self) -> bool:
        """Whether the file was opened to be written."""
        return self.file.writable

    @property
    def paths(self) -> tuple[str, ...]:
        """The file's."""
        return (self.file.name,)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Yield (first sector, end) of what has data, as the host says of its file; all of a device, or of a file whose holes nobody tells."""
        for start, end in self.file.extents():
            yield start // SECTOR, -(-end // SECTOR)

    def read(self, lba: int, count: int = 1) -> bytes:
        """Return `count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        if lba < 0 or count < 0 or lba + count > self.sectors:
            self.check_read(lba, count)
        return self.file.read(lba * SECTOR, count * SECTOR)

    def write(self, lba: int, data: Buffer) -> None:
        """Store `data`, a whole number of sectors, in the file; ValueError beyond the last sector."""
        self.check_write(lba, data)
        self.file.write(lba * SECTOR, data)

    def flush(self) -> None:
        """Have the host put what was written on its own disk."""
        if self.file.writable:
            self.file.sync()

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


def check_size(name: str, size: int) -> None:
    """Raise ValueError for a number of bytes that no raw disk has."""
    if size <= 0 or size % SECTOR:
        raise ValueError(f"image {name}: {size} bytes; a disk is a positive multiple of {SECTOR} bytes")
