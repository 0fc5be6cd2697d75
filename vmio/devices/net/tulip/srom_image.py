"""What is in the serial ROM: who made the card, its address, and how it is wired to its PHY.

Source: Digital Semiconductor 21X4 Serial ROM Format, version 4.05 (layout and both checksums), as Linux's eeprom.c reads it;
the 21143's bytes are those that QEMU 7.2's card has.
"""

import zlib

from vmio.devices.net.tulip.chips import Chip
from vmio.machine.layout import Layout, raw, u8, u16

SROM_BYTES, LEAF, CHECKED = 128, 0x1E, 126
AUTOSENSE = 0x0800
HEADER = Layout("SROM", u16("subsystem_vendor"), u16("subsystem_id"), raw("reserved", 12), u8("id_checksum"), u8("reserved_17"),
                u8("version", default=4), u8("controllers", default=1), raw("address", 6), u8("device_number"),
                u16("leaf", "offset of the info leaf", default=LEAF), u8("reserved_29"))
MII_BLOCK = Layout("MII_BLOCK", u8("length", "bit 7: an extended block"), u8("type"), u8("phy"), u8("port_sequence", "its length"),
                   u8("reset_sequence", "its length"), u16("capabilities", default=0x7800), u16("advertised", default=0x01E0),
                   u16("full_duplex", default=0x5000), u16("threshold", default=0x1800))
EXTENDED = 0x80
# QEMU's image was read from a card: bytes of it that no field above has.
_LEFT_OVER = {17: b"\x08", 94: b"\xe8\x6b", 103: bytes.fromhex("8048b30ea740")}


def image(chip: Chip, address: bytes) -> bytes:
    """Return the 128 bytes of a card with this chip and this address."""
    vendor, device = chip.identity.subsystem
    data = bytearray(HEADER.pack(subsystem_vendor=vendor, subsystem_id=device, address=address).ljust(SROM_BYTES, b"\0"))
    leaf = AUTOSENSE.to_bytes(2, "little") + (b"\0" if chip.general_port else b"") + b"\x01"     # pins that are outputs; one block
    # QEMU's 21143 block says one byte more: its PHY's interrupt, 0.
    length = MII_BLOCK.size - 1 + (0 if chip.general_port else 1)
    block = MII_BLOCK.pack(length=EXTENDED | length, type=chip.media_block)
    data[LEAF:LEAF + len(leaf) + len(block)] = leaf + block
    if not chip.general_port:
        for at, left in _LEFT_OVER.items():
            data[at:at + len(left)] = left
    data[16] = id_checksum(bytes(data))
    data[CHECKED:] = (zlib.crc32(data[:CHECKED]) & 0xFFFF).to_bytes(2, "little")
    return bytes(data)


def id_checksum(data: bytes) -> int:
    """Return the CRC-8 (polynomial 7, first value FFh) of the first 17 bytes but byte 16, the high byte of each word first."""
    crc = 0xFF
    for at in (*(n ^ 1 for n in range(16)), 17):
        for bit in range(7, -1, -1):
            crc = crc << 1 & 0xFF ^ (7 if (data[at] >> bit ^ crc >> 7) & 1 else 0)
    return crc
