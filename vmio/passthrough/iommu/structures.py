"""Root and context entries: from a requester id to a domain, as they lie in memory.

256 root entries of 16 bytes, one a bus, point to context tables; 256 context
entries of 16 bytes, one a device and function, name the domain and its page table.
Source: Intel VT-d specification (revision 5.10), 9.1 "Root Entry", 9.3 "Context Entry"
(legacy mode).
"""

from typing import NamedTuple

from vmio.machine.bits import BitLayout, bit, bits

TRANSLATE, DEVICE_TLB, PASS = 0, 1, 2   # untranslated requests are translated, or pass
ROOT = BitLayout("ROOT_ENTRY", 128, bit("present", 0), bits("table", 63, 12, "context table, in pages"))
CONTEXT = BitLayout(
    "CONTEXT_ENTRY", 128, bit("present", 0), bit("faults_off", 1, "FPD: faults of this requester are not recorded"),
    bits("kind", 3, 2, "translation type", {TRANSLATE: "translate", DEVICE_TLB: "device TLB", PASS: "pass"}),
    bits("table", 63, 12, "page table, in pages"), bits("width", 66, 64, "AW: levels less 2"),
    bits("available", 70, 67, "software's own"), bits("domain", 87, 72))
ENTRY_BYTES = ROOT.size
_ROOT_RESERVED, _CONTEXT_RESERVED = ROOT.reserved, CONTEXT.reserved


class Context(NamedTuple):
    """A context entry taken apart.  `levels` of the page table at `table`."""

    domain: int
    table: int
    levels: int
    kind: int
    present: bool
    faults_off: bool
    reserved: bool       # a bit is set that must be 0


def root_entry(context_table: int) -> bytes:
    """Return 16 bytes that point to a context table (SPA)."""
    return ROOT.pack(present=1, table=context_table >> 12)


def parse_root(raw: bytes, width: int) -> tuple[int | None, bool]:
    """Return (context table or None, are reserved bits set?); `width` is that of addresses, in bits."""
    number, most = int.from_bytes(raw, "little"), (1 << width) - 1
    present, table = ROOT.take(number)
    return (table << 12 & most if present else None), bool(number & _ROOT_RESERVED or table << 12 > most)


def context_entry(domain: int, table: int, levels: int, kind: int = TRANSLATE, faults_off: bool = False) -> bytes:
    """Return 16 bytes that say: requests go through the page table at `table` (SPA) with `levels` levels."""
    return CONTEXT.pack(present=1, faults_off=int(faults_off), kind=kind, table=table >> 12, width=levels - 2, domain=domain)


def parse_context(raw: bytes, width: int) -> Context:
    """Return the `Context` in 16 bytes; `width` is that of addresses, in bits."""
    number, most = int.from_bytes(raw, "little"), (1 << width) - 1
    present, faults_off, kind, table, levels, _, domain = CONTEXT.take(number)
    return Context(domain, table << 12 & most, levels + 2, kind, bool(present), bool(faults_off),
                   bool(number & _CONTEXT_RESERVED or table << 12 > most))
