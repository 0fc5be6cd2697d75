"""Puts a kernel into RAM and says in which state the processor enters it: 64-bit mode, addresses as in RAM.

    10000h  boot_params        70000h  page tables of 4 GiB
    20000h  command line       7F000h  descriptors
    30000h  seed
    the kernel where it wants to be (Linux: 16 MiB), the initramfs at the end of RAM

The seed is the same for each boot, so two boots are one and the same: it makes nothing secret. Without it Linux gathers
randomness from the jitter of its time-stamp counter, which has none here: whoever first asks for some would wait for ever.

Source: Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol", and its field setup_data.
"""

import hashlib
from typing import NamedTuple

from vmio.firmware import longmode, zero_page
from vmio.firmware.boot_wire import ENTRY_64, SETUP_DATA, SETUP_RNG_SEED
from vmio.firmware.bzimage import BzImage
from vmio.machine.contracts import Buffer, Memory
from vmio.machine.memory import PAGE

MIB = 1 << 20
PARAMS, COMMAND_LINE, SEED, STACK, TABLES, DESCRIPTORS = 0x10000, 0x20000, 0x30000, 0x60000, 0x70000, 0x7F000
MOST_RAM = 3 << 30                  # above is the room of PCI's BARs, of the APICs and the firmware
CODE, DATA = 0x10, 0x18             # selectors


class Entry(NamedTuple):
    """The processor's registers at the kernel's first instruction: the others are 0, interrupts are off, paging is on."""

    rip: int
    rsi: int = PARAMS
    rsp: int = STACK
    cr3: int = TABLES
    gdt: int = DESCRIPTORS
    gdt_limit: int = 31
    code: int = CODE
    data: int = DATA


def load(memory: Memory, ram: int, kernel: BzImage, command_line: str, initrd: Buffer = b"", rsdp: int = 0) -> Entry:
    """Write all that `kernel` needs into `memory`, of which `ram` bytes from 0 on are RAM; returns how to enter it.

    `rsdp` is where the firmware's ACPI tables begin, 0 without any.  ValueError for RAM that is too small or too
    large and for a command line that the kernel wouldn't take; nothing is written then.
    """
    line = _checked_line(kernel, command_line)
    address = kernel.address
    top = -(-(address + kernel.room) // PAGE) * PAGE
    end = min(ram, kernel.header.initrd_addr_max + 1)
    place = (end - len(initrd)) & -PAGE
    if address < MIB:
        raise ValueError(f"kernel {kernel.name}: it wants to be loaded at {address:#x}; memory for it begins at 100000h")
    if ram > MOST_RAM:
        raise ValueError(f"RAM: {ram // MIB:,} MiB; at most {MOST_RAM // MIB:,} MiB lie below the addresses of PCI devices")
    if ram < top or place < top and initrd:
        need = top + -(-len(initrd) // PAGE) * PAGE
        raise ValueError(f"RAM: {ram // MIB:,} MiB; kernel {kernel.name} needs at least {-(-need // MIB):,} MiB to unpack itself"
                         + (f" beside an initramfs of {len(initrd):,} bytes" if initrd else ""))
    memory.write(address, kernel.protected)
    if initrd:
        memory.write(place, initrd)
    memory.write(COMMAND_LINE, line)
    memory.write(PARAMS, zero_page.boot_params(kernel.setup, zero_page.memory_map(ram), COMMAND_LINE,
                                               place if initrd else 0, len(initrd), rsdp, SEED))
    seed = hashlib.sha256(b"vmio").digest()
    memory.write(SEED, SETUP_DATA.pack(next=0, type=SETUP_RNG_SEED, len=len(seed)) + seed)
    memory.write(TABLES, longmode.identity_map(TABLES))
    memory.write(DESCRIPTORS, longmode.flat_descriptors())
    return Entry(address + ENTRY_64)


def _checked_line(kernel: BzImage, text: str) -> bytes:
    """The command line's bytes with their zero; ValueError for what the kernel would cut or not understand."""
    if not text.isascii() or not text.isprintable():
        strange = next(c for c in text if not (c.isascii() and c.isprintable()))
        raise ValueError(f"command line: it holds {strange!r}; printable ASCII characters are allowed")
    if len(text) > kernel.header.cmdline_size:
        raise ValueError(f"command line: {len(text):,} characters; kernel {kernel.name} takes {kernel.header.cmdline_size:,}")
    return text.encode() + b"\0"
