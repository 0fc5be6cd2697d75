"""The guest's memory as Unicorn sees it: the very pages that the host has, so that processor and devices share them.

What the SLAT table says changes (pages of the hypervisor's come and go, memory is taken away) is followed at once, and
what a device writes is told to the translator, which may have translated code there.  All other addresses are one
hole, whose accesses are the vCPU's loads and stores: EPT violations, or a passed-through device's registers.
"""

import ctypes
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vmio.firmware import longmode
from vmio.hypervisor.contracts import Partition
from vmio.hypervisor.guest import MOST_RAM
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.pageruns import PageRuns
from vmio.machine.pagetable import EXECUTE, READ, WRITE, AddressSpace, Translation, TranslationFault
from vmio.machine.probes import watch
from vmio.processors.unicorn import paging

END = (1 << 40) - (1 << 16)  # of the hole: Unicorn's processor has 40 address bits, and the last of them are ours
DEVICES = MOST_RAM           # RAM that is added ends there at the latest; behind it is a hole that nobody cuts
TABLES, TABLES_BYTES = END, 0x6000     # page tables by which translated code is found; read-only
ACCESSED_DIRTY = 0x60        # so that the processor need not write them
HIDDEN, HIDDEN_BYTES = 1 << 44, 0x4000     # what no page table of the guest's can name
_U64 = struct.Struct("<Q")


class ToldSpace(AddressSpace):
    """A guest's RAM as its devices see it; `told(gpa, data)` is called for what they have written."""

    __slots__ = ("told",)

    def __init__(self, memory: HostMemory, table: Translation) -> None:
        super().__init__(memory, table)
        self.told: Callable[[int, Buffer], None] | None = None

    def write(self, address: int, data: Buffer) -> None:
        """Store `data` at `address`."""
        super().write(address, data)
        if self.told is not None:
            self.told(address, data)


