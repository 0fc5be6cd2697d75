"""Bytes of configuration space in which each bit is read-only, written, or cleared by writing a one.

The header of a function and each of its capabilities are such a file.  Source: PCI
Local Bus Specification 3.0, 6.1 "Configuration Space Organization" and 6.2.3 (bits
that a one clears).
"""

from collections.abc import Iterable
from typing import TypeAlias
from typing import Any


Field: TypeAlias = tuple[int, int, int]          # (offset, bytes, value)
Fields: TypeAlias = Iterable[Field]


class RegisterFile:
    """`length` bytes, little-endian.

    `power_on`, `writable` and `clears` are lists of (offset, bytes, value): what the
    bytes hold after a reset, which bits software may write, and which bits a written
    one clears.
    """

    def __init__(self, length: int, power_on: Fields = (), writable: Fields = (), clears: Fields = ()) -> None:
        self.length = length
        self.power_on, self.writable, self.write_1_to_clear = bytearray(length), bytearray(length), bytearray(length)
        for array, fields in ((self.power_on, power_on), (self.writable, writable), (self.write_1_to_clear, clears)):
            for at, size, value in fields:
                array[at:at + size] = value.to_bytes(size, "little")
        self.bytes = bytearray(self.power_on)

    def get(self, at: int, size: int) -> int:
        """Return `size` bytes at `at` as a number."""
        return int.from_bytes(self.bytes[at:at + size], "little")

    def put(self, at: int, size: int, value: int) -> None:
        """The device itself changes `size` bytes at `at`, whatever software may write there."""
        self.bytes[at:at + size] = value.to_bytes(size, "little")

    def read(self, offset: int, size: int) -> int:
        """Return what software reads; bytes past the end are 0."""
        return self.get(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Software writes `size` bytes: each bit follows the masks, and bytes past the end are lost."""
        for at in range(offset, min(offset + size, self.length)):
            byte, mask = value >> 8 * (at - offset) & 0xFF, self.writable[at]
            self.bytes[at] = (self.bytes[at] & ~mask | byte & mask) & ~(byte & self.write_1_to_clear[at])

    def reset(self) -> None:
        """Every byte is as at power-on."""
        self.bytes[:] = self.power_on

    def save(self) -> Any:
        """Return the bytes as text."""
        return self.bytes.hex()

    def restore(self, state: Any) -> None:
        """Take back what `save` gave."""
        self.bytes[:] = bytes.fromhex(state)
