"""Accesses to memory that is not RAM: the registers of a passed-through device, or an exit.

A passed-through device's register pages are in the guest's SLAT table like RAM,
so the processor reaches them without the hypervisor.  Here RAM is one buffer and
registers are not in it, so these pages are kept in `guest.direct`, a `Bus`, and
looked up where the table says "not mapped".  Pages that must be watched (a MSI-X
table) are on `guest.mmio` instead, and exit.

Each page of an access is translated by itself (SDM vol. 3C, "EPT Translation
Mechanism"), so of one that crosses into another page each part goes to whoever
answers there.  It is one exit if any part is one: the emulator does the whole
instruction.  What nobody answers reads as ones.
"""

from vmio.hypervisor.exits import Exit, ExitReason
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.handle import handle_exit
from vmio.machine.bus import all_ones
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, TranslationFault

SIZES = (1, 2, 4, 8)       # bytes of a MOV
PHYSICAL_END = 1 << 52     # SDM vol. 3A, "Paging and Memory Typing": MAXPHYADDR is at most 52
MOST_BEYOND = 1 << 20      # bytes of one read or write that may be no RAM


def load(cpu, gpa, size):
    """What `size` bytes at `gpa` read: from the device without an exit, else by an EPT violation."""
    _check(cpu, gpa, size)
    if (gpa & 0xFFF) + size <= PAGE or _alike(cpu, gpa, size, READ):
        return _load(cpu, gpa, size)
    return int.from_bytes(b"".join(_load_part(cpu, at, n) for at, n in _pages(gpa, size)), "little")


def _load_part(cpu, gpa, size):
    try:
        return cpu.guest.memory.read(gpa, size)
    except TranslationFault:
        return _load(cpu, gpa, size).to_bytes(size, "little")


def _load(cpu, gpa, size):
    if not _is_direct(cpu, gpa, size):
        return handle_exit(cpu, Exit(cpu.now, cpu.guest.name, cpu.index, ExitReason.EPT_VIOLATION,
                                     gpa, size, 0, False))
    value = cpu.guest.direct.read(gpa, size)
    cpu.interrupted()
    return value


def store(cpu, gpa, size, value):
    """Store at `gpa`: to the device without an exit, else by an EPT violation.  ValueError for a value that does not fit."""
    _check(cpu, gpa, size)
    if value >> 8 * size:
        raise ValueError(f"MOV to {gpa:#x}: value {value}; 0 to {all_ones(size)} fits in {size} byte(s)")
    if (gpa & 0xFFF) + size <= PAGE or _alike(cpu, gpa, size, WRITE):
        return _store(cpu, gpa, size, value)
    data = value.to_bytes(size, "little")
    for at, n in _pages(gpa, size):
        part = data[at - gpa:at - gpa + n]
        try:
            cpu.guest.memory.write(at, part)
        except TranslationFault:
            _store(cpu, at, n, int.from_bytes(part, "little"))


def _store(cpu, gpa, size, value):
    if not _is_direct(cpu, gpa, size):
        handle_exit(cpu, Exit(cpu.now, cpu.guest.name, cpu.index, ExitReason.EPT_VIOLATION, gpa, size, value, True))
    else:
        cpu.guest.direct.write(gpa, size, value)
        cpu.interrupted()


def read(cpu, gpa, length):
    """`length` bytes, page by page: a page of RAM at once, others by `load`."""
    check_range(cpu, "read", gpa, length)
    parts = []
    for at, n in _pages(gpa, length):
        try:
            parts.append(cpu.guest.memory.read(at, n))
        except TranslationFault:
            parts += [load(cpu, piece, size).to_bytes(size, "little") for piece, size in _pieces(at, n)]
    return b"".join(parts)


def write(cpu, gpa, data):
    """Store bytes, page by page: in a page of RAM at once, in others by `store`."""
    check_range(cpu, "write", gpa, len(data))
    for at, n in _pages(gpa, len(data)):
        part = data[at - gpa:at - gpa + n]
        try:
            cpu.guest.memory.write(at, part)
        except TranslationFault:
            for piece, size in _pieces(at, n):
                store(cpu, piece, size, int.from_bytes(part[piece - at:piece - at + size], "little"))


def check_range(cpu, what, gpa, length):
    """`GuestFault` (#PF) where physical addresses end; ValueError for what is no address, or for far too much of no RAM."""
    if length < 0 or not 0 <= gpa < 1 << 64:
        raise ValueError(f"{what} of {length} bytes at {gpa:#x}: 0 or more, at 0 to 2^64 - 1")
    if gpa + length > PHYSICAL_END:
        raise GuestFault(f"{cpu.guest.name}: #PF, {what} of {length} bytes at {gpa:#x}: physical addresses end at 2^52")
    beyond = gpa + length - max(gpa, cpu.guest.ram)
    if beyond > MOST_BEYOND:
        raise GuestFault(f"{cpu.guest.name}: {what} of {length} bytes at {gpa:#x}: {beyond} of them are beyond RAM; "
                              f"the instruction emulator takes at most {MOST_BEYOND}")


def _check(cpu, gpa, size):
    if size not in SIZES:
        raise ValueError(f"MOV of {size} bytes at {gpa:#x}: 1, 2, 4 or 8")
    if not 0 <= gpa <= PHYSICAL_END - size:
        check_range(cpu, "MOV", gpa, size)


def _pages(gpa, length):
    """(address, bytes) parts that cross no page border."""
    end = gpa + length
    while gpa < end:
        n = min(PAGE - (gpa & 0xFFF), end - gpa)
        yield gpa, n
        gpa += n


def _pieces(gpa, length):
    """(address, bytes) parts of 8, 4, 2 or 1 bytes that cross no 8-byte border."""
    end = gpa + length
    while gpa < end:
        n = 8
        while gpa % n or gpa + n > end:
            n //= 2
        yield gpa, n
        gpa += n


def _alike(cpu, gpa, size, access):
    """Both pages of the access are answered alike: by one region that was passed through, or both by an exit."""
    guest = cpu.guest
    return _is_direct(cpu, gpa, size) or not any(
        _is_ram(guest, at, access) or guest.direct.find(at) for at in (gpa, (gpa | 0xFFF) + 1))


def _is_ram(guest, gpa, access):
    try:
        guest.slat.translate(gpa, access)
    except TranslationFault:
        return False
    return True


def _is_direct(cpu, gpa, size):
    region = cpu.guest.direct.find(gpa)
    return region is not None and gpa + size <= region.base + region.length
