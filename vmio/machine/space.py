"""Memory as somebody behind a page table sees it: a guest's CPU, or a device's DMA."""

from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE


class AddressSpace:
    """Reads and writes by input address (GPA or IOVA); every one is translated, none can leave the table.

    Faults come out as `TranslationFault`, before any byte has moved.
    """

    __slots__ = ("memory", "table", "_bytes")

    def __init__(self, memory, table):
        self.memory, self.table = memory, table
        self._bytes = memory.bytes

    def read(self, address, length):
        """`length` bytes from `address`."""
        if (address & 0xFFF) + length <= PAGE:
            spa = self.table.translate(address, READ)
            return self._bytes[spa:spa + length]
        return b"".join([self._bytes[spa:spa + n] for spa, n in self.table.spans(address, length, READ)])

    def write(self, address, data):
        """Store `data` (bytes-like) at `address`."""
        length = len(data)
        if (address & 0xFFF) + length <= PAGE:
            spa = self.table.translate(address, WRITE)
            self._bytes[spa:spa + length] = data
            return
        spans = self.table.spans(address, length, WRITE)
        view, at = memoryview(data), 0
        for spa, n in spans:
            self._bytes[spa:spa + n] = view[at:at + n]
            at += n
