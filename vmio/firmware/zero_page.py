"""boot_params, the "zero page": the setup header as its loader has filled it in, the map of memory, where the ACPI tables are.

Source: Linux Documentation/arch/x86/zero-page.rst and boot.rst.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from vmio.firmware.boot_wire import (BOOT_PARAMS, E820_ENTRY, E820_MOST, E820_RAM, E820_RESERVED, HEADER_AT, JUMP_FROM, OTHER_LOADER,
                                     SETUP_HEADER)
from vmio.machine.contracts import Buffer

MIB = 1 << 20
EBDA = 0x9FC00                      # conventional memory ends here, below the extended BIOS data area
FIRMWARE, FIRMWARE_END = 0xE0000, MIB   # where a PC's firmware keeps its tables


class Area(NamedTuple):
    """An entry of the map of memory: `type` 1 is RAM, 2 is reserved."""

    address: int
    length: int
    type: int


def memory_map(ram: int) -> list[Area]:
    """Return the e820 map of a PC with `ram` bytes (more than 1 MiB), all below its PCI window."""
    return [Area(0, EBDA, E820_RAM), Area(FIRMWARE, FIRMWARE_END - FIRMWARE, E820_RESERVED), Area(MIB, ram - MIB, E820_RAM)]


def boot_params(setup: Buffer, areas: Sequence[Area], command_line: int, initrd: int = 0, initrd_size: int = 0, rsdp: int = 0,
                setup_data: int = 0) -> bytes:
    """Return the 4,096 bytes for a kernel whose file holds `setup` at 1F1h.

    Addresses are guest-physical: of the command line (text, ended by a zero), the initramfs with its bytes (0: there is
    none), the RSDP (0: there are no ACPI tables) and the first `setup_data` (0: there is none).  Fields behind the end that the header names stay 0.
    """
    if len(areas) > E820_MOST:
        raise ValueError(f"map of memory: {len(areas)} entries; boot_params hold {E820_MOST}")
    told = SETUP_HEADER.parse(setup)
    fields: dict[str, Any] = told._asdict()
    fields.update(type_of_loader=OTHER_LOADER, cmd_line_ptr=command_line, ramdisk_image=initrd, ramdisk_size=initrd_size,
                  setup_data=setup_data)
    end = JUMP_FROM + told.jump_to - HEADER_AT
    return BOOT_PARAMS.pack(acpi_rsdp_addr=rsdp, e820_entries=len(areas), header=SETUP_HEADER.pack(**fields)[:end],
                            e820_table=b"".join(E820_ENTRY.pack(**area._asdict()) for area in areas))
