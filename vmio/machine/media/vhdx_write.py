"""Writes VHDX files: a whole disk as a dynamic one, and a layer as a differencing one over a parent's file.

    write_disk("base.vhdx", image)
    write_layer("child.vhdx", layer, "base.vhdx")

A file is written whole or not at all, and what it is known by (DataWriteGuid) is made from its content: the same content is the same
file, and a parent that was changed is another one.  Source: [MS-VHDX], sections in brackets.
"""

import hashlib
import ntpath
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from vmio.machine.contracts import FileName
from vmio.machine.files import Output
from vmio.machine.media import vhdx_wire as w
from vmio.machine.media.chain import Layer
from vmio.machine.media.hostfile import HostFile
from vmio.machine.media.medium import SECTOR, Medium
from vmio.machine.media.vhdx import CHUNK_SECTORS, Vhdx

BLOCK = 2 * w.MIB              # bytes; what Windows takes for a differencing disk
PER_BLOCK = BLOCK // SECTOR
RATIO = CHUNK_SECTORS * SECTOR // BLOCK    # blocks of a chunk, which one bitmap tells of [2.4]
LOG_AT, METADATA_AT, BAT_AT = w.MIB, 2 * w.MIB, 3 * w.MIB
ITEM_IDS = {name: guid for guid, name in w.ITEMS.items()}


class _Block(NamedTuple):
    """A block of the disk that the file has, and which of its sectors: None for all."""

    number: int
    data: bytes
    have: list[int] | None = None


