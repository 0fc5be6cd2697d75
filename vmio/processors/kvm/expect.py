"""What KVM makes of an access: the exits that user space sees, by named rules.

One instruction is one exit to the processor.  Between it and us sits KVM's
instruction emulator, which has habits of its own; each is a rule here, so that
an exit too many or too few is a difference and never shrugged off.  Sources:
Linux, arch/x86/kvm/emulate.c (pio_in_emulated), x86.c (emulator_read_write);
Documentation/virt/kvm/api.rst, "KVM_IOEVENTFD".
"""

from collections.abc import Iterator
from typing import NamedTuple

from vmio.hypervisor.exits import ExitReason
from vmio.processors.kvm.record import Kind, Step

READ_AHEAD = 1024         # bytes that KVM takes from a port at a time, for REP INS
PAGE = 4096
STAND_IN = 0xF8           # the port, of 4 bytes, that stands in for instructions of ring 0

_SPLIT = "an exit for each page and each 8 bytes of it"
_PAUSE = "ring 3 can't: the piece ends, the host lets time pass"
_IN_LINE = "none here: the handler's accesses are in the line"
_STANDS_IN = f"ring 3 may not: an OUT to port {STAND_IN:X}h stands in"
RULES = {
    "REP OUTS": "an exit for each unit",
    "REP INS": f"up to {READ_AHEAD:,} bytes an exit, fewer before a page ends",
    "MOV from memory": _SPLIT, "MOV to memory": _SPLIT,
    "HLT": _PAUSE, "EXTERNAL INTERRUPT": _IN_LINE, "INTERRUPT WINDOW": _IN_LINE,
    "CPUID": _STANDS_IN, "RDMSR": _STANDS_IN, "WRMSR": _STANDS_IN, "VMCALL": _STANDS_IN,
    "doorbell": "ioeventfd: KVM counts it, no exit to user space",
}


class Expected(NamedTuple):
    """One exit to user space, in the terms of `Exit`; `value` is None where the guest reads."""

    reason: ExitReason
    address: int
    size: int
    write: bool
    value: int | None
    count: int = 1       # type: ignore[assignment]  # it hides tuple.count


def exits(step: Step) -> list[Expected]:
    """Return the exits of one `Step` of a record, in order."""
    io, write = ExitReason.IO_INSTRUCTION, step.kind in (Kind.OUT, Kind.OUTS, Kind.STORE)
    if step.kind in (Kind.IN, Kind.OUT):
        return [Expected(io, step.address, step.size, write, step.value if write else None)]
    if step.kind is Kind.OUTS:
        return [Expected(io, step.address, step.size, True, int.from_bytes(step.data[at:at + step.size], "little"))
                for at in range(0, len(step.data), step.size)]
    if step.kind is Kind.INS:
        return [Expected(io, step.address, step.size, False, None, n)
                for n in groups(step.memory, step.size, step.count)]
    if step.kind in (Kind.LOAD, Kind.STORE):
        return [Expected(ExitReason.EPT_VIOLATION, step.address + at, n, write,
                         step.value >> 8 * at & (1 << 8 * n) - 1 if write else None)
                for at, n in pieces(step.address, step.size)]
    if step.kind is Kind.PRIVILEGED:
        return [Expected(io, STAND_IN, 4, True, step.address & 0xFFFF_FFFF)]
    return []


def groups(memory: int, size: int, count: int) -> list[int]:
    """Return how many units each exit of REP INS to `memory` moves."""
    counts = []
    while count:
        n = max(min(PAGE - memory % PAGE, READ_AHEAD // size, count), 1)
        counts.append(n)
        memory, count = memory + n * size, count - n
    return counts


def pieces(address: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, bytes) of the parts of a memory access: none crosses a page, none is larger than 8 bytes."""
    at = 0
    while at < size:
        n = min(8, size - at, PAGE - (address + at) % PAGE)
        yield at, n
        at += n
