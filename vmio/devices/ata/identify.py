"""The 256 words of IDENTIFY DEVICE: what a disk says about itself (ATA/ATAPI-6, T13/1410D, 8.15).

The page is made when it is first asked for and kept; SET FEATURES changes
words in the kept page.  So the values are those of QEMU's `ide-hd`, word for word.
"""

import struct
from typing import Protocol

from vmio.machine.contracts import SectorStore

WORDS = struct.Struct("<256H")
MAX_MULTIPLE = 16  # sectors in one DRQ block of READ MULTIPLE, at most

NOP_AND_SMART = 1 << 14 | 1
WRITE_CACHE = 1 << 5
LBA48_AND_FLUSHES = 1 << 13 | 1 << 12 | 1 << 10
VALID = 1 << 14  # "this word is valid", in words 83, 84, 87 and 93
DMA_MODES = (0x07, 0x07, 0x3F)  # words 62, 63 and 88: single-word 0 to 2, multiword 0 to 2, Ultra 0 to 5; none selected


def ata_string(text: str, length: int) -> tuple[int, ...]:
    """`text` as ATA stores it (3.2.10): padded with spaces, two characters a word, the first one high."""
    padded = text.encode("ascii", "replace")[:length].ljust(length)
    return struct.unpack(f">{length // 2}H", padded)


class Identified(Protocol):
    """What a disk says of itself; see `AtaDisk`."""

    image: SectorStore
    model: str
    serial: str
    firmware: str
    geometry: tuple[int, int, int]
    heads: int
    sectors: int
    multiple: int
    dma: bool
    write_cache: bool


def identify_words(disk: Identified) -> list[int]:
    """Return the words of `disk` as a list of 256 integers."""
    words = [0] * 256
    cylinders, heads, sectors = disk.geometry[0], disk.heads, disk.sectors
    words[0] = 0x0040                                       # a fixed disk
    words[1], words[3], words[6] = cylinders, heads, sectors
    words[4], words[5] = 512 * sectors & 0xFFFF, 512        # bytes a track and a sector (retired)
    words[10:20] = ata_string(disk.serial, 20)
    words[20], words[21], words[22] = 3, 512, 4             # buffer type, buffer in sectors, ECC bytes (retired)
    words[23:27] = ata_string(disk.firmware, 8)
    words[27:47] = ata_string(disk.model, 40)
    words[47] = 0x8000 | MAX_MULTIPLE
    words[48] = 1                                           # 32-bit data port
    words[49] = 1 << 11 | 1 << 9 | 1 << 8                   # IORDY, LBA, DMA
    words[51] = words[52] = 0x200                           # PIO and DMA timing (retired)
    words[53] = 0b111                                       # words 54-58, 64-70 and 88 are valid
    words[54], words[55], words[56] = cylinders, heads, sectors
    words[57], words[58] = split32(cylinders * heads * sectors)
    words[59] = 0x100 | disk.multiple if disk.multiple else 0
    words[60], words[61] = split32(min(disk.image.sectors, (1 << 28) - 1))
    words[62], words[63], words[88] = DMA_MODES
    words[64] = 0x03                                        # PIO modes 3 and 4
    words[65] = words[66] = words[67] = words[68] = 120     # cycle times, ns
    words[69] = 1 << 14                                     # TRIM is deterministic
    words[80], words[81] = 0xF0, 0x16                       # ATA-4 to ATA-7; the revision
    words[82] = NOP_AND_SMART | WRITE_CACHE
    words[83] = VALID | LBA48_AND_FLUSHES
    words[84] = words[87] = VALID
    words[85] = NOP_AND_SMART | (WRITE_CACHE if disk.write_cache else 0)
    words[86] = LBA48_AND_FLUSHES
    words[88] |= 1 << 13                                    # Ultra DMA 5 selected
    words[93] = 1 << 14 | 1 << 13 | 1                       # hardware reset result
    total = min(disk.image.sectors, (1 << 48) - 1)
    words[100:104] = [total >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
    words[106] = 0x6000                                     # one logical sector in a physical one
    words[169] = 1                                          # DATA SET MANAGEMENT knows TRIM
    if not disk.dma:
        words[49] &= ~(1 << 8)
        words[53] = 0b011                                   # word 88 says nothing
        for each in (52, 62, 63, 65, 66, 69, 88, 169):      # modes and their times; TRIM, which is a DMA command
            words[each] = 0
    return words


def split32(value: int) -> tuple[int, int]:
    """Return a 32-bit value as its low and its high word."""
    return value & 0xFFFF, value >> 16 & 0xFFFF
