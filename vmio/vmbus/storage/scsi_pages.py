"""What a SCSI disk tells of itself: INQUIRY data, vital product data, mode pages, the LUN list.  Pure functions.

Sources: SPC-4, "Standard INQUIRY data", "Vital product data parameters", "REPORT
LUNS"; SBC-3, "Mode parameters", "Block Limits VPD page" and its neighbours.
"""

import zlib
from collections.abc import Sequence
from typing import Protocol

from vmio.vmbus.storage import scsi_wire as wire

SPC_4 = 6
VPD_PAGES = (0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2)
MAX_UNMAPPED = 65_536   # sectors an UNMAP: what one NVMe WRITE ZEROES can do
MAX_SAME = 16_384       # sectors a WRITE SAME: 8 MiB, as VHDMP has it
WCE = 0x04               # caching page, byte 2: writes are cached, so flushes matter
NO_DEVICE = 0x7F   # peripheral qualifier 3, type 1Fh: the bus could have a unit here, and has none
_SECTOR = 512


class Unit(Protocol):
    """What a disk says of itself; see `ScsiTarget`."""

    sectors: int
    first_sectors: int
    vendor: bytes
    product: bytes
    revision: bytes
    serial: bytes
    unmap: bool
    max_transfer: int


def standard_inquiry(target: Unit) -> bytes:
    """36 bytes: a disk, SPC-4, command queueing, and its names."""
    return wire.INQUIRY.pack(version=SPC_4, flags=b"\0\0\2", vendor=target.vendor, product=target.product, revision=target.revision)


def absent_inquiry() -> bytes:
    """Return what INQUIRY says where no unit is."""
    return wire.INQUIRY.pack(peripheral=NO_DEVICE, version=SPC_4)


def vital_product_data(target: Unit, page: int) -> bytes | None:
    """VPD page `page`, or None if there is none."""
    build = {0x00: lambda _: bytes(VPD_PAGES), 0x80: lambda t: t.serial, 0x83: _identification,
             0xB0: _block_limits, 0xB1: _characteristics, 0xB2: _provisioning}.get(page)
    if build is None:
        return None
    body = build(target)
    return wire.VPD_HEADER.pack(page=page, length=len(body)) + body


def _identification(target: Unit) -> bytes:
    """83h: a T10 vendor designator with the serial number, and a name that is unique here (NAA 3, locally assigned)."""
    t10 = target.vendor + target.product + target.serial
    unique = (3 << 60 | zlib.crc32(t10) << 28 | target.first_sectors & 0xFFFFFFF).to_bytes(8, "big")
    return bytes((0x02, 0x01, 0, len(t10))) + t10 + bytes((0x01, 0x03, 0, 8)) + unique


def _block_limits(target: Unit) -> bytes:
    """B0h: longest transfer, and one UNMAP descriptor at a time if there is UNMAP."""
    most = target.max_transfer // _SECTOR
    unmap_sectors, descriptors = (MAX_UNMAPPED, 1) if target.unmap else (0, 0)
    return wire.BLOCK_LIMITS.pack(
        granularity=8, max_blocks=most, best_blocks=most, max_unmapped=unmap_sectors, max_descriptors=descriptors,
        unmap_granularity=8 if target.unmap else 0, max_same=MAX_SAME)


def _characteristics(target: Unit) -> bytes:
    """B1h: nothing rotates."""
    return wire.CHARACTERISTICS.pack(rotation=1)


def _provisioning(target: Unit) -> bytes:
    """B2h: UNMAP or not (LBPU), after which zeros are read (LBPRZ); provisioning type 2, thin."""
    return wire.PROVISIONING.pack(flags=0x84, type=2) if target.unmap else wire.PROVISIONING.pack()


def lun_list(luns: Sequence[int]) -> bytes:
    """REPORT LUNS' answer: length, and eight bytes a unit with its number in the second."""
    return wire.LUN_LIST.pack(length=wire.LUN.size * len(luns)) + b"".join(wire.LUN.pack(number=lun) for lun in luns)


def report_luns(cdb: bytes, luns: Sequence[int]) -> bytes | None:
    """REPORT LUNS' data for a target with these units, or None if a field of the CDB can't be; well-known units are none."""
    allocation = int.from_bytes(cdb[6:10], "big")
    if allocation < 16 or cdb[2] not in (0, 1, 2):
        return None
    return lun_list(() if cdb[2] == 1 else luns)[:allocation]


def mode_pages(page: int, changeable: bool = False, write_cache: bool = True) -> bytes | None:
    """Mode page 08h (caching), 0Ah (control) or 3Fh (both), or None; `changeable`: a mask, in which WCE is all."""
    caching = bytes((0x08, 0x12, WCE if write_cache else 0)) + bytes(17)
    control = bytes((0x0A, 0x0A, 0x02, 0x10)) + bytes(8)   # GLTSD; any order of commands
    found = {0x08: [caching], 0x0A: [control], 0x3F: [caching, control]}.get(page)
    if found is None:
        return None
    if changeable:
        found = [p[:2] + bytes((WCE if p is caching else 0,)) + bytes(len(p) - 3) for p in found]
    return b"".join(found)


def mode_parameters(data: bytes, long: bool, sectors: int) -> tuple[bool, bool, bool | None]:
    """Is a MODE SELECT's list whole, and does it change nothing but WCE?  Two truth values, and WCE or None.

    A header of 4 or 8 bytes (`long`), a block descriptor or none, mode pages (SPC-4, "Mode parameters").
    """
    header = wire.MODE_HEADER10 if long else wire.MODE_HEADER6
    if len(data) < header.size:
        return False, False, None
    head = header.parse(data)
    at = header.size + head.descriptors
    if at > len(data):
        return False, False, None
    if head.descriptors not in (0, wire.BLOCK_DESCRIPTOR.size) or long and head.long & 1:
        return True, False, None
    if head.descriptors:
        number, size = wire.BLOCK_DESCRIPTOR.parse(data, header.size)
        if number not in (0, min(sectors, 0xFFFFFFFF)) or size & 0xFFFFFF != _SECTOR:
            return True, False, None
    write_cache = None
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            return False, False, None
        page = data[at:at + 2 + data[at + 1]]
        cached = len(page) > 2 and page[2] & WCE != 0
        if page[0] not in (0x08, 0x0A) or page != mode_pages(page[0], write_cache=cached):
            return True, False, None
        if page[0] == 0x08:
            write_cache = cached
        at += len(page)
    return True, True, write_cache


def block_descriptor(sectors: int) -> bytes:
    """Return the short block descriptor: number of blocks (all ones if it doesn't fit) and their size."""
    return wire.BLOCK_DESCRIPTOR.pack(blocks=min(sectors, 0xFFFFFFFF), block_bytes=_SECTOR)
