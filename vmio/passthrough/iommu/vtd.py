"""The IOMMU's registers: 4 KiB of memory-mapped registers, at FED90000h on a PC.

Software points the root table register at its tables, asks for things in the
command register and reads in the status register that they are done.
Capabilities, masks and the answers to odd accesses are those of QEMU 7.2's `intel-iommu`.
Source: Intel VT-d specification 11.4 "Register Descriptions".
"""

from collections.abc import Callable

from vmio.machine.contracts import State
from vmio.passthrough.iommu.faults import FAULT, OVERFLOW, QUEUE_ERROR
from vmio.passthrough.iommu.interrupts import InterruptRemapper
from vmio.passthrough.iommu.invalidation import InvalidationQueue
from vmio.passthrough.iommu.remapper import Remapper

REGISTER_BYTES = 0x1000
(VER, CAP, ECAP, GCMD, GSTS, RTADDR, CCMD, FSTS, FECTL, FEDATA, FEADDR, IQH, IQT, IQA, ICS, IECTL, IEDATA, IEADDR,
 IRTA, IVA, IOTLB, FRCD) = (0x00, 0x08, 0x10, 0x18, 0x1C, 0x20, 0x28, 0x34, 0x38, 0x3C, 0x40, 0x80, 0x88, 0x90, 0x9C,
                            0xA0, 0xA4, 0xA8, 0xB8, 0xF0, 0xF8, 0x220)
# Software may write these bits; the ones in _HIDDEN read as 0.
_WRITABLE = {GCMD: 0xFF80_0000, RTADDR: 0xFFFF_FC00, RTADDR + 4: 0xFFFF_FFFF, CCMD: 0xFFFF_FFFF, CCMD + 4: 0xE000_0003,
             FECTL: 1 << 31, FEDATA: 0xFFFF, FEADDR: 0xFFFF_FFFC, IQT: 0x7_FFF0, IQA: 0xFFFF_F807, IQA + 4: 0xFFFF_FFFF,
             IECTL: 1 << 31, IEDATA: 0xFFFF_FFFF, IEADDR: 0xFFFF_FFFC, IRTA: 0xFFFF_F80F, IRTA + 4: 0xFFFF_FFFF,
             IVA: 0xFFFF_F07F, IVA + 4: 0xFFFF_FFFF, IOTLB + 4: 0xB003_FFFF}
_HIDDEN = {GCMD: 0xFF80_0000, CCMD: 0xFFFF_0000, CCMD + 4: 3, IVA: 0xFFFF_F07F, IVA + 4: 0xFFFF_FFFF}
MASK, PENDING = 1 << 31, 1 << 30                     # of the event control registers
TRANSLATE, SET_ROOT, QUEUE, REMAP_INTERRUPTS, SET_INTERRUPT_TABLE, COMPATIBILITY = (
    1 << 31, 1 << 30, 1 << 26, 1 << 25, 1 << 24, 1 << 23)   # of command and status
MAX_PAGES_LOG2 = 18                                 # MAMV: a page-selective invalidation covers 1 GiB at most


