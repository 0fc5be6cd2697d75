"""Root and context entries: from a requester id to a domain, as they lie in memory.

256 root entries of 16 bytes, one a bus, point to context tables; 256 context
entries of 16 bytes, one a device and function, name the domain and its page table.
Source: Intel VT-d specification (revision 5.10), 9.1 "Root Entry", 9.3 "Context Entry"
(legacy mode).
"""

import struct
from typing import NamedTuple

PAIR = struct.Struct("<QQ")
ENTRY_BYTES = 16
PRESENT = 1
FAULTS_OFF = 2                     # context entry: faults of this requester are not recorded (FPD)
TRANSLATE, DEVICE_TLB, PASS = 0, 1, 2   # translation type, bits 3:2: untranslated requests are translated, or pass
_PAGE = ~0xFFF


class Context(NamedTuple):
    """A context entry taken apart.  `levels` of the page table at `table`."""

    domain: int
    table: int
    levels: int
    kind: int
    present: bool
    faults_off: bool
    reserved: bool       # a bit is set that must be 0


def root_entry(context_table):
    """16 bytes that point to a context table (SPA)."""
    return PAIR.pack(context_table | PRESENT, 0)


def parse_root(raw, width):
    """(context table or None, reserved bits set); `width` is that of addresses, in bits."""
    low, high = PAIR.unpack(raw)
    mask = (1 << width) - 1
    return (low & _PAGE & mask if low & PRESENT else None), bool(high or low & 0xFFE or low & ~mask)


def context_entry(domain, table, levels, kind=TRANSLATE, faults_off=False):
    """16 bytes: requests go through the page table at `table` (SPA) with `levels` levels."""
    return PAIR.pack(table | kind << 2 | FAULTS_OFF * faults_off | PRESENT, domain << 8 | levels - 2)


def parse_context(raw, width):
    """`Context` of 16 bytes."""
    low, high = PAIR.unpack(raw)
    mask = (1 << width) - 1
    return Context(high >> 8 & 0xFFFF, low & _PAGE & mask, (high & 7) + 2, low >> 2 & 3, bool(low & PRESENT),
                   bool(low & FAULTS_OFF), bool(low & 0xFF0 or low & ~mask or high & 0x80 or high >> 24))
