"""Pages that two sides share, seen by one of them as an array of bytes from 0, with no look at a page table any more.

    window = Window(guest.memory, (0x140, 0x122))     what the host has
    window = cpu.window((0x140, 0x122))               what a driver has: through the translation of its vCPU
    window.load32(4096)                               the first word of the second page
"""

import struct
from collections.abc import Iterator, Sequence

from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, AddressSpace

_U32 = struct.Struct("<I")
_WORDS = struct.Struct("<4I")


class Window:
    """The pages of `space` (an `AddressSpace`) with these page numbers, in that order; they need not be neighbours.

    All are translated here, once, for reading and writing (`TranslationFault` if one
    can't be), and count as pinned from then on, as a hypervisor pins the pages of a
    GPADL: who takes pages from a guest must not take these before the GPADL is torn down.
    """

    def __init__(self, space: AddressSpace, pages: Sequence[int]) -> None:
        self.size = len(pages) * PAGE
        self.pages = tuple(pages)
        self._spa = [space.table.translate(page * PAGE, READ | WRITE) for page in pages]
        self._space, self._bytes = space, space.memory.bytes
        self._first = self._spa[0] if pages else 0

    def read(self, offset: int, length: int) -> bytes:
        """Return a private copy of `length` bytes."""
        at = offset & 0xFFF
        if at + length <= PAGE:
            at += self._spa[offset >> 12]
            return self._bytes[at:at + length]
        return b"".join([self._bytes[spa:spa + n] for spa, n in self.runs(offset, length)])

    def write(self, offset: int, data: Buffer) -> None:
        """Store bytes."""
        at, length = offset & 0xFFF, len(data)
        if self._space.stored is not None:
            self._stored(offset, length)
        if at + length <= PAGE:
            at += self._spa[offset >> 12]
            self._bytes[at:at + length] = data
            return
        done = 0
        for spa, n in self.runs(offset, length):
            self._bytes[spa:spa + n] = data[done:done + n]
            done += n

    def _stored(self, offset: int, length: int) -> None:
        """Tell who watches the space which pages are written; these need not lie in a row there."""
        end = offset + length
        while offset < end:
            step = min(PAGE - (offset & 0xFFF), end - offset)
            self._space.stored(self.pages[offset >> 12] * PAGE + (offset & 0xFFF), step)  # type: ignore[misc]  # somebody does
            offset += step

    def runs(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield (SPA, bytes) of each page that [offset, offset + length) touches."""
        end = offset + length
        while offset < end:
            step = min(PAGE - (offset & 0xFFF), end - offset)
            yield self._spa[offset >> 12] + (offset & 0xFFF), step
            offset += step

    def load32(self, offset: int) -> int:
        """Return one aligned 32-bit word, read once."""
        return _U32.unpack_from(self._bytes, self._spa[offset >> 12] + (offset & 0xFFF))[0]

    def store32(self, offset: int, value: int) -> None:
        """Store one aligned 32-bit word."""
        if self._space.stored is not None:
            self._stored(offset, 4)
        _U32.pack_into(self._bytes, self._spa[offset >> 12] + (offset & 0xFFF), value)

    def indices(self) -> tuple[int, int, int, int]:
        """Return the first four words, read at once: of a ring, its two indices, the interrupt mask and the pending send size."""
        return _WORDS.unpack_from(self._bytes, self._first)
