"""Accesses to memory that is not RAM: the registers of a passed-through device, or an exit.

A passed-through device's register pages are in the guest's SLAT table like RAM,
so the processor reaches them without the hypervisor.  Here RAM is one buffer and
registers are not in it, so these pages are kept in `guest.direct`, a `Bus`, and
looked up where the table says "not mapped".  Pages that must be watched (a MSI-X
table) are on `guest.mmio` instead, and exit.
"""

from vmio.hypervisor.exits import Exit, ExitReason
from vmio.hypervisor.handle import handle_exit


def load(cpu, gpa, size):
    """What `size` bytes at `gpa` read: from the device without an exit, else by an EPT violation."""
    if not _is_direct(cpu, gpa, size):
        return handle_exit(cpu, Exit(cpu.now, cpu.guest.name, cpu.index, ExitReason.EPT_VIOLATION,
                                     gpa, size, 0, False))
    value = cpu.guest.direct.read(gpa, size)
    cpu.interrupted()
    return value


def store(cpu, gpa, size, value):
    """Store at `gpa`: to the device without an exit, else by an EPT violation."""
    if not _is_direct(cpu, gpa, size):
        handle_exit(cpu, Exit(cpu.now, cpu.guest.name, cpu.index, ExitReason.EPT_VIOLATION, gpa, size, value, True))
        return
    cpu.guest.direct.write(gpa, size, value)
    cpu.interrupted()


def _is_direct(cpu, gpa, size):
    region = cpu.guest.direct.find(gpa)
    return region is not None and gpa + size <= region.base + region.length
