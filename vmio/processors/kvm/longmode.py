"""A guest in 64-bit user mode: page tables, descriptors, and a task state that grants ports.

Why not ring 0?  On some hosts (nested or partly interpreted KVM) only user-mode
code runs at full speed.  Why a bitmap?  IOPL 3 would be the short way to let
ring 3 use ports, but not every host honours it; the I/O permission bitmap of
the TSS works everywhere.  Without `interrupts` there is no interrupt table, and
with them it holds that one gate (irq.py): any fault of the guest becomes a triple
fault, which ends the run.

Sources: Intel SDM vol. 3A, 4.5 (4-level paging), 3.4.5 (descriptors), 8.7 (TSS
in 64-bit mode); vol. 1, 19.5.2 (I/O permission bitmap); AMD APM vol. 2 agrees.
"""

import struct
from collections.abc import Iterable, Iterator

from vmio.firmware.longmode import PRESENT, USER, WRITABLE, identity_map
from vmio.processors.kvm import api
from vmio.processors.kvm.vcpu import Vcpu
from vmio.processors.kvm.vm import Slot

# Where, from the start of the slot that holds them.
PML4 = 0x1000                                         # and the tables behind it
GDT, TSS, IDT, HANDLER, CODE = 0x7000, 0x8000, 0xB000, 0xC000, 0x10000
GIB = 1 << 30

USER_CODE, USER_DATA, TASK = 0x08 | 3, 0x10 | 3, 0x18  # selectors
TSS_BYTES = 104
TSS_LIMIT = TSS_BYTES + 8192                          # 65,536 port bits and one byte of ones after them
RFLAGS_FIXED, RFLAGS_IF = 0x2, 0x200                  # bit 1 is always 1; IF lets interrupts in

_CR0 = 0x80010033                                     # PG, WP, NE, ET, MP, PE
_CR4_PAE = 0x20
_EFER = 0x500                                         # LMA, LME


def page_tables(base: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (address, bytes) of tables, from `base` on, that map the first 4 GiB to themselves, in 2 MiB pages open to user mode.

    The guest may spoil its own tables.  That hurts nobody else: what it can
    reach at all is decided by the slots, which it can't see.
    """
    yield base + PML4, identity_map(base + PML4, PRESENT | WRITABLE | USER)


def task_state(ports: Iterable[int] | None = None) -> bytes:
    """Return the TSS with its bitmap.  A bit of 0 grants a port; `ports` are those granted (None: all)."""
    state = bytearray(TSS_LIMIT + 1)
    struct.pack_into("<H", state, 102, TSS_BYTES)     # where the bitmap starts
    if ports is not None:
        state[TSS_BYTES:TSS_LIMIT] = b"\xff" * 8192
        for port in ports:
            state[TSS_BYTES + port // 8] &= ~(1 << port % 8)
    state[TSS_LIMIT] = 0xFF                           # the processor may read one byte too far
    return bytes(state)


def descriptor(segment: api.Segment) -> bytes:
    """Return a code or data descriptor of 8 bytes."""
    access = segment.type | segment.s << 4 | segment.dpl << 5 | segment.present << 7
    flags = segment.avl | segment.l << 1 | segment.db << 2 | segment.g << 3
    limit = segment.limit >> 12 if segment.g else segment.limit
    return struct.pack("<HHBBBB", limit & 0xFFFF, segment.base & 0xFFFF, segment.base >> 16 & 0xFF, access,
                       limit >> 16 | flags << 4, segment.base >> 24 & 0xFF)


def segments(base: int = 0) -> tuple[api.Segment, api.Segment, api.Segment]:
    """User code, user data and the task state, as the processor keeps them once loaded."""
    flat = dict(base=0, limit=0xFFFFFFFF, present=1, dpl=3, s=1, g=1)
    return (api.Segment(selector=USER_CODE, type=11, l=1, **flat), api.Segment(selector=USER_DATA, type=3, db=1, **flat),
            api.Segment(selector=TASK, type=11, base=base + TSS, limit=TSS_LIMIT, present=1))


def load_tables(ram: Slot, ports: Iterable[int] | None = None) -> None:
    """Write page tables, descriptors and task state to where the slot `ram` starts."""
    for address, entries in page_tables(ram.address):
        ram.write(address, entries)
    code, data, task = segments(ram.address)
    upper = struct.pack("<Q", task.base >> 32)        # a task descriptor takes 16 bytes in 64-bit mode
    ram.write(ram.address + GDT, bytes(8) + descriptor(code) + descriptor(data) + descriptor(task) + upper)
    ram.write(ram.address + TSS, task_state(ports))


def enter_user_mode(vcpu: Vcpu, base: int = 0, interrupts: bool = False) -> None:
    """Set the registers: the next run begins at `base` + CODE, in ring 3, with the tables that are at `base`."""
    sregs = vcpu.special_registers()
    code, data, task = segments(base)
    sregs.cs, sregs.tr = code, task
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data
    sregs.gdt = api.Table(base=base + GDT, limit=39)
    sregs.idt = api.Table(base=base + IDT, limit=4095) if interrupts else api.Table(base=0, limit=0)
    sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer = _CR0, base + PML4, _CR4_PAE, _EFER
    vcpu.set_special_registers(sregs)
    vcpu.set_registers(rip=base + CODE, rsp=base + CODE, rflags=RFLAGS_FIXED | (RFLAGS_IF if interrupts else 0))
