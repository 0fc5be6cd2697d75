"""The memory of one ring, as an array of bytes from 0: the control page, then the data.

A ring needs `size` and five methods.  Between guest and host it lies in a `Window`
on guest pages (`machine/window.py`); where nobody else looks, in the buffer here.
A lesson that wants to see each access subclasses one and overrides.
"""

import struct
from typing import Protocol

from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE

_U32 = struct.Struct("<I")
_INDICES = struct.Struct("<4I")


class RingMemory(Protocol):
    """The pages of one ring, from 0: a `Window`, or plain bytes."""

    size: int

    def read(self, offset: int, length: int, /) -> bytes:
        """Return a private copy of `length` bytes."""

    def write(self, offset: int, data: Buffer, /) -> None:
        """Store bytes."""

    def load32(self, offset: int, /) -> int:
        """Return one aligned 32-bit word, read once."""

    def store32(self, offset: int, value: int, /) -> None:
        """Store one aligned 32-bit word."""

    def indices(self) -> tuple[int, int, int, int]:
        """Return the first four words, read at once."""


class FlatMemory:
    """A ring in a buffer of its own (tests, lessons): `pages` x 4,096 bytes, zeroed."""

    def __init__(self, pages: int) -> None:
        self.size = pages * PAGE
        self.bytes = bytearray(self.size)

    def read(self, offset: int, length: int) -> bytes:
        """Return a private copy of `length` bytes."""
        return bytes(self.bytes[offset:offset + length])

    def write(self, offset: int, data: Buffer) -> None:
        """Store bytes."""
        self.bytes[offset:offset + len(data)] = data

    def load32(self, offset: int) -> int:
        """Return one aligned 32-bit word, read once."""
        return _U32.unpack_from(self.bytes, offset)[0]

    def store32(self, offset: int, value: int) -> None:
        """Store one aligned 32-bit word."""
        _U32.pack_into(self.bytes, offset, value)

    def indices(self) -> tuple[int, int, int, int]:
        """Return the first four words of the control page: write index, read index, interrupt mask, pending send size."""
        return _INDICES.unpack_from(self.bytes, 0)
