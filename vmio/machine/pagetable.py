"""Second-level page tables, as they lie in memory, and memory as it is seen through them: SLAT for CPUs, IOMMU domains for devices.

Intel's EPT and VT-d second-stage tables agree on what matters here, so one
class is used twice: 512 entries of 8 bytes a table, bit 0 read, bit 1 write,
bit 2 execute (EPT), bit 7 a 2 MiB leaf, bits 51:12 the next table or the page.
Sources: Intel SDM vol. 3C, 29.3.2 "EPT Translation Mechanism" (section numbers
of edition 082); Intel VT-d specification 3.7, 9.8 "Second-Stage Paging Entries".
"""

import struct
from collections.abc import Callable
from typing import Protocol

from vmio.machine.checkpoint import Form, State, same
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE, HostMemory

TABLE = Form("page table", 1, "levels", "limit", "root", "tables", "walks", "cached")
READ, WRITE, EXECUTE = 1, 2, 4
LARGE = 1 << 7
LARGE_PAGE = 512 * PAGE
_ADDRESS = 0x000F_FFFF_FFFF_F000
_PERMISSIONS = READ | WRITE | EXECUTE
_entry = struct.Struct("<Q").unpack_from


class TranslationFault(Exception):
    """No translation, or not with this permission.  Carries `address`, `access`, `present`."""

    def __init__(self, address: int, access: int, present: bool) -> None:
        super().__init__(address, access, present)     # these, so that whoever copies it (simpy) can make it anew
        self.address, self.access, self.present = address, access, present

    def __str__(self) -> str:
        what = "write" if self.access & WRITE else "execute" if self.access & EXECUTE else "read"
        return f"{what} at {self.address:#x}: {'not permitted' if self.present else 'not mapped'}"


def walk(load64: Callable[[int], int], root: int, levels: int, address: int) -> list[tuple[int, int, int]]:
    """Return the entries met on the way down, root first: a list of (level, slot SPA, entry).

    `load64(spa)` reads one entry; it decides what happens outside memory.  The
    way has `levels` steps at most, whatever the tables say.
    """
    steps, table = [], root
    for level in range(levels - 1, -1, -1):
        slot = table + 8 * (address >> (12 + 9 * level) & 511)
        entry = load64(slot)
        steps.append((level, slot, entry))
        if not entry & _PERMISSIONS or level and entry & LARGE:
            break
        table = entry & _ADDRESS
    return steps


