"""What a guest asks a SCSI disk before it uses it, in Linux's order (drivers/scsi/scsi_scan.c, sd.c).

`command(name, cdb, length)` is a generator that gives so many bytes of data, or
raises `ScsiError`; any SCSI driver can lend its own.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from vmio.drivers.errors import DriverError
from vmio.hypervisor.contracts import Steps
from vmio.vmbus.storage import scsi_wire as wire

_SECTOR, _PAGE = 512, 4096

Ask: TypeAlias = Callable[[str, bytes, int], Steps[bytes]]     # (name, CDB, bytes wanted) -> what the disk says


class ScsiError(DriverError):
    """The disk, or the host for it, refused or failed.  `sense` is (key, ASC, ASCQ) or None."""

    def __init__(self, what: int | str, srb_status: int, sense: tuple[int, int, int] | None) -> None:
        self.srb_status, self.sense = srb_status, sense
        how = "sense {:X}/{:02X}/{:02X}".format(*sense) if sense else "no sense data"
        super().__init__(f"{what}: SRB status {srb_status:#x}, {how}")


class Identity(NamedTuple):
    """What the disk said of itself."""

    sectors: int
    sector_bytes: int
    vendor: str
    product: str
    revision: str
    serial: str
    write_cache: bool
    luns: tuple
    max_unmapped: int      # sectors that one UNMAP takes; 0: there is no UNMAP


def probe(command: Ask) -> Steps:
    """Ask everything (`yield from probe(command)`): an `Identity`.  `DriverError` if it is no disk that we can use."""
    inquiry = yield from command("INQUIRY", bytes((0x12, 0, 0, 0, 36, 0)), 36)
    if inquiry[0] != 0:
        raise DriverError(f"no disk at that LUN (peripheral {inquiry[0]:#x})")
    luns = yield from report_luns(command)
    pages = yield from _vital(command, 0x00)
    vital = {}
    for page in (0x80, 0x83, 0xB0, 0xB1, 0xB2):
        if page in pages:
            vital[page] = yield from _vital(command, page)
    yield from command("TEST UNIT READY", bytes(6), 0)
    sectors, size = yield from capacity(command)
    if size != _SECTOR:
        raise DriverError(f"blocks of {size} bytes; only {_SECTOR} are supported")
    yield from command("MODE SENSE", bytes((0x1A, 0, 0x3F, 0, 4, 0)), 4)
    length = (yield from command("MODE SENSE", bytes((0x1A, 0, 0x08, 0, 4, 0)), 4))[0] + 1
    mode = yield from command("MODE SENSE", bytes((0x1A, 0, 0x08, 0, min(length, 255), 0)), min(length, 255))
    caching = mode[4 + mode[3]:] if len(mode) > 3 else b""
    vendor, product, revision = (part.decode("ascii", "replace").strip() for part in wire.INQUIRY.parse(inquiry)[-3:])
    return Identity(sectors, size, vendor, product, revision, vital.get(0x80, b"").decode("ascii", "replace"),
                    len(caching) > 2 and caching[2] & 4 != 0, luns,
                    _max_unmapped(vital.get(0xB0, b""), vital.get(0xB2, b"")))


def report_luns(command: Ask) -> Steps[tuple[int, ...]]:
    """Return the units that there are; a generator."""
    luns = yield from command("REPORT LUNS", wire.CDB_REPORT_LUNS.pack(allocation=_PAGE), _PAGE)
    found = min(int.from_bytes(luns[:4], "big"), _PAGE - 8) // 8
    return tuple(luns[9 + 8 * n] for n in range(found))


def _max_unmapped(limits: bytes, provisioning: bytes) -> int:
    """Sectors an UNMAP by pages B0h and B2h (SBC-3): the limit, if LBPU is set and a block descriptor is allowed."""
    allowed = len(provisioning) > 1 and provisioning[1] & 0x80 and len(limits) >= 24 and any(limits[20:24])
    return int.from_bytes(limits[16:20], "big") if allowed else 0


def _vital(command: Ask, page: int) -> Steps[bytes]:
    """The body of a vital product data page."""
    data = yield from command(f"INQUIRY page {page:02X}", bytes((0x12, 1, page, 0, 255, 0)), 255)
    return data[4:4 + int.from_bytes(data[2:4], "big")]


def capacity(command: Ask) -> Steps[tuple[int, int]]:
    """Return (sectors, bytes a sector): READ CAPACITY(16), or (10) of an older disk; a generator."""
    try:
        data = yield from command("READ CAPACITY(16)", wire.CDB_SERVICE_IN.pack(allocation=32), 32)
        last, size = wire.CAPACITY16.parse(data)[:2]
    except ScsiError:
        data = yield from command("READ CAPACITY(10)", bytes((0x25,)).ljust(10, b"\0"), 8)
        last, size = wire.CAPACITY10.parse(data)
        if last == 0xFFFF_FFFF:       # SBC-3, READ CAPACITY(10): larger than 32 bits can say
            raise DriverError("a disk of more than 2^32 - 1 sectors that doesn't answer READ CAPACITY(16)") from None
    return last + 1, size
