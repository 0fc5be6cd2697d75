"""Accesses to memory that is not RAM: the registers of a passed-through device, or an exit.

A passed-through device's register pages are in the guest's SLAT table like RAM,
so the processor reaches them without the hypervisor.  Here RAM is one buffer and
registers are not in it, so these pages are kept in `guest.direct`, a `Bus`, and
looked up where the table says "not mapped".  Pages that must be watched (a MSI-X
table) are on `guest.mmio` instead, and exit.  Memory of the host's that many guests share (`pmem`) is in the table from its first touch on.

Each page of an access is translated by itself (SDM vol. 3C, "EPT Translation
Mechanism"), so of one that crosses into another page each part goes to whoever
answers there.  It is one exit if any part is one: the emulator does the whole
instruction.  What nobody answers reads as ones.
"""

from collections.abc import Iterator

from vmio.hypervisor import pmem
from vmio.hypervisor.contracts import GuestCpu, Partition
from vmio.hypervisor.exits import Exit, ExitReason
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.handle import handle_exit
from vmio.machine.bus import all_ones
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, TranslationFault

SIZES = (1, 2, 4, 8)       # bytes of a MOV
PHYSICAL_END = 1 << 52     # SDM vol. 3A, "Paging and Memory Typing": MAXPHYADDR is at most 52
MAX_BEYOND = 1 << 20      # bytes of one read or write that may be no RAM


def load(cpu: GuestCpu, gpa: int, size: int) -> int:
    """Return what `size` bytes at `gpa` read: from the device without an exit, else by an EPT violation."""
    _check(cpu, gpa, size)
    if (gpa & 0xFFF) + size <= PAGE or _alike(cpu, gpa, size, READ):
        return _load(cpu, gpa, size)
    return int.from_bytes(b"".join(_load_part(cpu, at, n) for at, n in _pages(gpa, size)), "little")


def _load_part(cpu: GuestCpu, gpa: int, size: int) -> bytes:
    try:
        return cpu.memory.read(gpa, size)
    except TranslationFault:
        return _load(cpu, gpa, size).to_bytes(size, "little")


def _load(cpu: GuestCpu, gpa: int, size: int) -> int:
    if not _is_direct(cpu, gpa, size):
        if cpu.guest.pmem and pmem.reach(cpu, gpa, size, READ):
            return int.from_bytes(cpu.memory.read(gpa, size), "little")
        value = handle_exit(cpu, Exit(cpu.now, cpu.guest.name, cpu.index, ExitReason.EPT_VIOLATION, gpa, size, 0, False))
        _check_kept(cpu, "read", gpa, size)
        return value
    value = cpu.guest.direct.read(gpa, size)
    cpu.interrupted()
    return value


def store(cpu: GuestCpu, gpa: int, size: int, value: int) -> None:
    """Store at `gpa`: to the device without an exit, else by an EPT violation.  ValueError for a value that does not fit."""
    region = cpu.guest.direct.whole(gpa, size) if size in SIZES and not value >> 8 * size else None
    if region is not None:             # a doorbell
        region.write(gpa, size, value)
        cpu.interrupted()
        return None
    _check(cpu, gpa, size)
    if value >> 8 * size:
        raise ValueError(f"MOV to {gpa:#x}: value {value}; 0 to {all_ones(size)} fits in {size} byte(s)")
    if (gpa & 0xFFF) + size <= PAGE or _alike(cpu, gpa, size, WRITE):
        return _store(cpu, gpa, size, value)
    data = value.to_bytes(size, "little")
    for at, n in _pages(gpa, size):
        part = data[at - gpa:at - gpa + n]
        try:
            cpu.memory.write(at, part)
        except TranslationFault:
            _store(cpu, at, n, int.from_bytes(part, "little"))


def _store(cpu: GuestCpu, gpa: int, size: int, value: int) -> None:
    if not _is_direct(cpu, gpa, size):
        if cpu.guest.pmem and pmem.reach(cpu, gpa, size, WRITE):
            return cpu.memory.write(gpa, value.to_bytes(size, "little"))
        handle_exit(cpu, Exit(cpu.now, cpu.guest.name, cpu.index, ExitReason.EPT_VIOLATION, gpa, size, value, True))
        _check_kept(cpu, "write", gpa, size)
    else:
        cpu.guest.direct.write(gpa, size, value)
        cpu.interrupted()