class PageTable:
    """A radix tree in host memory from input addresses (GPA or IOVA) to SPAs, with permissions.

    `levels` 4 translates 48 bits, 3 translates 39.  Translations are cached in
    `_tlb`, one entry a 4 KiB page, and dropped when a mapping changes.
    """

    POINTS = {"changed": "(address, bytes) when [address, address+bytes) translates otherwise than before"}
    changed: Callable[[int, int], None] | None = None
    absent: Callable[[int], None] | None = None     # brings the page of this address if it has not come yet; see `await_pages`

    def __init__(self, memory: HostMemory, levels: int = 4) -> None:
        if levels not in (3, 4):
            raise ValueError(f"page table: {levels} levels; 3 or 4 are built")
        self.memory, self.levels = memory, levels
        self.limit = 1 << (12 + 9 * levels)
        self._tables: list[int] = []
        self._tlb: dict[int, int] = {}
        self.walks = 0  # translations that had to read the tables
        self.root = self._new_table()

    def _new_table(self) -> int:
        spa = self.memory.allocate(1)
        self._tables.append(spa)
        return spa

    def map(self, address: int, target: int, length: int, permissions: int) -> None:
        """Let [address, address+length) reach SPA [target, ...).  All three are multiples of 4,096.

        Uses 2 MiB leaves where both sides are aligned.  Remapping a page is
        allowed; the old translation is forgotten.  ValueError for anything
        outside the address space or not page-aligned.
        """
        if address % PAGE or target % PAGE or length % PAGE or length <= 0:
            raise ValueError(f"map {address:#x} -> {target:#x}, {length:#x} bytes: multiples of {PAGE} only")
        if address < 0 or address + length > self.limit:
            raise ValueError(f"map {address:#x}, {length:#x} bytes: input addresses end at {self.limit:#x}")
        if not 0 < permissions <= _PERMISSIONS:
            raise ValueError(f"map: permissions {permissions}; 1 (read) to 7 (read, write, execute)")
        if target < 0 or target + length > self.memory.size:
            raise ValueError(f"map to SPA {target:#x}, {length:#x} bytes: memory ends at {self.memory.size:#x}")
        start, end = address, address + length
        while address < end:
            if address % LARGE_PAGE == 0 and target % LARGE_PAGE == 0 and end - address >= LARGE_PAGE:
                self.memory.store64(self._slot(address, 1), target | permissions | LARGE)
                step = LARGE_PAGE
            else:
                step = min(end - address, -address % LARGE_PAGE or LARGE_PAGE)     # to the end of the last table
                self._store(self._slot(address, 0), target | permissions, step // PAGE)
            address, target = address + step, target + step
        self._tlb.clear()
        if self.changed is not None:
            self.changed(start, length)

    def unmap(self, address: int, length: int) -> None:
        """Forget [address, address+length); pages that were not mapped are no error.

        `OutOfMemory` if a 2 MiB leaf has to be split at an end and no page is left for its table: then nothing has changed.
        """
        if address % PAGE or length % PAGE:
            raise ValueError(f"unmap {address:#x}, {length:#x} bytes: multiples of {PAGE} only")
        start, end = address, address + length
        for edge in (start, end):
            if edge % LARGE_PAGE:
                self._slot(edge, 0, make=False)
        while address < end:
            step = min(end - address, -address % LARGE_PAGE or LARGE_PAGE)
            leaf = self._slot(address, 1, make=False)
            if step == LARGE_PAGE and leaf and self.memory.load64(leaf) & LARGE:
                self.memory.store64(leaf, 0)
            else:
                slot = self._slot(address, 0, make=False)
                if slot:
                    self.memory.write(slot, bytes(8 * step // PAGE))
            address += step
        self._tlb.clear()
        if self.changed is not None:
            self.changed(start, length)

    def most_tables(self, address: int, length: int) -> int:
        """Return how many pages of tables, at most, `map` takes for [address, address+length) beside those that there are."""
        return sum((address + length - 1 >> shift) - (address >> shift) + 1 for shift in range(21, 12 + 9 * self.levels, 9))

    def free(self) -> None:
        """Give the table's own pages back to the host; nothing is translated any more, they are somebody else's soon."""
        self.limit = 0
        for spa in self._tables:
            self.memory.free(spa, 1)
        self._tables.clear()
        self._tlb.clear()

    def save(self) -> State:
        """Return where the tables lie; what is in them is in the host's memory."""
        return TABLE.state(levels=self.levels, limit=self.limit, root=self.root, tables=self._tables, walks=self.walks,
                           cached=self._tlb.items())

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = TABLE.take(state)
        same("page table, levels", saved["levels"], self.levels)
        self.limit, self.root, self.walks = saved["limit"], saved["root"], saved["walks"]
        self._tables = list(saved["tables"])
        self._tlb = {page: entry for page, entry in saved["cached"]} if self.absent is None else {}

    def await_pages(self, absent: Callable[[int], None] | None) -> None:
        """Ask `absent(address)` from now on before an address is looked up for the first time; None: all pages are there.

        That is how a host learns of the first touch of a page that is still elsewhere (Linux, userfaultfd).
        """
        self.absent = absent
        self._tlb.clear()

    def _slot(self, address: int, at_level: int, make: bool = True) -> int:
        """SPA of the entry for `address` at `at_level` (0: 4 KiB, 1: 2 MiB).  Makes tables on the way, or returns 0: no table lies there."""
        memory, table = self.memory, self.root
        for level in range(self.levels - 1, at_level, -1):
            slot = table + 8 * (address >> (12 + 9 * level) & 511)
            child = memory.load64(slot)
            if child == 0:
                if not make:
                    return 0
                child = self._new_table() | _PERMISSIONS
                memory.store64(slot, child)
            elif child & LARGE:
                child = self._split(slot, child)
            table = child & _ADDRESS
        return table + 8 * (address >> (12 + 9 * at_level) & 511)

    def _store(self, slot: int, entry: int, count: int) -> None:
        """`count` entries in a row, for pages in a row from that of `entry` on."""
        self.memory.write(slot, struct.pack(f"<{count}Q", *range(entry, entry + count * PAGE, PAGE)))

    def _split(self, slot: int, leaf: int) -> int:
        """Replace a 2 MiB leaf by a table of 512 small ones that say the same."""
        table = self._new_table()
        self._store(table, leaf & ~LARGE, 512)
        self.memory.store64(slot, table | _PERMISSIONS)
        return table | _PERMISSIONS

    def walk(self, address: int) -> list[tuple[int, int, int]]:
        """Return the entries met on the way down, root first: a list of (level, slot SPA, entry)."""
        return walk(self.memory.load64, self.root, self.levels, address)

    def _fill(self, address: int) -> int:
        """Walk, and cache the 4 KiB translation: SPA of the page with the permissions in its low bits."""
        if not 0 <= address < self.limit:
            return 0
        if self.absent is not None:
            self.absent(address)
        self.walks += 1
        memory, table = self.memory.bytes, self.root
        for level in range(self.levels - 1, -1, -1):       # as `walk` does, without a note of the way
            entry, = _entry(memory, table + 8 * (address >> (12 + 9 * level) & 511))
            if not entry & _PERMISSIONS:
                return 0
            if entry & LARGE:
                break
            table = entry & _ADDRESS
        page = entry & _ADDRESS
        if level:
            page += address & LARGE_PAGE - PAGE
        cached = self._tlb[address >> 12] = page | entry & _PERMISSIONS
        return cached

    def translate(self, address: int, access: int) -> int:
        """Return the SPA behind `address`; raises `TranslationFault` unless all of `access` is permitted."""
        try:
            entry = self._tlb[address >> 12]       # nearly always: no call
        except KeyError:
            entry = self._fill(address)
        if entry & access != access:
            raise TranslationFault(address, access, bool(entry))
        return entry & _ADDRESS | address & 0xFFF

    def spans(self, address: int, length: int, access: int) -> list[tuple[int, int]]:
        """Return [(SPA, bytes), ...] covering the range, contiguous pages merged; faults at the first bad page."""
        spans: list[tuple[int, int]] = []
        end = address + length
        while address < end:
            spa = self.translate(address, access)
            step = min(PAGE - (address & 0xFFF), end - address)
            if spans and sum(spans[-1]) == spa:
                spans[-1] = (spans[-1][0], spans[-1][1] + step)
            else:
                spans.append((spa, step))
            address += step
        return spans


class Translation(Protocol):
    """What an `AddressSpace` asks where its bytes lie: a `PageTable`, or what stands before one and allows less."""

    def translate(self, address: int, access: int) -> int:
        """Return the SPA behind `address`; raises `TranslationFault` unless all of `access` is permitted."""

    def spans(self, address: int, length: int, access: int) -> list[tuple[int, int]]:
        """Return [(SPA, bytes), ...] covering the range; faults at the first bad page."""


class AddressSpace:
    """Memory as somebody behind a page table sees it (a guest's CPU, a device's DMA): by input address, GPA or IOVA.

    Every access is translated, none can leave the table.  Faults come out as `TranslationFault`, before any byte has moved.
    """

    POINTS = {"stored": "(address, bytes) when bytes are stored by this way, also through a `Window` on it"}
    __slots__ = ("memory", "table", "_bytes", "stored")

    def __init__(self, memory: HostMemory, table: Translation) -> None:
        self.memory, self.table = memory, table
        self._bytes = memory.bytes
        self.stored: Callable[[int, int], None] | None = None

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`."""
        if (address & 0xFFF) + length <= PAGE:
            spa = self.table.translate(address, READ)
            return self._bytes[spa:spa + length]
        return b"".join([self._bytes[spa:spa + n] for spa, n in self.table.spans(address, length, READ)])

    def write(self, address: int, data: Buffer) -> None:
        """Store `data` (bytes-like) at `address`."""
        length = len(data)
        if (address & 0xFFF) + length <= PAGE:
            spa = self.table.translate(address, WRITE)
            self._bytes[spa:spa + length] = data
            if self.stored is not None:
                self.stored(address, length)
            return
        spans = self.table.spans(address, length, WRITE)
        view, at = memoryview(data), 0
        for spa, n in spans:
            self._bytes[spa:spa + n] = view[at:at + n]
            at += n
        if self.stored is not None:
            self.stored(address, length)
