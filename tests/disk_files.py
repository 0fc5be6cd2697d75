"""Builds VHD and VHDX files byte by byte, as their specifications say: small ones, and ones that nobody's program makes.

Sources: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0; [MS-VHDX].
Only the checksums are vmio's own code; files that QEMU made prove those.
"""

import struct
from uuid import UUID

from vmio.machine.media.vhd_wire import checksum
from vmio.machine.media.vhdx_wire import crc32c

SECTOR, MIB = 512, 1 << 20
NOWHERE = 0xFFFF_FFFF


# --- VHD ------------------------------------------------------------------------------------------

def seal_vhd(raw, at):
    """`raw` with its checksum at `at`."""
    return raw[:at] + struct.pack(">I", checksum(raw, at)) + raw[at + 4:]


def vhd_footer(size, kind, unique_id=bytes(16), header_at=SECTOR, version=0x10000):
    """512 bytes; `kind` 2 fixed, 3 dynamic, 4 differencing."""
    raw = struct.pack(">8sIIQI4sI4sQQHBBII16sB427x", b"conectix", 2, version, (1 << 64) - 1 if kind == 2 else header_at, 0,
                      b"win ", 0xA0000, b"Wi2k", size, size, 0, 0, 0, kind, 0, unique_id, 0)
    return seal_vhd(raw, 64)


def fixed_vhd(data, unique_id=bytes(16)):
    """A fixed VHD that holds `data`."""
    return data + vhd_footer(len(data), 2, unique_id)


