"""Where Unicorn keeps the processor's state in a saved context: QEMU's CPUX86State behind a header.

All of it is private to one version.  What the public API can write or provoke is looked up in the bytes each time a
processor is made, and a library that answers differently is refused.
"""

import ctypes
import struct
from typing import Any

from vmio.processors.unicorn import package

# Offsets behind the header; registers in the order of their numbers in machine code, segments 24 bytes each.
GENERAL, RIP, RFLAGS, CC_SOURCE, CC_OP, DIRECTION, HFLAGS = 0, 128, 136, 152, 168, 172, 176
SEGMENTS, TASK, GDT, IDT, CONTROL = 184, 352, 376, 400, 424
SEGMENT = struct.Struct("<IIQII")          # selector, padding, base, limit, flags: the descriptor's upper half
ERROR_CODE, IS_INT, NEXT_RIP, OLD_EXCEPTION, VMCB, INTERCEPTS = 0x1508, 0x150C, 0x1510, 0x1578, 0x1580, 0x1590

DEBUG = NEXT_RIP + 8                        # DR0 to DR7, then four pointers of the translator's for their breakpoints
PLAIN = ((0, DEBUG + 64), (OLD_EXCEPTION, INTERCEPTS + 8))     # what is numbers, the same in every process; pointers lie between and behind

# HFLAGS
CPL, SHADOW, CS32, SS32, ADDSEG, LONG_MODE, CODE64, GUEST = 3, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 14, 1 << 15, 1 << 21
FLAGS_UNEVALUATED = 0x8D5 | 0x400          # of RFLAGS: kept elsewhere until they are asked for
CC_IS_EFLAGS = 1                           # CC_OP: the arithmetic flags are in CC_SOURCE
_MAGIC = 0x1122_3344_5566_7788
_SELECTORS = (0x1230, 0x4560)              # of no descriptor: loading one is #GP with it as error code


class Context:
    """A saved context of `engine`, `state` its bytes behind the header; ValueError for a library of another layout."""

    def __init__(self, engine: Any) -> None:
        package.check()
        self.engine = engine
        self._saved = engine.context_save()
        raw = bytes(self._saved)
        self._header = _find_header(engine, self._saved)
        size = len(raw) - self._header
        address = ctypes.cast(self._saved.context, ctypes.c_void_p).value or 0
        self._bytes = (ctypes.c_char * size).from_address(address + self._header)
        self.state = memoryview(self._bytes).cast("B")
        self.msrs = self._measure()

    def save(self) -> None:
        """Take the processor's state."""
        package.call("uc_context_save", self.engine, self._saved.context)

    def restore(self) -> None:
        """Give it back."""
        package.call("uc_context_restore", self.engine, self._saved.context)

    def _measure(self) -> dict[int, int]:
        """Check the offsets; return those of STAR, LSTAR and FMASK, which SYSCALL needs."""
        import unicorn.x86_const as x
        engine, state = self.engine, self.state
        for name, register, offset in (("RSP", x.UC_X86_REG_RSP, GENERAL + 32), ("R15", x.UC_X86_REG_R15, GENERAL + 120),
                                       ("RIP", x.UC_X86_REG_RIP, RIP), ("CR2", x.UC_X86_REG_CR2, CONTROL + 16)):
            before = engine.reg_read(register)
            engine.reg_write(register, _MAGIC)
            self.save()
            engine.reg_write(register, before)
            _agree(name, struct.unpack_from("<Q", state, offset)[0] == _MAGIC)
        for name, register, offset in (("GDTR", x.UC_X86_REG_GDTR, GDT), ("IDTR", x.UC_X86_REG_IDTR, IDT), ("TR", x.UC_X86_REG_TR, TASK)):
            before = engine.reg_read(register)
            engine.reg_write(register, (0, _MAGIC, 0x5A5A, 0))
            self.save()
            engine.reg_write(register, before)
            _agree(name, SEGMENT.unpack_from(state, offset)[2:4] == (_MAGIC, 0x5A5A))
        _agree("exceptions", _exception_fields() == (ERROR_CODE, OLD_EXCEPTION))
        found = {}
        for msr in (0xC000_0081, 0xC000_0082, 0xC000_0084):
            before = engine.reg_read(x.UC_X86_REG_MSR, msr)
            engine.reg_write(x.UC_X86_REG_MSR, (msr, _MAGIC ^ msr))
            self.save()
            engine.reg_write(x.UC_X86_REG_MSR, (msr, before))
            found[msr] = bytes(state).find(struct.pack("<Q", _MAGIC ^ msr))
            _agree(f"MSR {msr:#x}", found[msr] >= 0)
        self.save()
        return found


def _agree(what: str, it_does: bool) -> None:
    if not it_does:
        raise ValueError(f"Unicorn keeps {what} elsewhere than {package.VERSION} does; this build of it can't be used: {package.INSTALL}")


def _find_header(engine: Any, saved: Any) -> int:
    """Bytes before RAX in a saved context."""
    import unicorn.x86_const as x
    wanted = struct.pack("<QQ", _MAGIC, ~_MAGIC & (1 << 64) - 1)
    for register, at in ((x.UC_X86_REG_RAX, 0), (x.UC_X86_REG_RCX, 8)):
        engine.reg_write(register, int.from_bytes(wanted[at:at + 8], "little"))
    engine.context_update(saved)
    for register in (x.UC_X86_REG_RAX, x.UC_X86_REG_RCX):
        engine.reg_write(register, 0)
    header = bytes(saved).find(wanted)
    _agree("RAX", header >= 0)
    return header


def _exception_fields() -> tuple[int, int]:
    """Provoke #GP with two selectors and return where their error codes, and the number of the exception, appear; -1 for nowhere."""
    first, second = (_provoke(selector) for selector in _SELECTORS)
    error, old = first[0] & second[0], first[1] & second[1]
    return (min(error) if len(error) == 1 else -1), (OLD_EXCEPTION if OLD_EXCEPTION in old else -1)


def _provoke(selector: int) -> tuple[set[int], set[int]]:
    """Offsets at which #GP(`selector`) has left its error code, and those where -1 became its number."""
    import unicorn
    import unicorn.x86_const as x
    engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    engine.mem_map(0x1000, 0x1000)
    engine.mem_write(0x1000, bytes.fromhex("8ed8f4"))      # MOV DS, AX; HLT
    saved = engine.context_save()
    header = _find_header(engine, saved)
    engine.reg_write(x.UC_X86_REG_RAX, selector)
    engine.context_update(saved)
    before = bytes(saved)[header:]
    after = []

    def stop(uc: Any, number: int, _: Any) -> None:
        engine.context_update(saved)
        after.append((number, bytes(saved)[header:]))
        engine.emu_stop()
    engine.hook_add(unicorn.UC_HOOK_INTR, stop)
    engine.emu_start(0x1000, 0x1003)
    number, state = after[0]
    words = [struct.unpack_from("<i", text, at)[0] for at in range(0, len(state) - 3, 4) for text in (before, state)]
    pairs = list(zip(range(0, len(state) - 3, 4), words[::2], words[1::2]))
    return ({at for at, old, new in pairs if new == selector != old and at > 16}, {at for at, old, new in pairs if (old, new) == (-1, number)})
