"""The memory of one ring, as an array of bytes from 0: the control page, then the data.

A ring needs `size` and five methods; both classes here have them.  A lesson that
wants to see each access subclasses one and overrides.
"""

import struct

from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE

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


class PagedMemory:
    """A ring in guest pages, in the order in which the GPADL lists them; they need not be neighbours.

    `space` is an `AddressSpace`, `pages` guest page numbers.  All are translated
    here, once, for reading and writing (`TranslationFault` if one can't be), and
    count as pinned from then on, as a hypervisor pins the pages of a GPADL: who
    takes pages from a guest must not take these before the GPADL is torn down.
    """

    def __init__(self, space, pages):
        self.size = len(pages) * PAGE
        self.pages = tuple(pages)
        self._spa = [space.table.translate(page * PAGE, READ | WRITE) for page in pages]
        self._bytes = space.memory.bytes
        self._control = self._spa[0] if pages else None

    def read(self, offset, length):
        """A private copy of `length` bytes."""
        at = offset & 0xFFF
        if at + length <= PAGE:
            at += self._spa[offset >> 12]
            return self._bytes[at:at + length]
        return b"".join([self._bytes[spa:spa + n] for spa, n in self._parts(offset, length)])

    def write(self, offset, data):
        """Store bytes."""
        at, length = offset & 0xFFF, len(data)
        if at + length <= PAGE:
            at += self._spa[offset >> 12]
            self._bytes[at:at + length] = data
            return
        done = 0
        for spa, n in self._parts(offset, length):
            self._bytes[spa:spa + n] = data[done:done + n]
            done += n

    def _parts(self, offset, length):
        """(SPA, bytes) of each page that [offset, offset+length) touches."""
        end = offset + length
        while offset < end:
            step = min(PAGE - (offset & 0xFFF), end - offset)
            yield self._spa[offset >> 12] + (offset & 0xFFF), step
            offset += step

    def load32(self, offset):
        """One aligned 32-bit word, read once."""
        return _U32.unpack_from(self._bytes, self._spa[offset >> 12] + (offset & 0xFFF))[0]

    def store32(self, offset, value):
        """Store one aligned 32-bit word."""
        _U32.pack_into(self._bytes, self._spa[offset >> 12] + (offset & 0xFFF), value)

    def indices(self):
        """The first four words of the control page: write index, read index, interrupt mask, pending send size."""
        return _INDICES.unpack_from(self._bytes, self._control)
