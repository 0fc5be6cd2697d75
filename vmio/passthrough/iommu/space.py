"""Memory as a device behind the IOMMU sees it: every DMA carries its requester id and is translated.

It has `AddressSpace`'s two methods, so any hardware model takes it as its `memory`.
"""

from collections.abc import Iterator

from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE, MemoryFault
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.passthrough.iommu.faults import DmaFault, Reason
from vmio.passthrough.iommu.interrupts import InterruptRemapper
from vmio.passthrough.iommu.remapper import INTERRUPTS, Remapper

_FIRST, _END = INTERRUPTS.start, INTERRUPTS.stop


class DmaSpace:
    """The DMA of function `requester`, through a `Remapper` and an `InterruptRemapper`.  See `Iommu.space`.

    A transfer is cut at page borders and each part is translated by itself, so
    what lies before a bad page has moved when `TranslationFault` comes.  A write
    of four bytes to FEExxxxxh is an interrupt.
    """

    __slots__ = ("requester", "reads", "writes", "_memory", "_translate", "_message")

    def __init__(self, remapper: Remapper, interrupts: InterruptRemapper, requester: int) -> None:
        self.requester = requester
        self._memory, self._translate, self._message = remapper.memory, remapper.translate, interrupts.message
        self.reads = self.writes = 0

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from I/O virtual address `address`."""
        if (address & 0xFFF) + length > PAGE:
            return b"".join([self.read(at, n) for at, n in _pages(address, length)])
        if _FIRST <= address < _END:
            raise DmaFault(self.requester, address, READ, Reason.INTERRUPT_RANGE)
        self.reads += 1
        target = self._translate(self.requester, address, READ)
        try:
            return self._memory.read(target, length)
        except MemoryFault:      # the tables say so, but no memory is there
            raise TranslationFault(address, READ, True) from None

    def write(self, address: int, data: Buffer) -> None:
        """Store `data` (bytes-like) at I/O virtual address `address`."""
        if (address & 0xFFF) + len(data) > PAGE:
            view = memoryview(data)
            for at, n in _pages(address, len(data)):
                self.write(at, view[at - address:at - address + n])
            return
        if _FIRST <= address < _END:
            if len(data) != 4 or address & 3:
                raise DmaFault(self.requester, address, WRITE, Reason.INTERRUPT_RANGE)
            self._message(self.requester, address, int.from_bytes(data, "little"))
            return
        self.writes += 1
        target = self._translate(self.requester, address, WRITE)
        try:
            self._memory.write(target, data)
        except MemoryFault:
            raise TranslationFault(address, WRITE, True) from None

    def message(self, address: int, data: int) -> None:
        """Send a message-signalled interrupt: 32 bits of `data` to `address`.  `TranslationFault` if it is refused."""
        self.write(address, data.to_bytes(4, "little"))


def _pages(address: int, length: int) -> Iterator[tuple[int, int]]:
    """(address, bytes) parts that cross no page border."""
    end = address + length
    while address < end:
        step = min(PAGE - (address & 0xFFF), end - address)
        yield address, step
        address += step
