"""A difference disk: somebody's own writes over an image that is shared and stays as it was."""

from vmio.machine import files
from vmio.machine.storage import SECTOR


class Overlay:
    """Reads like `base` (anything with `Image`'s methods) until a sector is written; writes stay here."""

    __slots__ = ("base", "name", "sectors", "own")

    def __init__(self, base):
        self.base, self.name, self.sectors = base, f"difference over {base.name}", base.sectors
        self.own = {}   # LBA -> 512 bytes

    def read(self, lba, count=1):
        """`count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        data = self.base.read(lba, count)
        if not self.own or not any(at in self.own for at in range(lba, lba + count)):
            return data
        return b"".join(self.own.get(lba + i) or data[i * SECTOR:(i + 1) * SECTOR] for i in range(count))

    def write(self, lba, data):
        """Store `data`, a whole number of sectors, from `lba`; ValueError beyond the last sector."""
        count, rest = divmod(len(data), SECTOR)
        if rest:
            raise ValueError(f"image {self.name}: {len(data)} bytes written; only multiples of {SECTOR} can be")
        if lba < 0 or lba + count > self.sectors:
            raise ValueError(f"image {self.name}: sectors {lba} to {lba + count - 1} written, "
                             f"0 to {self.sectors - 1} exist")
        for i in range(count):
            self.own[lba + i] = bytes(data[i * SECTOR:(i + 1) * SECTOR])

    def flush(self):
        """Nothing to push: the difference lives in memory."""

    def save(self, path):
        """Write the disk, as its owner sees it now, to a file at `path` (`files.save`)."""
        files.save(self, path)
