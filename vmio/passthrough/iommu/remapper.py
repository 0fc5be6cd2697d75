"""DMA remapping: from (requester, address) to host memory, or a fault.

IOTLB, else context entry (cached, too) and a walk of the domain's page table.
Everything but the two caches lies in memory that software wrote, so
nothing read from there is believed before it is checked.
Source: Intel VT-d specification 3.4 "Mapping Devices to Domains", 3.7
"Second-Stage Translation", 6.2 "Address Translation Caches".
"""

from typing import Literal, NoReturn

from vmio.machine.contracts import Memory
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import READ, WRITE, TranslationFault, walk
from vmio.passthrough.iommu import structures
from vmio.passthrough.iommu.faults import QUALIFIED, DmaFault, FaultLog, Reason
from vmio.passthrough.iommu.iotlb import Iotlb, Translation

INTERRUPTS = range(0xFEE0_0000, 0xFEF0_0000)   # writes here are interrupts, not DMA (3.14)
_ADDRESS = 0x000F_FFFF_FFFF_F000
_IGNORED = 0xBFF0_0000_0000_0000               # bits of a paging entry that hardware does not look at
_LOW_RESERVED = {(0, False): 0x800, (1, False): 0x800, (2, False): 0x800, (3, False): 0x880, (3, True): 0x880,
                 (1, True): 0x1F_F800, (2, True): 0x3FFF_F800}   # by (level, large page)
_UNREADABLE = (1 << 64) - 1


class Remapper:
    """The translating part of an IOMMU over `memory` (anything with `read(address, length)`).

    `width` bits of address (39: three levels of tables, 48: three or four).
    `hits_fault`: a cached translation without the permission is a fault as well;
    QEMU 7.2 refuses it without a record.
    """

    def __init__(self, memory: Memory, width: int = 48, iotlb_entries: int = 64, fault_records: int = 1,
                 hits_fault: bool = True) -> None:
        if width not in (39, 48):
            raise ValueError(f"iommu: width {width}; 39 or 48 bits")
        self.memory, self.width, self.hits_fault = memory, width, hits_fault
        self._inside = (1 << width) - 1
        self._reserved = ~self._inside & ~_IGNORED & _UNREADABLE
        self.levels = (3,) if width == 39 else (3, 4)
        self.iotlb, self.faults = Iotlb(iotlb_entries), FaultLog(fault_records)
        self._contexts: dict[int, structures.Context] = {}   # requester -> Context
        self.root, self.enabled = 0, False
        self.walks = 0

    def reset(self) -> None:
        """Be off, with empty caches and nothing recorded."""
        self.root, self.enabled = 0, False
        self.forget()
        self.faults.reset()

    def forget(self) -> None:
        """Empty both caches."""
        self.iotlb.invalidate()
        self._contexts.clear()

    def forget_contexts(self, requester: int | None = None, ignore: int = 0) -> None:
        """Invalidate the context cache: all, or one requester (function bits in `ignore` don't count)."""
        if requester is None:
            self._contexts.clear()
            return
        for known in [r for r in self._contexts if r & ~ignore == requester & ~ignore]:
            del self._contexts[known]

    def translate(self, requester: int, address: int, access: int) -> int:
        """Return the SPA behind `address` for all of its page; `DmaFault` (and a record) if the tables say no."""
        if not self.enabled:
            return address
        found = self.iotlb.lookup(requester, address)
        if found is None:
            filled = self._fill(requester, address, access)
            if filled is True:
                return address
            found = filled
        elif found.permissions & access != access:
            reason = Reason.WRITE if access & WRITE else Reason.READ
            if self.hits_fault:
                context = self._contexts.get(requester)
                self._record(requester, address, access, reason, context is not None and context.faults_off)
            raise DmaFault(requester, address, access, reason)
        return found.target | address & found.low_mask

    def _fill(self, requester: int, address: int, access: int) -> Translation | Literal[True]:
        context = self._contexts.get(requester)
        if context is None:
            context = self._context(requester, address, access)
            self._contexts[requester] = context
        if context.kind == structures.PASS:
            return True
        level, leaf, permissions = self._walk(context, requester, address, access)
        return self.iotlb.insert(context.domain, requester, address, level, leaf & _ADDRESS, permissions)

    def _context(self, requester: int, address: int, access: int) -> structures.Context:
        """The requester's context entry; not one that is not present, not sane, or not readable."""
        def refuse(reason: Reason, faults_off: bool = False) -> NoReturn:
            self._refuse(requester, address, access, reason, faults_off)

        raw = self._read(self.root + (requester >> 8) * structures.ENTRY_BYTES, 16)
        if raw is None:
            refuse(Reason.ROOT_TABLE_UNREADABLE)
        table, reserved = structures.parse_root(raw, self.width)
        if table is None:
            refuse(Reason.ROOT_NOT_PRESENT)
        if reserved:
            refuse(Reason.ROOT_RESERVED)
        raw = self._read(table + (requester & 0xFF) * structures.ENTRY_BYTES, 16)
        if raw is None:
            refuse(Reason.CONTEXT_TABLE_UNREADABLE)
        context = structures.parse_context(raw, self.width)
        if not context.present:
            refuse(Reason.CONTEXT_NOT_PRESENT, context.faults_off)
        if context.reserved:
            refuse(Reason.CONTEXT_RESERVED)
        if context.levels not in self.levels or context.kind not in (structures.TRANSLATE, structures.PASS):
            refuse(Reason.CONTEXT_INVALID, context.faults_off)
        return context

    def _walk(self, context: structures.Context, requester: int, address: int, access: int) -> tuple[int, int, int]:
        """(level, leaf entry, permissions of the whole way)."""
        def refuse(reason: Reason) -> NoReturn:
            self._refuse(requester, address, access, reason, context.faults_off)

        if address >> min(self.width, 12 + 9 * context.levels):
            refuse(Reason.BEYOND_WIDTH)
        self.walks += 1
        permissions = READ | WRITE
        for level, _, entry in walk(self._load64, context.table, context.levels, address):
            if entry == _UNREADABLE:
                refuse(Reason.CONTEXT_INVALID if level == context.levels - 1 else Reason.PAGING_ENTRY_UNREADABLE)
            if entry & access != access:
                refuse(Reason.WRITE if access & WRITE else Reason.READ)
            large = bool(level and entry & 0x80)
            if entry & (_LOW_RESERVED[level, large] | self._reserved):
                refuse(Reason.PAGING_RESERVED)
            permissions &= entry
        target, size = entry & _ADDRESS, 1 << 12 + 9 * level
        if target < INTERRUPTS.stop and INTERRUPTS.start < target + size:
            refuse(Reason.INTERRUPT_RANGE)
        return level, entry, permissions

    def _refuse(self, requester: int, address: int, access: int, reason: Reason, faults_off: bool) -> NoReturn:
        self._record(requester, address, access, reason, faults_off)
        raise DmaFault(requester, address, access, reason)

    def _record(self, requester: int, address: int, access: int, reason: Reason, faults_off: bool) -> None:
        if not (faults_off and reason in QUALIFIED):
            self.faults.report(requester, address, reason, not access & WRITE)

    def _load64(self, address: int) -> int:
        try:
            return int.from_bytes(self.memory.read(address & self._inside, 8), "little")
        except (MemoryFault, TranslationFault):
            return _UNREADABLE

    def _read(self, address: int, length: int) -> bytes | None:
        try:
            return self.memory.read(address, length)
        except (MemoryFault, TranslationFault):
            return None
