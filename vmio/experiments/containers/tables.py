"""How many pages a page table has, counted as they lie in memory."""

from vmio.machine.memory import HostMemory

_NEXT = 0x000F_FFFF_FFFF_F000    # of a table entry: where the next table is
_LARGE = 1 << 7


def pages_of_table(memory: HostMemory, at: int, levels: int) -> int:
    """Return the number of tables from the one at SPA `at` down; `levels` 1 is a table of 4 KiB pages."""
    if levels == 1:
        return 1
    entries = (memory.load64(at + 8 * slot) for slot in range(512))
    return 1 + sum(pages_of_table(memory, entry & _NEXT, levels - 1) for entry in entries if entry and not entry & _LARGE)
