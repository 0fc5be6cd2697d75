"""A raw disk: sector n is at byte 512 n of a file or block device."""

from vmio.machine.media.medium import SECTOR, Medium


class RawFile(Medium):
    """`sectors` of `file` (a `HostFile`) from its first byte on; writes go to the file if it was opened for them."""

    __slots__ = ("file", "name", "sectors")

    def __init__(self, file):
        """ValueError for a size that is no disk's."""
        check_size(file.name, file.size)
        self.file, self.name, self.sectors = file, file.name, file.size // SECTOR

    @property
    def writable(self):
        """Whether the file was opened to be written."""
        return self.file.writable

    @property
    def paths(self):
        """The file's."""
        return (self.file.name,)

    def extents(self):
        """Where the host's file has data, the host says; a device, or a host that doesn't tell holes, has it everywhere."""
        for start, end in self.file.extents():
            yield start // SECTOR, -(-end // SECTOR)

    def read(self, lba, count=1):
        """`count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        if lba < 0 or count < 0 or lba + count > self.sectors:
            self.check_read(lba, count)
        return self.file.read(lba * SECTOR, count * SECTOR)

    def write(self, lba, data):
        """Store `data`, a whole number of sectors, in the file; ValueError beyond the last sector."""
        self.check_write(lba, data)
        self.file.write(lba * SECTOR, data)

    def flush(self):
        """Have the host put what was written on its own disk."""
        if self.file.writable:
            self.file.sync()

    def close(self):
        """Let go of the file."""
        self.file.close()


def check_size(name, size):
    """Raise ValueError for a number of bytes that no raw disk has."""
    if size <= 0 or size % SECTOR:
        raise ValueError(f"image {name}: {size} bytes; a disk is a positive multiple of {SECTOR} bytes")
