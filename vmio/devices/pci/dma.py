"""What a function's DMA and messages reach: nothing without bus mastering; on a PC, RAM and the processors' APICs.

Sources: PCI Local Bus Specification 3.0, 6.2.2 "Device Control" (bit 2, bus master);
Intel SDM vol. 3A, "Message Signalled Interrupts" (what is in a message's address and data).
"""

from collections.abc import Callable
from typing import NoReturn

from vmio.machine.contracts import Buffer, Memory
from vmio.machine.memory import MemoryFault

MESSAGES = range(0xFEE0_0000, 0xFEF0_0000)
LOGICAL = 1 << 2                        # of a message's address: destination mode
DELIVERY, LOWEST_PRIORITY = 0x700, 0x100     # of its data: bits 10:8, of which 0 is fixed


class NoMemory:
    """What DMA reaches without bus mastering: nothing."""

    @staticmethod
    def read(address: int, length: int) -> NoReturn:
        """Always `MemoryFault`."""
        raise MemoryFault(f"DMA read of {length} bytes at {address:#x}: the function is no bus master")

    @staticmethod
    def write(address: int, data: Buffer) -> NoReturn:
        """Always `MemoryFault`."""
        raise MemoryFault(f"DMA write of {len(data)} bytes at {address:#x}: the function is no bus master")


class SystemMemory:
    """RAM (`memory`), and at FEExxxxxh a message: `deliver(destination, vector, logical)` for a fixed one to one processor.

    Messages of other kinds, and with vectors below 16, are nobody's.
    """

    def __init__(self, memory: Memory, deliver: Callable[[int, int, bool], None]) -> None:
        self.memory, self.deliver = memory, deliver
        self.read = memory.read        # bytes of RAM, by address and length; `TranslationFault` where none is

    def write(self, address: int, data: Buffer) -> None:
        """Store `data`, or send the message that it is; `TranslationFault` where neither is."""
        if address not in MESSAGES or len(data) != 4:
            self.memory.write(address, data)
            return
        message = int.from_bytes(data, "little")
        if message & DELIVERY in (0, LOWEST_PRIORITY) and message & 0xFF >= 16:
            self.deliver(address >> 12 & 0xFF, message & 0xFF, bool(address & LOGICAL))
