"""What a VHDX file says of itself: its current header, its regions, its metadata, each checked before it is used.

Source: [MS-VHDX], sections in brackets.
"""

import shlex
import struct
from typing import Any

from vmio.machine.contracts import DiskFile
from vmio.machine.media import vhdx_wire as w
from vmio.machine.media.formats import damaged

MAX_DISK = 64 << 40          # bytes [2.6.2.2]
BLOCKS = w.MIB, 256 * w.MIB   # smallest and largest block in bytes [2.6.2.1]
MAX_ITEM = w.MIB


def bad(file: DiskFile, what: str) -> ValueError:
    """Return the ValueError for a file that the format doesn't allow."""
    return damaged(file.name, f"VHDX: {what}")


def current_header(file: DiskFile) -> w.Header:
    """Return the valid header with the larger sequence number [2.2.2].  A log that was not replayed is refused [2.3.3]."""
    if file.size < w.MIB:
        raise bad(file, f"{file.size} bytes; its header section alone takes {w.MIB}")
    found = [w.Header.parse(file.read(at, w.HEADER_BYTES)) for at in w.HEADERS]
    valid = [header for header in found if header]
    if not valid:
        raise bad(file, "neither of its two headers has a right checksum")
    if len(valid) == 2 and valid[0].sequence == valid[1].sequence and valid[0] != valid[1]:
        raise bad(file, f"its two headers differ, and both have sequence number {valid[0].sequence}")
    header = max(valid, key=lambda header: header.sequence)
    if header.version != 1:
        raise bad(file, f"version {header.version}; version 1 is read")
    if header.log_guid != w.NO_LOG:
        raise ValueError(f"image {file.name}: VHDX: it was not closed in order, and changes wait in its log; have them "
                         f"written first: qemu-img check -r all {shlex.quote(file.name)}, or on Windows Mount-VHD, "
                         "then Dismount-VHD")
    return header


def find_regions(file: DiskFile) -> dict[bytes, w.Region]:
    """Return {guid: region} from the first valid one of two copies [2.2.3]; the BAT and the metadata are among them."""
    for at in w.REGION_TABLES:
        table = w.regions(file.read(at, w.REGION_TABLE_BYTES))
        if table is not None:
            break
    else:
        raise bad(file, "neither of its two region tables has a right checksum")
    regions = {region.guid: region for region in table}
    if len(regions) < len(table) or w.BAT not in regions or w.METADATA not in regions:
        raise bad(file, "its region table lacks the block allocation table or the metadata, or has a region twice")
    for region in table:
        if region.at % w.MIB or region.length % w.MIB or region.at < w.MIB or not region.length:
            raise bad(file, f"a region of {region.length} bytes at byte {region.at}; both are multiples of 1 MiB, "
                            "from 1 MiB on")
        if region.at + region.length > file.size:
            raise bad(file, f"a region of {region.length} bytes at byte {region.at}; the file has {file.size}")
        if region.required and region.guid not in (w.BAT, w.METADATA):
            raise bad(file, f"it has a region of unknown kind {w.UUID(bytes_le=region.guid)}, "
                            "and says that it can't be read without")
    return regions


class Metadata:
    """The known items of the metadata region [2.6.2]: sizes in bytes, `locator` (type, {key: value}) or None."""

    def __init__(self, file: DiskFile, region: w.Region) -> None:
        table = w.items(file.read(region.at, w.METADATA_TABLE_BYTES))
        if table is None:
            raise bad(file, "no metadata table where one should be")
        found = {}
        for item in table:
            name = None if item.is_user else w.ITEMS.get(item.guid)
            if name is None and item.required:
                raise bad(file, f"it has metadata of unknown kind {w.UUID(bytes_le=item.guid)}, "
                                "and says that it can't be read without")
            if name is None:
                continue
            if name in found or item.length > MAX_ITEM or item.length and (
                    item.at < w.METADATA_TABLE_BYTES or item.at + item.length > region.length):
                raise bad(file, f"its {name} is there twice or not where metadata is")
            found[name] = file.read(region.at + item.at, item.length)
        self.file, self._found = file, found
        parameters, = self._numbers("file parameters", "<Q")
        self.block_bytes, self.has_parent = parameters & 0xFFFF_FFFF, bool(parameters >> 33 & 1)
        self.disk_bytes, = self._numbers("virtual disk size", "<Q")
        self.sector_bytes, = self._numbers("logical sector size", "<I")
        self.physical_bytes, = self._numbers("physical sector size", "<I")
        self.locator: Any = w.locator(found["parent locator"]) if "parent locator" in found else None
        self._check()

    def _numbers(self, name: str, layout: str) -> tuple[int, ...]:
        raw = self._found.get(name, b"")
        if len(raw) < struct.calcsize(layout):
            raise bad(self.file, f"it does not say its {name}")
        return struct.unpack_from(layout, raw)

    def _check(self) -> None:
        low, high = BLOCKS
        size = self.block_bytes
        if not low <= size <= high or size & size - 1:
            raise bad(self.file, f"blocks of {size} bytes; a power of two from {low} to {high} is needed")
        if self.sector_bytes not in (512, 4096) or self.physical_bytes not in (512, 4096):
            raise bad(self.file, f"sectors of {self.sector_bytes} bytes, physical ones of {self.physical_bytes}; "
                                 "512 and 4096 are allowed")
        if not 0 < self.disk_bytes <= MAX_DISK or self.disk_bytes % self.sector_bytes:
            raise bad(self.file, f"a disk of {self.disk_bytes} bytes; a multiple of {self.sector_bytes} "
                                 f"up to {MAX_DISK} is needed")
        if self.has_parent and self.locator is None:
            raise bad(self.file, "a differencing disk that does not say where its parent is")
