"""The structures of a VHD file.

Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0 (2006); all
numbers are big-endian.
"""

import struct
from typing import NamedTuple

from vmio.machine.media.medium import SECTOR

FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
NOWHERE = 0xFFFF_FFFF              # a table entry of a block that isn't in the file
VERSION = 0x0001_0000
CHECKSUM = 64                      # where a footer has its checksum
HEADER_BYTES, HEADER_CHECKSUM = 1024, 36
_FOOTER = struct.Struct(">8sIIQI4sI4sQQIII16sB")
_HEADER = struct.Struct(">8sQQIIII16sII512s")
_LOCATOR = struct.Struct(">4sIIIQ")


class Footer(NamedTuple):
    """"Hard Disk Footer Format": `size` of the disk in bytes, where the header is, `kind`, `unique_id`."""

    version: int
    header_at: int
    size: int
    kind: int
    unique_id: bytes
    length: int           # bytes that it takes in the file: 512, or 511 of before 2004

    @classmethod
    def parse(cls, data: bytes) -> "Footer | None":
        """Return the footer at the end of `data`, its last 512 bytes at most; None if there is none or its checksum is wrong."""
        for length in (SECTOR, SECTOR - 1):
            raw = data[len(data) - length:].ljust(SECTOR, b"\0") if len(data) >= length else b""
            if raw.startswith(b"conectix") and struct.unpack_from(">I", raw, CHECKSUM)[0] == checksum(raw, CHECKSUM):
                _, _, version, header_at, _, _, _, _, _, size, _, kind, _, unique_id, _ = _FOOTER.unpack_from(raw)
                return cls(version, header_at, size, kind, unique_id, length)
        return None


class Header(NamedTuple):
    """"Dynamic Disk Header Format": `table_at` the BAT, its `entries`, the blocks' size, and who the parent is."""

    table_at: int
    version: int
    entries: int
    block_bytes: int
    parent_id: bytes
    parent_name: bytes    # UTF-16
    locators: list        # (platform code, bytes of data, where they are)

    @classmethod
    def parse(cls, raw: bytes) -> "Header | None":
        """Return the header in 1,024 bytes; None if it is none or its checksum is wrong."""
        cookie, _, table_at, version, entries, block_bytes, found, parent_id, _, _, name = _HEADER.unpack_from(raw)
        if cookie != b"cxsparse" or found != checksum(raw, HEADER_CHECKSUM):
            return None
        locators = [(code, length, at) for code, _, length, _, at in
                    (_LOCATOR.unpack_from(raw, _HEADER.size + n * _LOCATOR.size) for n in range(8)) if any(code)]
        return cls(table_at, version, entries, block_bytes, parent_id, name, locators)


def checksum(raw: bytes, at: int) -> int:
    """Return the one's complement of the sum of all bytes but the checksum's own four at `at`."""
    return ~(sum(raw) - sum(raw[at:at + 4])) & 0xFFFF_FFFF
