"""The instructions that exit besides IN, OUT and memory: CPUID, RDMSR and WRMSR, HLT, PAUSE, VMCALL.

Unicorn's translator has AMD's SVM in it, and a processor that believes to be in a guest of it stops at what is
intercepted, between two blocks of code, with its instruction pointer exact: "exceptions" from 100h on.
Source: AMD64 Architecture Programmer's Manual vol. 2, 15.9 (intercepts), 15.11 (MSR map), appendix C (exit codes).
"""

import struct
from typing import Any

from vmio.processors.unicorn import layout
from vmio.processors.unicorn.ram import HIDDEN
from vmio.processors.unicorn.state import State

FIRST_CODE = 0x60                          # of the exit codes that have a bit in the intercept vector
CPUID, PAUSE, HLT, INVLPGA, MSR, SHUTDOWN = 0x72, 0x77, 0x78, 0x7A, 0x7C, 0x7F
SVM = tuple(range(0x80, 0x87))             # VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT
VMMCALL = 0x81
EXIT = 0x100                               # an exit's number as an exception
LENGTH = {CPUID: 2, PAUSE: 2, HLT: 1, MSR: 2}      # of the instruction, in bytes
WRITES = 1                                 # an MSR exit's information: it was WRMSR
HYPERCALLS = (b"\x0f\x01\xc1", b"\x0f\x01\xd9")    # VMCALL, VMMCALL
MSR_MAP_AT = 0x48                          # in the VMCB, which is a page of ours: all that is looked at of it
MSR_MAP = HIDDEN + 0x1000                  # two bits an MSR: of 0 to 1FFFh; the next 2 KiB of C0000000h to C0001FFFh
_MAPPED = ((0, 0x2000, 0), (0xC000_0000, 0xC000_2000, 0x800))


def arm(engine: Any, state: State, msrs: list[int]) -> None:
    """Let the processor, whose `state` is saved, be a guest from now on; these `msrs` exit beside those that no map can name."""
    bitmap = bytearray(0x2000)
    for msr in msrs:
        for first, end, at in _MAPPED:
            if first <= msr < end:
                bitmap[at + (msr - first) // 4] |= 3 << (msr - first) % 4 * 2
    engine.mem_write(MSR_MAP, bytes(bitmap))
    engine.mem_write(HIDDEN + MSR_MAP_AT, struct.pack("<Q", MSR_MAP))
    state.put(layout.VMCB, HIDDEN)
    state.put(layout.INTERCEPTS, sum(1 << code - FIRST_CODE for code in (CPUID, PAUSE, HLT, INVLPGA, MSR, SHUTDOWN, *SVM)))
    state.put32(layout.HFLAGS, state.get32(layout.HFLAGS) | layout.GUEST)
