"""How many pages a page table has, counted as they lie in memory."""

import struct

from vmio.machine.memory import HostMemory

_NEXT = 0x000F_FFFF_FFFF_F000    # of a table entry: where the next table is
_LARGE = 1 << 7
_ENTRIES = struct.Struct("<512Q")


def pages_of_table(memory: HostMemory, at: int, levels: int) -> int:
    """Return the number of tables from the one at SPA `at` down; `levels` 1 is a table of 4 KiB pages."""
    if levels == 1:
        return 1
    entries = _ENTRIES.unpack(memory.read(at, _ENTRIES.size))
    return 1 + sum([pages_of_table(memory, entry & _NEXT, levels - 1) for entry in entries if entry and not entry & _LARGE])
