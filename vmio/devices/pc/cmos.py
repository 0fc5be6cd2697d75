"""What a PC's firmware finds in the battery-backed CMOS RAM: the machine's inventory.

The chip gives 114 bytes of RAM to whoever wants them; what they mean is a
convention of the IBM PC/AT BIOS (IBM PC/AT Technical Reference, "CMOS RAM
address map"), with later additions for memory above 16 MiB.
"""

from collections.abc import Sequence

EQUIPMENT = 0x06          # cell 14h: coprocessor fitted (bit 1), PS/2 mouse (bit 2), no diskette
BASE_KIB = 640            # cells 15h/16h: conventional memory
USER_DEFINED = 0x0F       # cells 12h/19h/1Ah: "drive type 47", the geometry follows in other cells
DRIVE_CELLS = (0x1B, 0x24)  # geometry of the first and the second drive of the primary channel
LOW_MEMORY_END = 0xE000_0000  # above this much RAM the rest is moved beyond 4 GiB, for the PCI hole's sake
BELOW_HOLE = 0xC000_0000


def inventory(ram_mib: int, disks: Sequence[tuple[int, int, int] | None] = ()) -> dict[int, int]:
    """Return the cells that describe a machine, as `{index: byte}`.

    `ram_mib` is the RAM in MiB; `disks` holds up to four of (cylinders, heads,
    sectors) or None, in the order primary master, primary slave, secondary
    master, secondary slave.  Raises ValueError for what no PC has.
    """
    if ram_mib < 1:
        raise ValueError(f"ram_mib is {ram_mib}; a PC has at least 1 MiB")
    if len(disks) > 4:
        raise ValueError(f"{len(disks)} disks; two IDE channels hold at most 4")
    cells = {0x14: EQUIPMENT, 0x38: 0x30, 0x3D: 0x12}  # 38h/3Dh: boot from disk, then diskette, then CD
    ram = ram_mib << 20
    low = ram if ram < LOW_MEMORY_END else BELOW_HOLE
    extended = min((ram >> 10) - 1024, 0xFFFF)         # KiB above 1 MiB
    for first, size, value in (
            (0x15, 2, BASE_KIB),
            (0x17, 2, extended),
            (0x30, 2, extended),                       # the same, as the power-on test measured it
            (0x34, 2, min(max(low - (16 << 20), 0) >> 16, 0xFFFF)),  # 64 KiB blocks above 16 MiB
            (0x5B, 3, (ram - low) >> 16)):             # 64 KiB blocks above 4 GiB
        cells.update((first + i, value >> 8 * i & 0xFF) for i in range(size))
    for unit, disk in enumerate(disks):
        if disk:
            _describe_disk(cells, unit, *disk)
    return cells


def _describe_disk(cells: dict[int, int], unit: int, cylinders: int, heads: int, sectors: int) -> None:
    """Enter one disk; only the primary channel's two have cells for their geometry."""
    if cylinders > 1024:                               # cell 39h, 2 bits a disk: 1 = LBA translation
        cells[0x39] = cells.get(0x39, 0) | 1 << 2 * unit
    if unit > 1:
        return
    cells[0x12] = cells.get(0x12, 0) | USER_DEFINED << (4, 0)[unit]
    cells[0x19 + unit] = 47
    control = 0xC0 | (heads > 8) << 3                  # retries off; more than eight heads
    low, high = cylinders & 0xFF, cylinders >> 8 & 0xFF
    geometry = (low, high, heads, 0xFF, 0xFF, control, low, high, sectors)
    cells.update((DRIVE_CELLS[unit] + i, byte) for i, byte in enumerate(geometry))
