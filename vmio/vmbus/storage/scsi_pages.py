"""What a SCSI disk tells of itself: INQUIRY data, vital product data, mode pages, the LUN list.  Pure functions.

Sources: SPC-4, "Standard INQUIRY data", "Vital product data parameters", "REPORT
LUNS"; SBC-3, "Mode parameters", "Block Limits VPD page" and its neighbours.
"""

import struct
import zlib

from vmio.vmbus.storage import scsi_wire as wire

SPC_4 = 6
VPD_PAGES = (0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2)
MOST_UNMAPPED = 65_536   # sectors an UNMAP: what one NVMe WRITE ZEROES can do
MOST_SAME = 16_384       # sectors a WRITE SAME: 8 MiB, as VHDMP has it
WCE = 0x04               # caching page, byte 2: writes are cached, so flushes matter
NO_DEVICE = 0x7F   # peripheral qualifier 3, type 1Fh: the bus could have a unit here, and has none
_SECTOR = 512


def standard_inquiry(target):
    """36 bytes: a disk, SPC-4, command queueing, and its names."""
    return wire.INQUIRY.pack(version=SPC_4, flags=b"\0\0\2", vendor=target.vendor, product=target.product, revision=target.revision)


def absent_inquiry():
    """What INQUIRY says where no unit is."""
    return wire.INQUIRY.pack(peripheral=NO_DEVICE, version=SPC_4)


def vital_product_data(target, page):
    """VPD page `page`, or None if there is none."""
    build = {0x00: lambda _: bytes(VPD_PAGES), 0x80: lambda t: t.serial, 0x83: _identification,
             0xB0: _block_limits, 0xB1: _characteristics, 0xB2: _provisioning}.get(page)
    if build is None:
        return None
    body = build(target)
    return struct.pack(">BBH", 0, page, len(body)) + body


def _identification(target):
    """83h: a T10 vendor designator with the serial number, and a name that is unique here (NAA 3, locally assigned)."""
    t10 = target.vendor + target.product + target.serial
    unique = (3 << 60 | zlib.crc32(t10) << 28 | target.sectors & 0xFFFFFFF).to_bytes(8, "big")
    return bytes((0x02, 0x01, 0, len(t10))) + t10 + bytes((0x01, 0x03, 0, 8)) + unique


def _block_limits(target):
    """B0h: longest transfer, and one UNMAP descriptor at a time if there is UNMAP."""
    most = target.max_transfer // _SECTOR
    unmap_sectors, descriptors = (MOST_UNMAPPED, 1) if target.unmap else (0, 0)
    return wire.BLOCK_LIMITS.pack(
        granularity=8, most_blocks=most, best_blocks=most, most_unmapped=unmap_sectors, most_descriptors=descriptors,
        unmap_granularity=8 if target.unmap else 0, most_same=MOST_SAME)


def _characteristics(target):
    """B1h: nothing rotates."""
    return struct.pack(">H58x", 1)


def _provisioning(target):
    """B2h: UNMAP or not (LBPU), after which zeros are read (LBPRZ); provisioning type 2, thin."""
    return struct.pack("BBBB", 0, 0x84 if target.unmap else 0, 2 if target.unmap else 0, 0)


def lun_list(luns):
    """REPORT LUNS' answer: length, and eight bytes a unit with its number in the second."""
    return struct.pack(">I4x", 8 * len(luns)) + b"".join(struct.pack(">BB6x", 0, lun) for lun in luns)


def report_luns(cdb, luns):
    """REPORT LUNS' data for a target with these units, or None if a field of the CDB can't be; well-known units are none."""
    allocation = int.from_bytes(cdb[6:10], "big")
    if allocation < 16 or cdb[2] not in (0, 1, 2):
        return None
    return lun_list(() if cdb[2] == 1 else luns)[:allocation]


def mode_pages(page, changeable=False, write_cache=True):
    """Mode page 08h (caching), 0Ah (control) or 3Fh (both), or None; `changeable`: a mask, in which WCE is all."""
    caching = bytes((0x08, 0x12, WCE if write_cache else 0)) + bytes(17)
    control = bytes((0x0A, 0x0A, 0x02, 0x10)) + bytes(8)   # GLTSD; any order of commands
    found = {0x08: [caching], 0x0A: [control], 0x3F: [caching, control]}.get(page)
    if found is None:
        return None
    if changeable:
        found = [p[:2] + bytes((WCE if p is caching else 0,)) + bytes(len(p) - 3) for p in found]
    return b"".join(found)


def mode_parameters(data, long, sectors):
    """Is a MODE SELECT's list whole, and does it change nothing but WCE?  Two truth values, and WCE or None.

    A header of 4 or 8 bytes (`long`), a block descriptor or none, mode pages (SPC-4, "Mode parameters").
    """
    head = 8 if long else 4
    if len(data) < head:
        return False, False, None
    block = int.from_bytes(data[6:8], "big") if long else data[3]
    at = head + block
    if at > len(data):
        return False, False, None
    if block not in (0, 8) or long and data[4] & 1:      # LONGLBA
        return True, False, None
    if block:
        number, size = struct.unpack(">II", data[head:at])
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


def block_descriptor(sectors):
    """The short one: number of blocks (all ones if it doesn't fit) and their size."""
    return struct.pack(">II", min(sectors, 0xFFFFFFFF), _SECTOR)
