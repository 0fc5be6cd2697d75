"""A disk on which every sector tells where it is."""

from functools import cache

from vmio.machine.media.medium import Medium
from vmio.machine.storage import Image

IN_MEMORY_MIB = 64    # a larger one is made where it is read


class Pattern(Medium):
    """`sectors` that hold their own number, 64-bit little-endian, 64 times; made when they are read, so of any size."""

    __slots__ = ("name", "sectors")

    def __init__(self, sectors: int, name: str) -> None:
        self.sectors, self.name = sectors, name

    def read(self, lba: int, count: int = 1) -> bytes:
        """`count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        self.check_read(lba, count)
        return b"".join([at.to_bytes(8, "little") * 64 for at in range(lba, lba + count)])


@cache
def pattern(mib: int) -> Medium:
    """Return a disk of `mib` MiB on which every sector tells where it is: its number, 64-bit little-endian, 64 times."""
    made = Pattern(mib << 11, f"pattern of {mib} MiB")
    return made if mib > IN_MEMORY_MIB else Image(bytearray(made.read(0, made.sectors)), made.name)