def write_disk(path: FileName, disk: Medium, new: bool = False) -> UUID:
    """Write a whole disk, as it is now, as a dynamic VHDX file; returns its DataWriteGuid.  `new`, ValueError, OSError as `files.Output`."""
    def blocks() -> Iterator[_Block]:
        done = -1
        for start, end in disk.extents():
            for number in range(max(start // PER_BLOCK, done + 1), -(-end // PER_BLOCK)):
                first = number * PER_BLOCK
                data = bytes(disk.read(first, min(PER_BLOCK, disk.sectors - first))).ljust(BLOCK, b"\0")
                done = number
                if data.count(0) != BLOCK:
                    yield _Block(number, data)
    return _write(path, disk.sectors, blocks, None, disk.paths, new)


def write_layer(path: FileName, layer: Layer, parent: str, new: bool = False) -> UUID:
    """Write a layer as a differencing VHDX file over the one at `parent`; returns its DataWriteGuid.

    ValueError if that is no VHDX file, and if the layer has sectors beyond its end.
    """
    file = HostFile.open(parent)
    with Vhdx(file) as below:
        sectors, guid = below.sectors, UUID(bytes_le=below.header.data_write_guid)
        paths = below.paths
    if any(lba >= sectors for lba in layer.own):
        raise ValueError(f"layer {layer.name}: sector {max(layer.own)} was written; {parent} has {sectors}")

    def blocks() -> Iterator[_Block]:
        numbers = {lba // PER_BLOCK for lba in layer.own}
        for start, end in zip(layer.zeroed.starts, layer.zeroed.ends):
            numbers.update(range(start // PER_BLOCK, -(-end // PER_BLOCK)))
        for number in sorted(numbers):
            found: list[bytes | None] = [None] * PER_BLOCK
            asked, seen = layer.asked, layer.found
            left = layer.look(number * PER_BLOCK, list(range(PER_BLOCK)), found)
            layer.asked, layer.found = asked, seen       # it is no guest who looks
            own = [int(each is not None) for each in found]
            yield _Block(number, b"".join(each or bytes(SECTOR) for each in found), own if left else None)
    where = ntpath.join(".", os.path.relpath(parent, os.path.dirname(os.path.abspath(os.fsdecode(path)))).replace(os.sep, "\\"))
    return _write(path, sectors, blocks, {"parent_linkage": f"{{{guid}}}", "relative_path": where}, paths, new)


def _write(path: FileName, sectors: int, blocks: Callable[[], Iterable[_Block]], parent: dict[str, str] | None,
           paths: tuple[str, ...], new: bool) -> UUID:
    """Lay out and write a file: header section, log, metadata, block allocation table, then bitmaps and blocks [2.1]."""
    known = hashlib.sha256(f"{sectors} {parent and parent['parent_linkage']}".encode())
    placed, bitmaps = [], dict[int, bytearray]()
    for number, data, have in blocks():
        known.update(struct.pack("<Q", number) + data)
        placed.append((number, have is not None))
        if have is not None:
            known.update(bytes(have))
            bitmap = bitmaps.setdefault(number // RATIO, bytearray(w.MIB))
            at = number % RATIO * PER_BLOCK // 8
            bitmap[at:at + PER_BLOCK // 8] = bytes(sum(bit << n for n, bit in enumerate(have[byte:byte + 8])) for byte in range(0, PER_BLOCK, 8))
    guid = uuid5(NAMESPACE_URL, f"vhdx:{known.hexdigest()}")
    count = -(-sectors * SECTOR // BLOCK)
    entries = [0] * (-(-count // RATIO) * (RATIO + 1) if parent else count + (count - 1) // RATIO)
    bat_bytes = max(-(-8 * len(entries) // w.MIB), 1) * w.MIB
    at = BAT_AT + bat_bytes
    for chunk in sorted(bitmaps):
        entries[chunk * (RATIO + 1) + RATIO] = w.FULLY_PRESENT | at
        at += w.MIB
    for number, partly in placed:
        entries[number + number // RATIO] = (w.PARTIALLY_PRESENT if partly else w.FULLY_PRESENT) | at
        at += BLOCK
    with Output(path, {f"layer {n}": each for n, each in enumerate(paths)}, new) as out:
        out.write(_head(guid, bat_bytes))
        out.write(bytes(w.MIB))                                         # the log, which holds nothing
        out.write(_metadata(sectors * SECTOR, guid, parent))
        out.write(struct.pack(f"<{len(entries)}Q", *entries).ljust(bat_bytes, b"\0"))
        for chunk in sorted(bitmaps):
            out.write(bytes(bitmaps[chunk]))
        for _, data, _ in blocks():
            out.write(data)
    return guid


def _sealed(raw: bytes, length: int) -> bytes:
    """A structure of so many bytes with its checksum, bytes 4 to 7 [2.2.2], [2.2.3]."""
    raw = raw.ljust(length, b"\0")
    return raw[:4] + struct.pack("<I", w.crc32c(raw)) + raw[8:]


def _head(guid: UUID, bat_bytes: int) -> bytes:
    """The header section [2.2]: who wrote it, two headers, two region tables."""
    headers = [_sealed(w.HEADER.pack(b"head", 0, sequence, guid.bytes_le, guid.bytes_le, w.NO_LOG, 0, 1, w.MIB, LOG_AT), w.HEADER_BYTES)
               for sequence in (1, 2)]
    regions = _sealed(w.REGIONS.pack(b"regi", 0, 2, 0) + w.REGION.pack(w.BAT, BAT_AT, bat_bytes, 1)
                      + w.REGION.pack(w.METADATA, METADATA_AT, w.MIB, 1), w.REGION_TABLE_BYTES)
    parts = (b"vhdxfile" + "vmio".encode("utf-16-le"), *headers, regions, regions)
    return b"".join(part.ljust(64 * w.KIB, b"\0") for part in parts).ljust(w.MIB, b"\0")


def _metadata(size: int, guid: UUID, parent: dict[str, str] | None) -> bytes:
    """The metadata region [2.6]: a table, then its items."""
    items = {"file parameters": struct.pack("<II", BLOCK, 2 * (parent is not None)), "virtual disk size": struct.pack("<Q", size),
             "virtual disk id": uuid5(guid, "disk").bytes_le, "logical sector size": struct.pack("<I", SECTOR),
             "physical sector size": struct.pack("<I", SECTOR)}
    if parent is not None:
        items["parent locator"] = _locator(parent)
    table, data = w.TABLE.pack(b"metadata", 0, len(items)), b""
    for name, item in items.items():
        flags = 4 if name in ("file parameters", "parent locator") else 6          # required; of the disk [2.6.1.2]
        table += w.ITEM.pack(ITEM_IDS[name], w.METADATA_TABLE_BYTES + len(data), len(item), flags, 0)
        data += item
    return (table.ljust(w.METADATA_TABLE_BYTES, b"\0") + data).ljust(w.MIB, b"\0")


def _locator(pairs: dict[str, str]) -> bytes:
    """A parent locator [2.6.2.6]: keys and values in UTF-16."""
    table, text, at = b"", b"", w.LOCATOR.size + len(pairs) * w.PAIR.size
    for key, value in ((key.encode("utf-16-le"), value.encode("utf-16-le")) for key, value in pairs.items()):
        table += w.PAIR.pack(at + len(text), at + len(text) + len(key), len(key), len(value))
        text += key + value
    return w.LOCATOR.pack(w.VHDX_PARENT, 0, len(pairs)) + table + text