class Ram:
    """The memory of `guest`, mapped into `engine`.  `space` is what its devices write through; `load`, `store` answer in the hole."""

    def __init__(self, guest: Partition, engine: Any, space: ToldSpace, load: Callable[[int, int], int],
                 store: Callable[[int, int, int], None]) -> None:
        import unicorn
        self.guest, self.engine = guest, engine
        self._bytes = guest.host.memory.bytes
        self._keep = ctypes.c_char.from_buffer(self._bytes)
        self._address = ctypes.addressof(self._keep)
        self._load, self._store, self._all = load, store, unicorn.UC_PROT_ALL
        self._protect = {READ: unicorn.UC_PROT_READ, WRITE: unicorn.UC_PROT_WRITE, EXECUTE: unicorn.UC_PROT_EXEC}
        self._end, self._gone = guest.ram, PageRuns()      # where RAM ends, and the pages in it that are holes
        if guest.ram < DEVICES:
            self._hole(guest.ram, DEVICES - guest.ram)
        self._hole(max(guest.ram, DEVICES), END - max(guest.ram, DEVICES))
        engine.mem_map(HIDDEN, HIDDEN_BYTES, self._all)
        engine.mem_map(TABLES, TABLES_BYTES, unicorn.UC_PROT_READ)
        flags = longmode.PRESENT | longmode.WRITABLE | longmode.USER | ACCESSED_DIRTY
        engine.mem_write(TABLES, longmode.identity_map(TABLES, flags))
        self._stale: set[int] = set()
        for gpa, spa, length in guest.backing.runs():
            engine.mem_map_ptr(gpa, length, self._all, self._address + spa)
        for gpa in range(0, guest.ram, PAGE):
            if guest.overlaid(gpa):
                self._follow(gpa, PAGE)
        space.told = self._told
        watch(guest.slat, "changed", self._follow)
        watch(guest.host.memory, "written", self._written)

    # What the hypervisor reads and writes by the guest's own addresses.

    def load64(self, gpa: int) -> int:
        """Return a 64-bit word of RAM; 0 where none is, which a page table's reader takes for "not present"."""
        try:
            return _U64.unpack_from(self._bytes, self.guest.slat.translate(gpa, READ))[0]
        except TranslationFault:
            return 0

    def read(self, cr3: int, address: int, length: int) -> bytes:
        """Return bytes at a linear address; `PageFault`."""
        parts = []
        while length:
            n = min(length, PAGE - (address & PAGE - 1))
            gpa = paging.translate(self.load64, cr3, address)
            parts.append(self._page(gpa, n))
            address, length = address + n, length - n
        return b"".join(parts)

    def write(self, cr3: int, address: int, data: bytes) -> None:
        """Store bytes at a linear address, all or none; `PageFault`."""
        pieces, at = [], 0
        while at < len(data):
            n = min(len(data) - at, PAGE - (address & PAGE - 1))
            pieces.append((paging.translate(self.load64, cr3, address, write=True), data[at:at + n]))
            address, at = address + n, at + n
        for gpa, piece in pieces:
            try:
                spa = self.guest.slat.translate(gpa, WRITE)
            except TranslationFault:
                continue             # no memory there: what is written is lost
            self._bytes[spa:spa + len(piece)] = piece

    def _page(self, gpa: int, length: int) -> bytes:
        try:
            spa = self.guest.slat.translate(gpa, READ)
        except TranslationFault:
            return b"\xFF" * length  # nobody drives the bus
        return self._bytes[spa:spa + length]

    # What changes.

    def _hole(self, base: int, length: int) -> None:
        """Let the vCPU's loads and stores answer from `base` on."""
        load, store = self._load, self._store
        self.engine.mmio_map(base, length, lambda uc, offset, size, _: load(base + offset, size), None,
                             lambda uc, offset, size, value, _: store(base + offset, size, value), None)

    def _follow(self, address: int, length: int) -> None:
        """The SLAT table has changed there, in RAM: map it as it says now, pages that are alike at once."""
        self._grow()
        address, end = self._whole_holes(address, min(address + length, self.guest.ram))
        with self._identity():
            while address < end:
                permissions, spa, after = self._alike(address, end)
                self.engine.mem_unmap(address, after - address)
                if spa is None:
                    self._hole(address, after - address)
                    self._gone.add(address // PAGE, (after - address) // PAGE)
                else:
                    protection = sum(bit for permission, bit in self._protect.items() if permissions & permission)
                    self.engine.mem_map_ptr(address, after - address, protection, self._address + spa)
                address = after

    def _whole_holes(self, address: int, end: int) -> tuple[int, int]:
        """The range with all of the holes that it touches, which are none from now on.

        Unicorn says how far behind the beginning of a hole an access was, and cuts holes without saying where the rest begins.
        """
        for first, count in self._gone.runs:
            if first * PAGE < end and address < (first + count) * PAGE:
                self._gone.remove(first, count)
                address, end = min(address, first * PAGE), max(end, (first + count) * PAGE)
        return address, end

    def _grow(self) -> None:
        """If RAM ends behind where it ended, there is a hole in RAM first."""
        before, self._end = self._end, self.guest.ram
        if before < self._end:
            with self._identity():
                self.engine.mem_unmap(before, DEVICES - before)
                self._hole(before, self._end - before)
                self._hole(self._end, DEVICES - self._end)
            self._gone.add(before // PAGE, (self._end - before) // PAGE)

    @contextmanager
    def _identity(self) -> Iterator[None]:
        """What Unicorn forgets at an address it looks up as a linear one: for that each is its own, or a page fault would destroy CR2.

        The way back empties the translator's TLB: no linear address leads to what was there before.
        """
        import unicorn.x86_const as x
        engine = self.engine
        cr3 = engine.reg_read(x.UC_X86_REG_CR3)
        engine.reg_write(x.UC_X86_REG_CR3, TABLES)
        try:
            yield
        finally:
            engine.reg_write(x.UC_X86_REG_CR3, cr3)

    def _alike(self, gpa: int, end: int) -> tuple[int, int | None, int]:
        """(permissions, SPA or None for a hole, where it ends) of pages from `gpa` on that lie in a row and may be used alike."""
        def look(at: int) -> tuple[int, int | None, int]:
            level, _, entry = self.guest.slat.walk(at)[-1]
            after = (at | (1 << 12 + 9 * level) - 1) + 1
            return (entry & 7, self.guest.slat.translate(at, READ), after) if entry & READ else (0, None, after)
        permissions, spa, after = look(gpa)
        while after < end:
            next_permissions, next_spa, next_after = look(after)
            if next_permissions != permissions or next_spa != (None if spa is None else spa + after - gpa):
                break
            after = next_after
        return permissions, spa, min(after, end)

    def _written(self, spa: int, length: int) -> None:
        """The host has written its memory: what of it is this guest's RAM may have been code."""
        for gpa, start, size in self.guest.backing.runs():
            low, high = max(spa, start), min(spa + length, start + size)
            if low < high:
                self._told(gpa + low - start, self._bytes[low:high])

    def _told(self, gpa: int, data: Buffer) -> None:
        """A device has written `data` there."""
        self._stale.update(range(gpa >> 12, gpa + len(data) + PAGE - 1 >> 12))

    def forget_code(self) -> None:
        """What was translated from pages that devices have written since the last time is void.

        Unicorn finds translated code by the linear address at which it is mapped now, so these pages get one for a moment.
        """
        if not self._stale:
            return
        pages, self._stale = self._stale, set()
        with self._identity():
            for page in pages:
                self.engine.ctl_remove_cache(page << 12, (page + 1) << 12)