class VtdRegisters:
    """Attach at FED90000h with width=8.  `remapper` does the work; `deliver(destination, vector)` takes interrupts.

    `interrupts` is the `InterruptRemapper` that these registers set up.
    """

    def __init__(self, remapper: Remapper, deliver: Callable[[int, int], None] | None = None) -> None:
        self.remapper = remapper
        self.interrupts = InterruptRemapper(remapper.memory, remapper.faults, deliver)
        self.queue = InvalidationQueue(self)
        remapper.faults.event = self._fault_event
        width, records = remapper.width, remapper.faults.size
        self._fixed = {VER: 0x10,
                       CAP: (6 | sum(1 << 6 + n for n in remapper.levels)    # 65,536 domains; table levels
                             | width - 1 << 16 | FRCD // 16 << 24 | 3 << 34  # 2 MiB and 1 GiB pages
                             | 1 << 39 | records - 1 << 40 | MAX_PAGES_LOG2 << 48 | 3 << 54),
                       ECAP: 1 << 1 | 1 << 3 | 1 << 6 | IVA // 16 << 8 | 0xF << 20}   # queue, interrupts, pass-through
        self._actions = {GCMD: self._command, CCMD + 4: self._context_command, IOTLB + 4: self._iotlb_command,
                         FSTS: self._status_written, FECTL: self._fault_control, IQT: self.queue.tail_written,
                         ICS: self._completion_read, IECTL: self._completion_control}
        self.reset()

    def reset(self) -> None:
        """Be as at power-on: nothing is translated, both events are masked."""
        self._values = {FECTL: MASK, IECTL: MASK}    # dword offset -> value
        for offset, value in self._fixed.items():
            self._values[offset], self._values[offset + 4] = value & 0xFFFF_FFFF, value >> 32
        self.remapper.reset()
        self.interrupts.reset()
        self.queue.reset()

    # Access.

    def read(self, offset: int, size: int) -> int:
        """Return dwords and aligned quadwords; smaller reads give 0."""
        if size < 4:
            return 0
        if offset % size:
            return self._cut(offset, size)
        return sum(self._dword(offset + at) << 8 * at for at in range(0, size, 4))

    def _cut(self, offset: int, size: int) -> int:
        """A misaligned access is made of aligned ones; only whole dwords say anything."""
        if offset & 3:
            return 0
        return self._dword(offset) | self._dword(offset + 4) << 32

    def write(self, offset: int, size: int, value: int) -> None:
        """Store dwords and aligned quadwords; smaller writes are lost."""
        if size < 4 or offset & 3:
            return
        if offset % size:
            self.write(offset, 4, value & 0xFFFF_FFFF)
            self.write(offset + 4, 4, value >> 32)
            return
        for at in range(offset, offset + size, 4):
            self._store(at, value >> 8 * (at - offset) & 0xFFFF_FFFF)
        for at in range(offset, offset + size, 4):
            if at in self._actions:
                self._actions[at]()

    def get64(self, offset: int) -> int:
        """Return a 64-bit register as it is, hidden bits too."""
        return self._values.get(offset, 0) | self._values.get(offset + 4, 0) << 32

    def _dword(self, offset: int) -> int:
        faults = self.remapper.faults
        if offset == FSTS:
            return faults.status
        if FRCD <= offset < FRCD + 16 * faults.size:
            half = (faults.high if offset & 8 else faults.low)[offset - FRCD >> 4]
            return half >> 8 * (offset & 4) & 0xFFFF_FFFF
        if offset in (IQH, IQA, IQA + 4):
            return self.queue.register(offset)
        return self._values.get(offset, 0) & ~_HIDDEN.get(offset, 0)

    def _store(self, offset: int, value: int) -> None:
        faults = self.remapper.faults
        if offset == FSTS:                           # write 1 to clear
            faults.overflow &= not value & OVERFLOW
            faults.queue_error &= not value & QUEUE_ERROR
        elif offset == ICS:
            self._values[ICS] = self._values.get(ICS, 0) & ~(value & 1)
        elif FRCD <= offset < FRCD + 16 * faults.size:
            if offset & 0xC == 0xC and value & FAULT >> 32:
                faults.clear(offset - FRCD >> 4)
        elif offset in _WRITABLE:
            mask = _WRITABLE[offset]
            self._values[offset] = self._values.get(offset, 0) & ~mask | value & mask

    # Commands (11.4.4, 11.4.5).

    def _command(self) -> None:
        command, status = self._values[GCMD], self._values.get(GSTS, 0)
        changed = command ^ status
        if changed & TRANSLATE:
            self._status(TRANSLATE, command & TRANSLATE)
            self.remapper.enabled = bool(command & TRANSLATE)
            if not command & TRANSLATE:
                self.remapper.faults.next = 0
            self.remapper.forget()
        if command & SET_ROOT:
            self.remapper.root = self.get64(RTADDR) & self._page_mask
            self._status(SET_ROOT, True)
            self.remapper.forget()
        if changed & QUEUE:
            if self.queue.switch(bool(command & QUEUE)):
                self._status(QUEUE, command & QUEUE)
        if command & SET_INTERRUPT_TABLE:
            table = self.get64(IRTA)
            self.interrupts.set_table(table & self._page_mask, 2 << (table & 0xF), bool(table & 1 << 11))
            self._status(SET_INTERRUPT_TABLE, True)
        if changed & REMAP_INTERRUPTS:
            self.interrupts.enabled = bool(command & REMAP_INTERRUPTS)
            self._status(REMAP_INTERRUPTS, command & REMAP_INTERRUPTS)
        if changed & COMPATIBILITY:
            self.interrupts.compatibility = bool(command & COMPATIBILITY)
            self._status(COMPATIBILITY, command & COMPATIBILITY)

    @property
    def _page_mask(self) -> int:
        return (1 << self.remapper.width) - 1 & ~0xFFF

    def _status(self, bit: int, on: int) -> None:
        self._values[GSTS] = self._values.get(GSTS, 0) & ~bit | (bit if on else 0)

    # Invalidation by register (11.4.6, 11.4.8).

    def _context_command(self) -> None:
        command = self.get64(CCMD)
        if not command >> 63 or self.queue.enabled:
            return
        kind = command >> 61 & 3
        if kind:
            self.invalidate_contexts(kind, command >> 16 & 0xFFFF, command >> 32 & 3)
        done = {0: 0, 3: 3}.get(kind, 1)             # by domain is done as globally
        self._values[CCMD + 4] = self._values[CCMD + 4] & 0x67FF_FFFF | done << 27

    def invalidate_contexts(self, kind: int, requester: int, function_mask: int) -> None:
        """Invalidate the context cache: kinds 1 and 2 all of it, 3 one device, with some function bits ignored."""
        if kind == 3:
            self.remapper.forget_contexts(requester, (0, 4, 6, 7)[function_mask])
        else:
            self.remapper.forget_contexts()

    def _iotlb_command(self) -> None:
        command = self.get64(IOTLB)
        if not command >> 63 or self.queue.enabled:
            return
        kind, address = command >> 60 & 3, self.get64(IVA)
        done = kind if self.invalidate_iotlb(kind, command >> 32 & 0xFFFF, address & ~0xFFF, address & 0x3F) else 0
        self._values[IOTLB + 4] = self._values[IOTLB + 4] & 0x79FF_FFFF | done << 25

    def invalidate_iotlb(self, kind: int, domain: int, address: int, log2_pages: int) -> bool:
        """Invalidate the IOTLB: kind 1 all of it, 2 a domain, 3 2^n pages of it.  False for what makes no sense."""
        if not kind or kind == 3 and log2_pages > MAX_PAGES_LOG2:
            return False
        if kind == 1:
            self.remapper.iotlb.invalidate()
        elif kind == 2:
            self.remapper.iotlb.invalidate(domain)
        else:
            length = 4096 << log2_pages
            self.remapper.iotlb.invalidate(domain, address & -length, length)
        return True

    # Events: interrupts of the IOMMU's own (7.3).

    def _fault_event(self) -> None:
        self._event(FECTL, FEADDR, FEDATA)

    def completed(self) -> None:
        """A wait descriptor asked for an interrupt."""
        if not self._values.get(ICS, 0) & 1:
            self._values[ICS] = 1
            self._event(IECTL, IEADDR, IEDATA)

    def _event(self, control: int, address: int, data: int) -> None:
        if self._values[control] & MASK:
            self._values[control] |= PENDING
        else:
            self.interrupts.send(self._values.get(address, 0), self._values.get(data, 0))

    def _unmasked(self, control: int, address: int, data: int) -> None:
        if self._values[control] & (MASK | PENDING) == PENDING:
            self._values[control] &= ~PENDING
            self.interrupts.send(self._values.get(address, 0), self._values.get(data, 0))

    def _fault_control(self) -> None:
        self._unmasked(FECTL, FEADDR, FEDATA)

    def _completion_control(self) -> None:
        self._unmasked(IECTL, IEADDR, IEDATA)

    def _status_written(self) -> None:
        if not self.remapper.faults.status & 0x13:
            self._values[FECTL] &= ~PENDING

    def _completion_read(self) -> None:
        if not self._values[ICS] & 1:
            self._values[IECTL] &= ~PENDING

    # State.

    def save(self) -> State:
        """Return registers, queue, interrupt table and fault records; the caches are dropped."""
        return {"values": {str(at): value for at, value in self._values.items()}, "root": self.remapper.root,
                "faults": self.remapper.faults.save(), "queue": self.queue.save(), "interrupts": self.interrupts.save()}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self._values = {int(at): value for at, value in state["values"].items()}
        self.remapper.root = state["root"]
        self.remapper.enabled = bool(self._values.get(GSTS, 0) & TRANSLATE)
        self.remapper.forget()
        self.remapper.faults.restore(state["faults"])
        self.queue.restore(state["queue"])
        self.interrupts.restore(state["interrupts"])
