"""The processor's state as registers, while it is stopped: a saved context that is read, changed and given back.

One context is saved and restored in a microsecond, while each register by the public API takes two.
"""

import struct
from typing import Any

from vmio.processors.unicorn import layout
from vmio.processors.unicorn.layout import Context

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R11 = 0, 1, 2, 3, 4, 5, 6, 7, 8, 11
ES, CS, SS, DS = range(4)
CARRY_TO_OVERFLOW, DIRECTION = 0x8D5, 0x400     # RFLAGS: the arithmetic flags; DF
TF, IF, NT, RF, VM = 1 << 8, 1 << 9, 1 << 14, 1 << 16, 1 << 17
STAR, LSTAR, FMASK = 0xC000_0081, 0xC000_0082, 0xC000_0084
FLAT_CODE, FLAT_DATA, RING3 = 0x00A0_9B00, 0x00C0_9300, 3 << 13    # a descriptor's upper half: 64-bit code; data; DPL 3
MASK64 = (1 << 64) - 1
_U64, _U32, _I32 = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct("<i")


class State:
    """`save()`, look and change, `restore()`.  Arithmetic flags are evaluated by `flags()` alone."""

    def __init__(self, engine: Any) -> None:
        self.context = Context(engine)
        self.engine, self._view = engine, self.context.state
        self.save, self.restore = self.context.save, self.context.restore

    def get(self, at: int) -> int:
        """Return the 64-bit word at an offset of `layout`."""
        return _U64.unpack_from(self._view, at)[0]

    def put(self, at: int, value: int) -> None:
        """Store a 64-bit word; what is above is cut."""
        _U64.pack_into(self._view, at, value & MASK64)

    def get32(self, at: int) -> int:
        """Return a 32-bit word."""
        return _U32.unpack_from(self._view, at)[0]

    def put32(self, at: int, value: int) -> None:
        """Store a 32-bit word; what is above is cut."""
        _U32.pack_into(self._view, at, value & 0xFFFF_FFFF)

    def part(self, first: int, end: int) -> bytes:
        """Return what lies between two offsets."""
        return self._view[first:end].tobytes()

    def put_part(self, first: int, data: bytes) -> None:
        """Store bytes from an offset on."""
        self._view[first:first + len(data)] = data

    def register(self, number: int) -> int:
        """Return a general register by its number in machine code."""
        return _U64.unpack_from(self._view, 8 * number)[0]

    def set_register(self, number: int, value: int) -> None:
        """Set a general register."""
        _U64.pack_into(self._view, 8 * number, value & MASK64)

    def set_segment(self, number: int, selector: int, base: int, limit: int, flags: int) -> None:
        """Load a segment register and its descriptor; `flags` are the descriptor's upper 32 bits."""
        layout.SEGMENT.pack_into(self._view, layout.SEGMENTS + 24 * number, selector, 0, base, limit, flags)

    def selector(self, number: int) -> int:
        """Return what a segment register holds."""
        return self.get32(layout.SEGMENTS + 24 * number)

    def set_table(self, at: int, base: int, limit: int) -> None:
        """Load GDTR (`layout.GDT`) or IDTR (`layout.IDT`)."""
        layout.SEGMENT.pack_into(self._view, at, 0, 0, base, limit, 0)

    def table(self, at: int) -> tuple[int, int]:
        """Return (base, limit) of GDTR, IDTR or the task register."""
        return layout.SEGMENT.unpack_from(self._view, at)[2:4]

    @property
    def rip(self) -> int:
        """The instruction pointer."""
        return _U64.unpack_from(self._view, layout.RIP)[0]

    @rip.setter
    def rip(self, value: int) -> None:
        _U64.pack_into(self._view, layout.RIP, value & MASK64)

    @property
    def cr2(self) -> int:
        """The address of the last page fault."""
        return self.get(layout.CONTROL + 16)

    @property
    def cr3(self) -> int:
        """Where the guest's page tables begin."""
        return self.get(layout.CONTROL + 24)

    @property
    def interruptible(self) -> bool:
        """IF."""
        return bool(self.get(layout.RFLAGS) & IF)

    @property
    def cpl(self) -> int:
        """The privilege level, 0 to 3."""
        return self.get32(layout.HFLAGS) & layout.CPL

    def flags(self) -> int:
        """Return RFLAGS with its arithmetic flags; of the processor, not of what has been changed here."""
        import unicorn.x86_const as x
        return self.engine.reg_read(x.UC_X86_REG_EFLAGS)

    def set_flags(self, flags: int) -> None:
        """Set all of RFLAGS."""
        self.put(layout.CC_SOURCE, flags & CARRY_TO_OVERFLOW)
        self.put32(layout.CC_OP, layout.CC_IS_EFLAGS)
        self.put32(layout.DIRECTION, -1 if flags & DIRECTION else 1)
        self.put(layout.RFLAGS, flags & ~(CARRY_TO_OVERFLOW | DIRECTION) | 2)

    def enter_code64(self, cpl: int) -> None:
        """Be at a privilege level in 64-bit code, with no interrupt shadow."""
        hflags = self.get32(layout.HFLAGS) & ~(layout.CPL | layout.ADDSEG | layout.SHADOW)
        self.put32(layout.HFLAGS, hflags | cpl | layout.CODE64 | layout.CS32 | layout.SS32)

    def end_shadow(self) -> None:
        """The instruction behind STI or MOV SS is over."""
        self.put32(layout.HFLAGS, self.get32(layout.HFLAGS) & ~layout.SHADOW)

    def syscall(self) -> None:
        """Do SYSCALL, of which Unicorn does nothing but call (AMD64 manual vol. 3, SYSCALL).  The translator adds 2 to RIP afterwards."""
        flags, at = self.flags(), self.context.msrs
        star, target, mask = self.get(at[STAR]), self.get(at[LSTAR]), self.get(at[FMASK])
        selector = star >> 32 & 0xFFFC
        self.set_register(RCX, self.rip + 2)
        self.set_register(R11, flags & ~RF)
        self.set_segment(CS, selector, 0, 0xFFFF_FFFF, FLAT_CODE | 0xF_0000)
        self.set_segment(SS, selector + 8, 0, 0xFFFF_FFFF, FLAT_DATA | 0xF_0000)
        self.enter_code64(0)
        self.set_flags(flags & ~(mask | RF))
        self.rip = target - 2
