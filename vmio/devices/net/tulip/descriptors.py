"""A list of descriptors in memory: where the next one is, taking one, giving it back.

Four longwords: status with the OWN bit, control with two sizes, two addresses.  The next one follows after a gap (CSR0's
skip length), is where the second address points (chained), or is the first again (end of ring, which has precedence).
Source: 21140A manual, 4.2.1 "Receive Descriptors", 4.2.2 "Transmit Descriptors", 3.2.2.1 (CSR0: DSL, DBO).
"""

import struct
from typing import NamedTuple

from vmio.devices.net.tulip import bits as b
from vmio.devices.pci.dma import NoMemory
from vmio.machine.contracts import Memory
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

_WORDS = {False: struct.Struct("<4I"), True: struct.Struct(">4I")}
_WORD = {False: struct.Struct("<I"), True: struct.Struct(">I")}
BYTES = 16
ADDRESSES = 0xFFFF_FFFC


class BusError(Exception):
    """A transfer of the chip's reached nobody."""


class Dma:
    """The chip as a bus master: `memory` is what it reaches."""

    def __init__(self) -> None:
        self.memory: Memory = NoMemory

    def read(self, address: int, length: int) -> bytes:
        """Return bytes of memory, or `BusError`."""
        try:
            return self.memory.read(address, length)
        except (TranslationFault, MemoryFault):
            raise BusError from None

    def write(self, address: int, data: bytes) -> None:
        """Store bytes in memory, or `BusError`."""
        try:
            self.memory.write(address, data)
        except (TranslationFault, MemoryFault):
            raise BusError from None


class Descriptor(NamedTuple):
    """One, as it is in memory, and where that is."""

    at: int
    status: int
    control: int
    address_1: int
    address_2: int

    @property
    def owned(self) -> bool:
        """Whether it is the chip's."""
        return bool(self.status & b.OWN)

    @property
    def buffers(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return both buffers as (address, bytes); a chained descriptor has one, the second address is a descriptor's."""
        second = 0 if self.control & b.CHAINED else self.control >> b.SIZE_2_SHIFT & b.SIZE_MASK
        return (self.address_1, self.control & b.SIZE_MASK), (self.address_2, second)


class List:
    """One of the chip's two lists; `csr` are its registers, of which number `base` says where the list begins."""

    def __init__(self, dma: Dma, csr: list[int], base: int) -> None:
        self.dma, self.csr, self.base = dma, csr, base
        self.at = 0

    def begin(self, address: int) -> None:
        """The register with the list's address is written."""
        self.at = self.csr[self.base] = address & ADDRESSES

    def current(self) -> Descriptor:
        """Return the descriptor that the chip has come to.  `BusError`."""
        return self._at(self.at)

    def close(self, descriptor: Descriptor, status: int) -> None:
        """Give one back with a status, OWN being 0 in it, and go on to the next.  `BusError`."""
        self.dma.write(descriptor.at, _WORD[self._big].pack(status))
        self.at = self._next(descriptor)

    def after(self, descriptor: Descriptor) -> Descriptor:
        """Return the one that will be next.  `BusError`."""
        return self._at(self._next(descriptor))

    def _next(self, descriptor: Descriptor) -> int:
        if descriptor.control & b.END_OF_RING:
            return self.csr[self.base]
        if descriptor.control & b.CHAINED:
            return descriptor.address_2 & ADDRESSES
        return descriptor.at + BYTES + 4 * (self.csr[0] >> b.SKIP_SHIFT & b.SKIP_MASK) & ADDRESSES

    def _at(self, at: int) -> Descriptor:
        return Descriptor(at, *_WORDS[self._big].unpack(self.dma.read(at, BYTES)))

    @property
    def _big(self) -> bool:
        return bool(self.csr[0] & b.BIG_ENDIAN_DESCRIPTORS)
