"""The structures of a VHDX file.

Source: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format"; numbers in
brackets are its sections.  All numbers are little-endian, GUIDs in their binary form.
"""

import struct
from typing import NamedTuple
from uuid import UUID

from vmio.machine.contracts import Buffer

KIB, MIB = 1 << 10, 1 << 20
HEADERS, HEADER_BYTES = (64 * KIB, 128 * KIB), 4 * KIB
REGION_TABLES, REGION_TABLE_BYTES = (192 * KIB, 256 * KIB), 64 * KIB
METADATA_TABLE_BYTES = 64 * KIB
MAX_ENTRIES = 2047
NO_LOG = bytes(16)

BAT, METADATA = (UUID(text).bytes_le for text in (
    "2DC27766-F623-4200-9D64-115E9BFD4A08", "8B7CA206-4790-4B9A-B8FE-575F050F886E"))
ITEMS = {UUID(text).bytes_le: name for text, name in (
    ("CAA16737-FA36-4D43-B3B6-33F0AA44E76B", "file parameters"),
    ("2FA54224-CD1B-4876-B211-5DBED83BF4B8", "virtual disk size"),
    ("BECA12AB-B2E6-4523-93EF-C309E000C746", "virtual disk id"),
    ("8141BF1D-A96F-4709-BA47-F233A8FAAB5F", "logical sector size"),
    ("CDA348C7-445D-4471-9CC9-E9885251C556", "physical sector size"),
    ("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C", "parent locator"))}
VHDX_PARENT = UUID("B04AEFB7-D19E-4A81-B789-25B8E9445913").bytes_le

# [2.5.1.1], [2.5.1.2]: states of a block, in the low three bits of its table entry
NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, FULLY_PRESENT, PARTIALLY_PRESENT = 0, 1, 2, 3, 6, 7

HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")
REGIONS, REGION = struct.Struct("<4sIII"), struct.Struct("<16sQII")
TABLE, ITEM = struct.Struct("<8sHH20x"), struct.Struct("<16sIIII")
LOCATOR, PAIR = struct.Struct("<16sHH"), struct.Struct("<IIHH")


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc_table()


def crc32c(data: Buffer) -> int:
    """Return the CRC-32C (Castagnoli) of `data`."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFF_FFFF


def sealed(raw: bytes) -> bool:
    """Return whether a structure's checksum, its bytes 4 to 7, is that of the whole with zeros there."""
    return struct.unpack_from("<I", raw, 4)[0] == crc32c(raw[:4] + bytes(4) + raw[8:])


class Header(NamedTuple):
    """[2.2.2]: what the current state of the file is."""

    sequence: int
    data_write_guid: bytes
    log_guid: bytes
    log_version: int
    version: int
    log_length: int
    log_at: int

    @classmethod
    def parse(cls, raw: bytes) -> "Header | None":
        """Return the header in 4 KiB, or None if it isn't valid."""
        signature, _, sequence, _, data_guid, log_guid, log_version, version, length, at = HEADER.unpack_from(raw)
        if signature != b"head" or not sealed(raw):
            return None
        return cls(sequence, data_guid, log_guid, log_version, version, length, at)


class Region(NamedTuple):
    """[2.2.3.2]"""

    guid: bytes
    at: int
    length: int
    required: bool


def regions(raw: bytes) -> list[Region] | None:
    """Return the entries of a region table [2.2.3] in 64 KiB, or None if it isn't valid."""
    signature, _, count, _ = REGIONS.unpack_from(raw)
    if signature != b"regi" or count > MAX_ENTRIES or not sealed(raw):
        return None
    entries = (REGION.unpack_from(raw, REGIONS.size + n * REGION.size) for n in range(count))
    return [Region(guid, at, length, bool(required & 1)) for guid, at, length, required in entries]


class Item(NamedTuple):
    """[2.6.1.2]: a metadata item's place within the region."""

    guid: bytes
    at: int
    length: int
    is_user: bool
    required: bool


def items(raw: bytes) -> list[Item] | None:
    """Return the entries of a metadata table [2.6.1] in 64 KiB, or None if it isn't valid."""
    signature, _, count = TABLE.unpack_from(raw)
    if signature != b"metadata" or count > MAX_ENTRIES:
        return None
    entries = (ITEM.unpack_from(raw, TABLE.size + n * ITEM.size) for n in range(count))
    return [Item(guid, at, length, bool(flags & 1), bool(flags & 4)) for guid, at, length, flags, _ in entries]


def locator(raw: bytes) -> tuple[bytes, dict[str, str]] | None:
    """Return (type's GUID, {key: value}) of a parent locator [2.6.2.6], or None if it isn't valid."""
    if len(raw) < LOCATOR.size:
        return None
    guid, _, count = LOCATOR.unpack_from(raw)
    if LOCATOR.size + count * PAIR.size > len(raw):
        return None
    pairs = {}
    for n in range(count):
        key_at, value_at, key_length, value_length = PAIR.unpack_from(raw, LOCATOR.size + n * PAIR.size)
        if key_at + key_length > len(raw) or value_at + value_length > len(raw):
            return None
        key, value = raw[key_at:key_at + key_length], raw[value_at:value_at + value_length]
        pairs[key.decode("utf-16-le", "replace")] = value.decode("utf-16-le", "replace")
    return guid, pairs