def _check_kept(cpu: GuestCpu, what: str, gpa: int, size: int) -> None:
    """`GuestFault` for a page that the guest has given to the host: the exit is counted, and nobody can answer for memory that is gone."""
    gave_away = cpu.guest.gave_away
    if gave_away is not None and gave_away(gpa):
        raise GuestFault(f"{cpu.guest.name}: EPT violation, {what} of {size} bytes at {gpa:#x}: the guest gave this page to the host")


def read(cpu: GuestCpu, gpa: int, length: int) -> bytes:
    """Return `length` bytes, page by page: a page of RAM at once, others by `load`."""
    check_range(cpu, "read", gpa, length)
    parts = []
    for at, n in _pages(gpa, length):
        try:
            parts.append(cpu.memory.read(at, n))
        except TranslationFault:
            if cpu.guest.pmem and pmem.reach(cpu, at, n, READ):
                parts.append(cpu.memory.read(at, n))
                continue
            parts += [load(cpu, piece, size).to_bytes(size, "little") for piece, size in _pieces(at, n)]
    return b"".join(parts)


def write(cpu: GuestCpu, gpa: int, data: Buffer) -> None:
    """Store bytes, page by page: in a page of RAM at once, in others by `store`."""
    check_range(cpu, "write", gpa, len(data))
    for at, n in _pages(gpa, len(data)):
        part = data[at - gpa:at - gpa + n]
        try:
            cpu.memory.write(at, part)
        except TranslationFault:
            for piece, size in _pieces(at, n):
                store(cpu, piece, size, int.from_bytes(part[piece - at:piece - at + size], "little"))


def check_range(cpu: GuestCpu, what: str, gpa: int, length: int) -> None:
    """Raise `GuestFault` (#PF) where physical addresses end, and ValueError for what is no address, or for far too much of no RAM."""
    if length < 0 or not 0 <= gpa < 1 << 64:
        raise ValueError(f"{what} of {length} bytes at {gpa:#x}: 0 or more, at 0 to 2^64 - 1")
    if gpa + length > PHYSICAL_END:
        raise GuestFault(f"{cpu.guest.name}: #PF, {what} of {length} bytes at {gpa:#x}: physical addresses end at 2^52")
    beyond = gpa + length - max(gpa, cpu.guest.ram)
    if beyond > MAX_BEYOND:
        raise GuestFault(f"{cpu.guest.name}: {what} of {length} bytes at {gpa:#x}: {beyond} of them are beyond RAM; "
                              f"the instruction emulator takes at most {MAX_BEYOND}")


def _check(cpu: GuestCpu, gpa: int, size: int) -> None:
    if size not in SIZES:
        raise ValueError(f"MOV of {size} bytes at {gpa:#x}: 1, 2, 4 or 8")
    if not 0 <= gpa <= PHYSICAL_END - size:
        check_range(cpu, "MOV", gpa, size)


def _pages(gpa: int, length: int) -> Iterator[tuple[int, int]]:
    """(address, bytes) parts that cross no page border."""
    end = gpa + length
    while gpa < end:
        n = min(PAGE - (gpa & 0xFFF), end - gpa)
        yield gpa, n
        gpa += n


def _pieces(gpa: int, length: int) -> Iterator[tuple[int, int]]:
    """(address, bytes) parts of 8, 4, 2 or 1 bytes that cross no 8-byte border."""
    end = gpa + length
    while gpa < end:
        n = 8
        while gpa % n or gpa + n > end:
            n //= 2
        yield gpa, n
        gpa += n


def _alike(cpu: GuestCpu, gpa: int, size: int, access: int) -> bool:
    """Both pages of the access are answered alike: by one region that was passed through, or both by an exit."""
    guest = cpu.guest
    return _is_direct(cpu, gpa, size) or not any(
        _is_ram(guest, at, access) or guest.direct.find(at) for at in (gpa, (gpa | 0xFFF) + 1))


def _is_ram(guest: Partition, gpa: int, access: int) -> bool:
    try:
        guest.slat.translate(gpa, access)
    except TranslationFault:
        return False
    return True


def _is_direct(cpu: GuestCpu, gpa: int, size: int) -> bool:
    region = cpu.guest.direct.find(gpa)
    return region is not None and gpa + size <= region.base + region.length
