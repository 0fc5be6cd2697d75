"""The memory of one ring, as an array of bytes from 0: the control page, then the data.

A ring needs `size` and five methods.  Between guest and host it lies in a `Window`
on guest pages (`machine/window.py`); where nobody else looks, in the buffer here.
A lesson that wants to see each access subclasses one and overrides.
"""

import struct

from vmio.machine.memory import PAGE

_U32 = struct.Struct("<I")
_INDICES = struct.Struct("<4I")


class FlatMemory:
    """A ring in a buffer of its own (tests, lessons): `pages` x 4,096 bytes, zeroed."""

    def __init__(self, pages):
        self.size = pages * PAGE
        self.bytes = bytearray(self.size)

    def read(self, offset, length):
        """A private copy of `length` bytes."""
        return bytes(self.bytes[offset:offset + length])

    def write(self, offset, data):
        """Store bytes."""
        self.bytes[offset:offset + len(data)] = data

    def load32(self, offset):
        """One aligned 32-bit word, read once."""
        return _U32.unpack_from(self.bytes, offset)[0]

    def store32(self, offset, value):
        """Store one aligned 32-bit word."""
        _U32.pack_into(self.bytes, offset, value)

    def indices(self):
        """The first four words of the control page: write index, read index, interrupt mask, pending send size."""
        return _INDICES.unpack_from(self.bytes, 0)
