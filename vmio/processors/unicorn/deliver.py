"""Exceptions and interrupts, delivered as the processor would: through the guest's IDT, onto the stack that its TSS names.

Unicorn tells of them and leaves the delivery to its user.  Only 64-bit mode is built.
Source: Intel SDM vol. 3A, 6.14 "Exception and Interrupt Handling in 64-bit Mode", table 6-5 (double faults).
"""

import struct

from vmio.processors.unicorn import layout
from vmio.processors.unicorn.paging import PageFault
from vmio.processors.unicorn.ram import Ram
from vmio.processors.unicorn.state import CS, IF, NT, RF, RSP, SS, TF, VM, State

INVALID_OPCODE, DOUBLE_FAULT, PROTECTION, PAGE_FAULT = 6, 8, 13, 14
WITH_CODE = frozenset((8, 10, 11, 12, 13, 14, 17, 21))
CONTRIBUTORY = frozenset((0, 10, 11, 12, 13))
INTERRUPT_GATE, TRAP_GATE, GATE_PRESENT = 14, 15, 1 << 7
IDT_ENTRY, EXTERNAL = 2, 1                 # bits of an error code: it names a gate; it was no instruction of the guest's
RSP0, IST1 = 4, 36                         # offsets in a 64-bit TSS
_GATE = struct.Struct("<HHBBHII")


class TripleFault(Exception):
    """The guest's handler of double faults can't be reached: a PC resets."""


class _Nested(Exception):
    """An exception while one was delivered."""

    def __init__(self, vector: int, code: int) -> None:
        super().__init__(vector, code)
        self.vector, self.code = vector, code


class Delivery:
    """Works on the saved `state`; the caller saves before and restores afterwards."""

    def __init__(self, state: State, ram: Ram) -> None:
        self.state, self.ram = state, ram
        self.delivered: dict[int, int] = {}      # vector -> how often

    def exception(self, vector: int, code: int | None = None) -> None:
        """Deliver an exception that the guest's instruction has raised."""
        self._deliver(vector, code, software=False)

    def interrupt(self, vector: int) -> None:
        """Deliver an interrupt from outside."""
        self._deliver(vector, None, software=False)

    def software(self, vector: int) -> None:
        """Deliver INT n or INT3, behind which RIP is already; its gate must let this privilege level in."""
        self._deliver(vector, None, software=True)

    def _deliver(self, vector: int, code: int | None, software: bool) -> None:
        told = "" if code is None else f", error code {code:#x}"
        first = f"vector {vector} at RIP {self.state.rip:#x}{told}, CR2 {self.state.cr2:#x}"
        while True:
            try:
                self._through_gate(vector, code, software)
            except _Nested as other:
                if vector == DOUBLE_FAULT:
                    raise TripleFault(f"{first}: the guest's tables lead to no handler, nor to one for the double fault") from None
                both = (vector in CONTRIBUTORY and other.vector in CONTRIBUTORY
                        or vector == PAGE_FAULT and other.vector in CONTRIBUTORY | {PAGE_FAULT})
                if software:             # a fault: the instruction would be done again
                    self.state.rip -= self._length(vector)
                vector, code = (DOUBLE_FAULT, 0) if both and not software else (other.vector, other.code)
                software = False
            else:
                self.delivered[vector] = self.delivered.get(vector, 0) + 1
                return

    def _length(self, vector: int) -> int:
        """Bytes of the INT n (CDh and the vector) or INT3 (CCh) that ends before RIP."""
        return 2 if self.ram.read(self.state.cr3, self.state.rip - 2, 2) == bytes((0xCD, vector)) else 1

    def _through_gate(self, vector: int, code: int | None, software: bool) -> None:
        state, cr3 = self.state, self.state.cr3
        if not state.get32(layout.HFLAGS) & layout.LONG_MODE:
            raise TripleFault(f"vector {vector} outside 64-bit mode, which this processor doesn't deliver, at RIP {state.rip:#x}")
        base, limit = state.table(layout.IDT)
        if vector * 16 + 15 > limit:
            raise _Nested(PROTECTION, vector * 8 + IDT_ENTRY)
        try:
            low, selector, ist, kind, middle, high, _ = _GATE.unpack(self.ram.read(cr3, base + 16 * vector, 16))
            cpl = state.cpl
            if kind & 0x1F not in (INTERRUPT_GATE, TRAP_GATE) or not kind & GATE_PRESENT or software and kind >> 5 & 3 < cpl:
                raise _Nested(PROTECTION, vector * 8 + IDT_ENTRY)
            rsp = self._stack(cr3, ist & 7, cpl) & ~15
            frame = struct.pack("<5Q", state.rip, state.selector(CS), state.flags(), state.register(RSP), state.selector(SS))
            if code is not None:
                frame = struct.pack("<Q", code) + frame
            rsp -= len(frame)
            descriptor = self._descriptor(cr3, selector)
            self.ram.write(cr3, rsp, frame)
        except PageFault as fault:
            state.put(layout.CONTROL + 16, fault.address)
            raise _Nested(PAGE_FAULT, fault.code) from None
        self._enter(descriptor, selector, rsp, low | middle << 16 | high << 32, kind & 0x1F == INTERRUPT_GATE, bool(cpl or ist & 7))

    def _stack(self, cr3: int, ist: int, cpl: int) -> int:
        """The stack: one of the TSS's own for this vector, that of ring 0 for who comes from outside, or the one in use."""
        if not (ist or cpl):
            return self.state.register(RSP)
        task, _ = self.state.table(layout.TASK)
        at = task + (IST1 + 8 * (ist - 1) if ist else RSP0)
        return struct.unpack("<Q", self.ram.read(cr3, at, 8))[0]

    def _descriptor(self, cr3: int, selector: int) -> int:
        """The upper half of the handler's code descriptor."""
        base, limit = self.state.table(layout.GDT)
        if not selector & ~7 or (selector & ~7) + 7 > limit:
            raise _Nested(PROTECTION, selector & ~7)
        return struct.unpack("<Q", self.ram.read(cr3, base + (selector & ~7), 8))[0] >> 32

    def _enter(self, descriptor: int, selector: int, rsp: int, rip: int, masks: bool, new_stack: bool) -> None:
        state = self.state
        if new_stack:
            state.set_segment(SS, 0, 0, 0, 0)
        state.set_segment(CS, selector & ~3, 0, 0xFFFF_FFFF, descriptor)
        state.enter_code64(0)
        state.put(layout.RFLAGS, state.get(layout.RFLAGS) & ~(TF | NT | RF | VM | (IF if masks else 0)))
        state.set_register(RSP, rsp)
        state.rip = rip
        state.put32(layout.OLD_EXCEPTION, -1)    # else the next one would be taken for a double fault
        state.put32(layout.IS_INT, 0)            # else RIP would be moved behind an INT that is long over
