"""Which hypervisor Linux sees, if a student's own function answers CPUID's leaves from 40000000h on: a live boot of some seconds."""

from collections.abc import Callable
from typing import Any

from vmio.boot.params import BootParams
from vmio.boot.run import Boot
from vmio.lessons.boot_a_real_linux import live
from vmio.linux import initramfs, kept

FIRST, LAST = 0x4000_0000, 0x4000_0005
FOUND, SOON_AFTER = "Hypervisor detected: ", "Memory: "       # what Linux says, and where it has said it if it ever does
SECONDS = 300


def detected(leaf: Callable[[int], Any]) -> str:
    """Return what Linux says of its hypervisor, in a sentence; where nothing can be booted, what is missing."""
    leaves = {number: leaf(number) for number in range(FIRST, LAST + 1)}
    if leaves[FIRST] in (..., None):
        return "not attempted yet"
    for number, found in leaves.items():
        if not isinstance(found, (tuple, list)) or len(found) != 4 or not all(type(one) is int and 0 <= one < 1 << 32 for one in found):
            return f"Linux was not booted: leaf {number:X}h is {found!r}; CPUID answers with four numbers of 32 bits."
    works, why = live.usable()
    if not works:
        return f"Nobody can be asked here: {why}. The check above knows what Linux would say."
    files = kept.find()
    boot = Boot(BootParams(until=SOON_AFTER, timeout=SECONDS), files.read("vmlinuz"), initramfs.build(files, ["true"]), name="vmlinuz")
    boot.guest.guest.cpuid_leaves.update({number: tuple(found) for number, found in leaves.items()})
    for line in boot.run().console_text.splitlines():
        if FOUND in line:
            return f"Linux says: {line[line.index(FOUND):]}"
    return "Linux says nothing of a hypervisor."
