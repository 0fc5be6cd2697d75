"""Page tables and descriptors for who is entered in 64-bit mode: addresses are what they are in RAM, segments are flat.

Sources: Intel SDM vol. 3A, 4.5 (4-level paging), 3.4.5 (descriptors).
"""

import struct

from vmio.machine.bits import BitLayout, bit, bits

PRESENT, WRITABLE, USER, LARGE = 1, 2, 4, 0x80

DESCRIPTOR = BitLayout(
    "DESCRIPTOR", 64, bits("limit", 15, 0), bits("base", 39, 16), bits("type", 43, 40, "", {11: "code", 3: "data"}),
    bit("s", 44, "code or data"), bits("dpl", 46, 45), bit("present", 47), bits("limit_high", 51, 48), bit("long", 53, "64-bit code"),
    bit("big", 54, "32-bit operands"), bit("pages", 55, "the limit counts pages"), bits("base_high", 63, 56))
_FLAT = dict(limit=0xFFFF, limit_high=0xF, pages=1, present=1, s=1)


def identity_map(at: int, flags: int = PRESENT | WRITABLE) -> bytes:
    """Return tables, to be put at `at` (their PML4, for CR3), that map the first 4 GiB to themselves in pages of 2 MiB."""
    pdpt, directories = at + 0x1000, at + 0x2000
    return (struct.pack("<Q", pdpt | flags).ljust(0x1000, b"\0")
            + struct.pack("<4Q", *(directories + 0x1000 * n | flags for n in range(4))).ljust(0x1000, b"\0")
            + struct.pack("<2048Q", *(page << 21 | flags | LARGE for page in range(2048))))


def flat_descriptors() -> bytes:
    """Return the descriptor table that Linux wants: 10h is 64-bit code, 18h data (boot.rst, "64-bit Boot Protocol")."""
    return (bytes(16) + DESCRIPTOR.pack(type=11, long=1, **_FLAT)
            + DESCRIPTOR.pack(type=3, big=1, **_FLAT))
