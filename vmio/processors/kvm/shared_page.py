"""One page of the host's in several machines, read-only: what a container's base layer is, on a real processor.

Each machine has a slot of its own over the same host memory, with KVM_MEM_READONLY.  Loads are the processor's own business.  A store
exits as if no memory were there, so user space decides what becomes of it; here nothing does.
Source: Linux, Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION.
"""

import ctypes
import mmap
from contextlib import ExitStack
from typing import Any

from vmio.machine.memory import PAGE
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.guest import DATA, Guest

AT = 16 << 20                    # guest-physical: where every machine has it
LIBC, CHANGED, NEW = 0x6C69_6263, 0x6576_696C, 0x6C69_6232      # what stands there, what a guest would like to, and what the host puts there
LOADS, STORES = 100, 3


def told(machines: int = 2) -> dict[str, Any]:
    """Return what that many machines saw of one page, and how often each came back to user space for it.

    `loads` and `stores`: exits of each machine, for LOADS and STORES of them.  `values`: what each has read before, after another one's
    stores, and after the host has written.  `resident_kib`: the host's memory that is in use for the page.  `writable`: the same for
    two slots that are not read-only: exits of one's store, and what the other reads then.  OSError where KVM can't be used.
    """
    with ExitStack() as stack:
        page = mmap.mmap(-1, PAGE)
        stack.callback(page.close)
        page[:4] = LIBC.to_bytes(4, "little")
        guests = [stack.enter_context(_with(page, readonly=True)) for _ in range(machines)]
        loads = [_exits(guest, _loads(LOADS)) for guest in guests]
        values = [[_value(guest) for guest in guests]]
        stores = [_exits(guests[0], _stores()), *(0 for _ in guests[1:])]
        values += [_after(guests)]
        resident = _resident_kib(page)
        page[:4] = NEW.to_bytes(4, "little")
        values += [_after(guests)]
    with ExitStack() as stack:
        page = mmap.mmap(-1, PAGE)
        stack.callback(page.close)
        one, other = (stack.enter_context(_with(page, readonly=False)) for _ in range(2))
        writable = [_exits(one, _stores()), _after([other])[0]]
    return {"loads": loads, "stores": stores, "values": values, "resident_kib": resident, "writable": writable}


def _with(page: mmap.mmap, readonly: bool) -> Guest:
    guest = Guest()
    guest.vm.add_slot(AT, PAGE, readonly, page)
    return guest


def _loads(count: int) -> Code:
    code = Code()
    for _ in range(count):
        code.load(AT, to=DATA)
    return code


def _stores() -> Code:
    code = Code()
    for _ in range(STORES):
        code.store(AT, CHANGED)
    return code


def _exits(guest: Guest, code: Code) -> int:
    """Exits of a program, without the one that says that it has finished."""
    return len(guest.run(code).exits) - 1


def _value(guest: Guest) -> int:
    return int.from_bytes(guest.ram.read(DATA, 4), "little")


def _after(guests: list[Guest]) -> list[int]:
    """What each of them reads now."""
    for guest in guests:
        guest.run(_loads(1))
    return [_value(guest) for guest in guests]


def _resident_kib(page: mmap.mmap) -> int:
    """KiB of memory that this process has for the mapping of the page (Linux, Documentation/filesystems/proc.rst, smaps)."""
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    with open("/proc/self/smaps", encoding="ascii") as smaps:
        inside = False
        for line in smaps:
            first = line.split()[0]
            if "-" in first and ":" not in first:
                low, high = (int(each, 16) for each in first.split("-"))
                inside = low <= at < high
            elif inside and first == "Rss:":
                return int(line.split()[1])
    return 0