def vhd(sectors, blocks, block_bytes=4096, unique_id=bytes(16), parent_id=None, parent_name="", locators=(), **change):
    """A dynamic VHD, or with `parent_id` a differencing one.

    `blocks` is {block: (set of its sectors that are in this file, bytes of the whole
    block)}.  `locators` are (platform code, bytes).  `change` overrides a header's
    entries, table_at, block_bytes or version, a footer's kind or size, or puts `table`
    {block: entry} over the entries.
    """
    count = -(-sectors * SECTOR // block_bytes)
    data_at = SECTOR + 1024
    paths, entries = b"", []
    for code, path in locators:
        entries.append(struct.pack(">4sIIIQ", code, -(-len(path) // SECTOR), len(path), 0, data_at + len(paths)))
        paths += path.ljust(-(-len(path) // SECTOR) * SECTOR, b"\0")
    table_at = data_at + len(paths)
    at = table_at + -(-4 * count // SECTOR) * SECTOR
    bitmap_bytes = -(-block_bytes // SECTOR // 8 // SECTOR) * SECTOR
    table, body = [NOWHERE] * count, b""
    for block, (own, data) in blocks.items():
        bits = bytearray(bitmap_bytes)
        for n in own:
            bits[n // 8] |= 0x80 >> n % 8
        table[block] = (at + len(body)) // SECTOR
        body += bytes(bits) + data.ljust(block_bytes, b"\0")
    for block, entry in change.get("table", {}).items():
        table[block] = entry
    header = struct.pack(">8sQQIIII16sII512s", b"cxsparse", (1 << 64) - 1, change.get("table_at", table_at),
                         change.get("version", 0x10000), change.get("entries", count), change.get("block_bytes", block_bytes),
                         0, parent_id or bytes(16), 0, 0, parent_name.encode("utf-16-be"))
    header = seal_vhd((header + b"".join(entries)).ljust(1024, b"\0"), 36)
    footer = vhd_footer(change.get("size", sectors * SECTOR), change.get("kind", 4 if parent_id else 3), unique_id)
    packed = struct.pack(f">{count}I", *table)
    return footer + header + paths + packed.ljust(at - table_at, b"\xff") + body + footer


# --- VHDX -----------------------------------------------------------------------------------------

BAT, METADATA = "2DC27766-F623-4200-9D64-115E9BFD4A08", "8B7CA206-4790-4B9A-B8FE-575F050F886E"
PARAMETERS, SIZE = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B", "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
DISK_ID, LOGICAL = "BECA12AB-B2E6-4523-93EF-C309E000C746", "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
PHYSICAL, LOCATOR = "CDA348C7-445D-4471-9CC9-E9885251C556", "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"
VHDX_PARENT = "B04AEFB7-D19E-4A81-B789-25B8E9445913"
NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, PRESENT, PARTIAL = 0, 1, 2, 3, 6, 7


def guid(text):
    """A GUID in its binary form."""
    return UUID(text).bytes_le


def seal_vhdx(raw):
    """`raw` with its CRC-32C in bytes 4 to 7."""
    raw = raw[:4] + bytes(4) + raw[8:]
    return raw[:4] + struct.pack("<I", crc32c(raw)) + raw[8:]


def vhdx_header(sequence, data_guid=bytes(16), log_guid=bytes(16), version=1):
    """4 KiB; the log is in the second MiB."""
    return seal_vhdx(struct.pack("<4sIQ16s16s16sHHIQ", b"head", 0, sequence, bytes(16), data_guid, log_guid, 0, version,
                                 MIB, MIB).ljust(4096, b"\0"))


def vhdx_regions(*entries):
    """A region table of (GUID, offset, length, required)."""
    raw = struct.pack("<4sIII", b"regi", 0, len(entries), 0)
    raw += b"".join(struct.pack("<16sQII", guid(name), at, length, required) for name, at, length, required in entries)
    return seal_vhdx(raw.ljust(64 << 10, b"\0"))


def vhdx_locator(kind=VHDX_PARENT, **pairs):
    """A parent locator's bytes."""
    raw, entries = b"", b""
    at = 20 + 12 * len(pairs)
    for key, value in pairs.items():
        key, value = key.encode("utf-16-le"), value.encode("utf-16-le")
        entries += struct.pack("<IIHH", at + len(raw), at + len(raw) + len(key), len(key), len(value))
        raw += key + value
    return guid(kind) + struct.pack("<HH", 0, len(pairs)) + entries + raw


def vhdx(size, blocks, block_bytes=MIB, sector=512, locator=None, data_guid=bytes(16), **change):
    """A VHDX file.  `blocks` is {block: (state, bytes)}, or {block: (PARTIAL, bytes, set of its logical sectors that are here)}.

    `change`: `items` {GUID: bytes or None}, `regions` (more entries), `headers` (both,
    as bytes), `first_regions` (bytes), `table` {index: entry}, `physical`, `has_parent`, `bat_bytes`.
    """
    has_parent = change.get("has_parent", locator is not None)
    items = {PARAMETERS: struct.pack("<II", block_bytes, 2 * has_parent), SIZE: struct.pack("<Q", size), DISK_ID: bytes(16),
             LOGICAL: struct.pack("<I", sector), PHYSICAL: struct.pack("<I", change.get("physical", sector))}
    if locator is not None:
        items[LOCATOR] = locator
    items.update(change.get("items", {}))
    items = {name: raw for name, raw in items.items() if raw is not None}
    table, raw = struct.pack("<8sHH20x", b"metadata", 0, len(items)), b""
    for name, item in items.items():
        table += struct.pack("<16sIIII", guid(name), (64 << 10) + len(raw), len(item), change.get("flags", {}).get(name, 4), 0)
        raw += item
    metadata = (table.ljust(64 << 10, b"\0") + raw).ljust(MIB, b"\0")

    ratio = (1 << 23) * sector // block_bytes
    count = -(-size // block_bytes)
    entries = [0] * (-(-count // ratio) * (ratio + 1))
    bat_bytes = change.get("bat_bytes", max(-(-8 * len(entries) // MIB), 1) * MIB)
    body, body_at = [], 3 * MIB + bat_bytes
    bitmaps = {}
    for block, (state, data, *own) in blocks.items():
        entry = state
        if data is not None:
            entry |= body_at + sum(map(len, body))
            body.append(data.ljust(block_bytes, b"\0"))
        entries[block + block // ratio] = entry
        for n in own[0] if own else ():
            bits = bitmaps.setdefault(block // ratio, bytearray(MIB))
            at = block % ratio * (block_bytes // sector) + n
            bits[at // 8] |= 1 << at % 8
    for chunk, bits in bitmaps.items():
        entries[chunk * (ratio + 1) + ratio] = PRESENT | body_at + sum(map(len, body))
        body.append(bytes(bits))
    for index, entry in change.get("table", {}).items():
        entries[index] = entry
    bat = struct.pack(f"<{len(entries)}Q", *entries).ljust(bat_bytes, b"\0")

    regions = vhdx_regions((BAT, 3 * MIB, bat_bytes, 1), (METADATA, 2 * MIB, MIB, 1), *change.get("regions", ()))
    first, second = change.get("headers", (vhdx_header(7, data_guid), vhdx_header(6, bytes(16))))
    parts = ("vhdxfile".encode() + "vmio".encode("utf-16-le"), first, second, change.get("first_regions", regions), regions)
    head = b"".join(part.ljust(64 << 10, b"\0") for part in parts).ljust(MIB, b"\0")
    return head + bytes(MIB) + metadata + bat + b"".join(body)


def pattern(block_bytes, seed):
    """A block whose every sector is different, and different from other seeds'."""
    return b"".join(struct.pack("<II", seed, n) * 64 for n in range(block_bytes // SECTOR))
