"""IN and OUT of machine code.  Unicorn asks for each unit of a string instruction; to the hypervisor it is one exit.

At the first unit of REP INS or OUTS the vCPU's own instruction moves all up to the end of the page; the units that the
translator goes on to ask for are handed out, or swallowed, uncounted.  Source: Intel SDM vol. 2, IN, INS, OUT, OUTS, REP.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from vmio.processors.unicorn import paging
from vmio.processors.unicorn.paging import PAGE

PREFIXES = frozenset((0x66, 0x67, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, *range(0x40, 0x50)))
REP, ADDRESS_32, OTHER_SEGMENT = (0xF2, 0xF3), 0x67, (0x64, 0x65)     # FS and GS have bases in 64-bit mode
INS, STRING = (0x6C, 0x6D), range(0x6C, 0x70)
LONGEST = 15                     # bytes of an instruction
MASK32 = 0xFFFF_FFFF
BACKWARDS = 1 << 10              # DF


class StringAccess(NamedTuple):
    """A string instruction: `units` that lie in one page from guest-physical `gpa` on; `rep` more than one may come."""

    gpa: int
    units: int


class PortIo:
    """The port instructions of `cpu`, a `MachineCodeCpu`."""

    def __init__(self, cpu: Any) -> None:
        self.cpu = cpu
        self._in: dict[int, Callable[[int], int]] = {1: cpu.inb, 2: cpu.inw, 4: cpu.inl}
        self._out: dict[int, Callable[[int, int], None]] = {1: cpu.outb, 2: cpu.outw, 4: cpu.outl}
        self._strings = {(True, 1): cpu.insb, (True, 2): cpu.insw, (True, 4): cpu.insl,
                         (False, 1): cpu.outsb, (False, 2): cpu.outsw, (False, 4): cpu.outsl}
        self._units: deque[int] = deque()          # of a string instruction under way: what is still to be asked for

    @property
    def midway(self) -> bool:
        """Whether a string instruction is under way."""
        return bool(self._units)

    def read(self, port: int, size: int) -> int:
        """Answer IN, or a unit of INS."""
        if self._units:
            return self._units.popleft()
        string = self._string()
        if string is None:
            return self._in[size](port)
        cpu, (gpa, units) = self.cpu, self._clip(string, size)
        self._move(self._strings[True, size], port, gpa, units)
        data = cpu.guest.memory.read(gpa, units * size) if gpa + units * size <= cpu.guest.ram else b"\xFF" * units * size
        self._units.extend(int.from_bytes(data[at:at + size], "little") for at in range(0, units * size, size))
        return self._units.popleft()

    def write(self, port: int, size: int, value: int) -> None:
        """Do OUT, or a unit of OUTS."""
        if self._units:
            self._units.popleft()
            return
        string = self._string()
        if string is None:
            self._out[size](port, value & (1 << 8 * size) - 1)
            return
        gpa, units = self._clip(string, size)
        self._move(self._strings[False, size], port, gpa, units)
        self._units.extend([0] * (units - 1))

    def _move(self, string: Callable[[int, int, int], None], port: int, gpa: int, units: int) -> None:
        """One exit: the translator is in the middle of the instruction, so no interrupt can be let in here."""
        with self.cpu.inside():
            string(port, gpa, units)

    @staticmethod
    def _clip(string: StringAccess, size: int) -> StringAccess:
        """At least one unit, also where it crosses into the next page; else what lies in this one."""
        within = max(1, (PAGE - (string.gpa & PAGE - 1)) // size)
        return StringAccess(string.gpa, min(string.units, within))

    def _string(self) -> StringAccess | None:
        """Where the string instruction at RIP moves data, or None for a plain IN or OUT."""
        import unicorn.x86_const as x
        cpu, read = self.cpu, self.cpu.engine.reg_read
        cr3 = read(x.UC_X86_REG_CR3)
        code = cpu.code_at(cr3, read(x.UC_X86_REG_RIP), LONGEST)
        at, rep, mask = 0, False, (1 << 64) - 1
        while at < len(code) and code[at] in PREFIXES:
            if code[at] in OTHER_SEGMENT:
                return None                  # OUTS from there: each unit comes as an OUT, with its value
            rep |= code[at] in REP
            mask = MASK32 if code[at] == ADDRESS_32 else mask
            at += 1
        if at >= len(code) or code[at] not in STRING:
            return None
        rep &= not read(x.UC_X86_REG_EFLAGS) & BACKWARDS       # downwards: one by one
        units = read(x.UC_X86_REG_RCX) & mask if rep else 1
        address = read(x.UC_X86_REG_RDI if code[at] in INS else x.UC_X86_REG_RSI) & mask
        return StringAccess(paging.translate(cpu.ram.load64, cr3, address), units)
