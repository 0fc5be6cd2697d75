"""The guest's own page tables, as a processor walks them: for the hypervisor's looks at virtual addresses.

Source: Intel SDM vol. 3A, 4.5 (4-level paging); 4.7 for the error code of a page fault.
"""

from collections.abc import Callable

PRESENT, WRITABLE, LARGE = 1, 2, 0x80
ADDRESS = 0x000F_FFFF_FFFF_F000
PAGE = 4096
LEVELS = (39, 30, 21, 12)           # the lowest bit that each level's table looks at
READ_FAULT, WRITE_FAULT, PROTECTED = 0, 2, 1


class PageFault(Exception):
    """#PF at `address`, of a supervisor's access, with its error code."""

    def __init__(self, address: int, code: int) -> None:
        super().__init__(address, code)
        self.address, self.code = address, code


def translate(load64: Callable[[int], int], cr3: int, address: int, write: bool = False) -> int:
    """Return the guest-physical address behind a linear one.  `load64(gpa)` reads an entry; `PageFault` where there is none."""
    table = cr3 & ADDRESS
    for shift in LEVELS:
        entry = load64(table + (address >> shift & 511) * 8)
        if not entry & PRESENT:
            raise PageFault(address, WRITE_FAULT if write else READ_FAULT)
        if write and not entry & WRITABLE:
            raise PageFault(address, WRITE_FAULT | PROTECTED)
        if shift == 12 or shift < 39 and entry & LARGE:
            offset = (1 << shift) - 1
            return entry & ADDRESS & ~offset | address & offset
        table = entry & ADDRESS
    raise AssertionError("the last level returns")
