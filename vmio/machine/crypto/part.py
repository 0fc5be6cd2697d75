"""A part of a medium as a medium of its own: what lies behind a header, or in one of its slots."""

from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.medium import BeyondEnd, Medium


class Part(Medium):
    """The `sectors` of `base` from `first` on; BeyondEnd if it has not so many."""

    __slots__ = ("base", "name", "first", "sectors")

    def __init__(self, base: Medium, first: int, sectors: int) -> None:
        if first < 0 or sectors < 0 or first + sectors > base.sectors:
            raise BeyondEnd(f"image {base.name}: a part of {sectors} sectors from {first} on; 0 to {base.sectors - 1} exist")
        self.base, self.name, self.first, self.sectors = base, base.name, first, sectors

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba` of the part."""
        self.check_read(lba, count)
        return self.base.read(self.first + lba, count)

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba` of the part on."""
        self.check_write(lba, data)
        self.base.write(self.first + lba, data)

    def flush(self) -> None:
        """What was written is where it belongs."""
        self.base.flush()
