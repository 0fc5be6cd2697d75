"""A SCSI disk: takes CDBs (command descriptor blocks), gives answers.  It knows no ring, no guest, no medium.

    target = ScsiTarget(sectors=2048)
    target.execute(b"\\x28" + ...)     -> Media("read", lba, sectors): somebody else moves the data
    target.execute(b"\\x25" + ...)     -> Answer(GOOD, data to return, b"")
    target.execute(b"\\xFF" + ...)     -> Answer(CHECK_CONDITION, b"", sense)

A CDB is private bytes, whatever a guest put into them: all 2^128 give one of
these.  Sources: SPC-4 (commands of all devices, sense data, VPD pages), SBC-3
(disks); the pages are those for which Linux asks (drivers/scsi/sd.c, scsi_scan.c).
"""

from typing import NamedTuple, TypeAlias

from vmio.vmbus.storage import scsi_pages as pages
from vmio.vmbus.storage import scsi_wire as wire

GOOD, CHECK_CONDITION = 0, 2
SECTOR = 512
BESIDE_ATTENTION = frozenset((0x03, 0x12, 0xA0))        # REQUEST SENSE, INQUIRY, REPORT LUNS (SPC-4, "Unit attention condition")
SERIAL = "vmio0"         # of a disk that is told no other
WITH_DATA = frozenset((0x15, 0x41, 0x42, 0x55, 0x93))   # commands whose data `execute` must see

# Sense: (key, ASC, ASCQ)
NOT_READY_STOPPED = 0x2, 0x04, 0x02       # logical unit not ready, initializing command required
MEDIUM_READ, MEDIUM_WRITE = (0x3, 0x11, 0x00), (0x3, 0x0C, 0x00)
HARDWARE = 0x4, 0x44, 0x00                # internal target failure
INVALID_OPCODE = 0x5, 0x20, 0x00
LBA_OUT_OF_RANGE = 0x5, 0x21, 0x00
INVALID_FIELD_IN_CDB = 0x5, 0x24, 0x00
INVALID_FIELD_IN_PARAMETERS = 0x5, 0x26, 0x00
SAVING_NOT_SUPPORTED = 0x5, 0x39, 0x00
PARAMETER_LENGTH = 0x5, 0x1A, 0x00
WRITE_PROTECTED = 0x7, 0x27, 0x00
SPACE_ALLOCATION_FAILED = 0x7, 0x27, 0x07 # a thin-provisioned disk has no room for what is written (SBC-3, "Thin provisioning")
CAPACITY_CHANGED = 0x6, 0x2A, 0x09        # a unit attention: it is told once, by a command that is not carried out
NO_SENSE = 0, 0, 0


class Answer(NamedTuple):
    """The command is over: SCSI status, data for the guest (not yet cut to its buffer), sense data."""

    status: int
    data: bytes = b""
    sense: bytes = b""


class Media(NamedTuple):
    """The medium has work: `kind` "read", "write", "flush", "zero", or "same" (each sector becomes `data`).

    `fua`: to or from the medium itself, not just its cache.
    """

    kind: str
    lba: int
    sectors: int
    fua: bool = False
    data: bytes = b""


Sense: TypeAlias = tuple[int, int, int]     # key, ASC, ASCQ


class _Refused(Exception):
    """CHECK CONDITION with this sense."""

    def __init__(self, sense: Sense) -> None:
        super().__init__(sense)
        self.sense = sense


def sense_data(sense: Sense, information: int | None = None) -> bytes:
    """Fixed-format sense data, 18 bytes (SPC-4, "Fixed format sense data").  `information` is an LBA."""
    key, asc, ascq = sense
    valid = information is not None and information < 1 << 32
    return wire.SENSE.pack(response=0x70 | (0x80 if valid else 0), key=key, information=information if valid else 0,
                           asc=asc, ascq=ascq)


def failure(sense: Sense, information: int | None = None) -> Answer:
    """Return an `Answer` that says what went wrong."""
    return Answer(CHECK_CONDITION, b"", sense_data(sense, information))


class ScsiTarget:
    """A disk of `sectors` x 512 bytes.  `luns` is what REPORT LUNS lists; `max_transfer` in bytes.

    `unmap` False hides everything about UNMAP; with it, unmapped sectors read as zeros.
    """

    def __init__(self, sectors: int, vendor: str = "Msft", product: str = "Virtual Disk", revision: str = "1.0",
                 serial: str = SERIAL, unmap: bool = False, read_only: bool = False, max_transfer: int = 0x40000) -> None:
        if not 0 < sectors < 1 << 64:
            raise ValueError(f"SCSI disk: {sectors} sectors; 1 to 2^64 - 1")
        for name, text, most in (("vendor", vendor, 8), ("product", product, 16), ("revision", revision, 4)):
            if len(text) > most or not text.isascii():
                raise ValueError(f"SCSI disk: {name} {text!r}; up to {most} ASCII characters")
        self.sectors, self.unmap, self.read_only, self.max_transfer = sectors, unmap, read_only, max_transfer
        self.first_sectors = sectors          # part of its name, which stays when it grows
        self.vendor, self.product = vendor.encode().ljust(8), product.encode().ljust(16)
        self.revision, self.serial = revision.encode().ljust(4), serial.encode()
        self.luns: tuple[int, ...] = (0,)
        self.power_on()

    def power_on(self) -> None:
        """Started, its write cache on."""
        self.stopped, self.write_cache = False, True
        self.attention: Sense | None = None     # what the guest is still to be told

    def grow(self, sectors: int) -> None:
        """Have more sectors from now on; the guest is told by a unit attention.  ValueError for fewer."""
        if sectors <= self.sectors:
            raise ValueError(f"SCSI disk: {sectors:,} sectors instead of {self.sectors:,}; a disk only grows")
        self.sectors, self.attention = sectors, CAPACITY_CHANGED

    def execute(self, cdb: bytes, data_out: bytes = b"") -> Answer | Media:
        """Return an `Answer` or a `Media` for a CDB (it is read as if zeros followed); `data_out` is what the guest sends."""
        cdb = cdb[:16].ljust(16, b"\0")
        if self.attention is not None and cdb[0] not in BESIDE_ATTENTION:
            attention, self.attention = self.attention, None
            return failure(attention)
        handler = self._COMMANDS.get(cdb[0])
        if handler is None:
            return failure(INVALID_OPCODE)
        try:
            return handler(self, cdb, data_out)
        except _Refused as refused:
            return failure(refused.sense)

    # The medium.

    def _media(self, op: str, lba: int, sectors: int, flags: int = 0) -> Answer | Media:
        """A transfer that fits on the disk; of no sectors at all it is done already."""
        if lba + sectors > self.sectors:
            return failure(LBA_OUT_OF_RANGE, lba if lba >= self.sectors else self.sectors)
        if self.stopped:
            return failure(NOT_READY_STOPPED)
        if flags & 0xE0:                  # RDPROTECT, WRPROTECT: we have no protection information
            return failure(INVALID_FIELD_IN_CDB)
        if not sectors:
            return Answer(GOOD)
        if op in ("write", "zero", "same") and self.read_only:
            return failure(WRITE_PROTECTED)
        return _new(Media, (op, lba, sectors, flags & 0x08 != 0 or not self.write_cache and op != "read", b""))

    def _rw6(self, cdb: bytes, _: bytes) -> Answer | Media:
        lba = int.from_bytes(cdb[1:4], "big") & 0x1FFFFF
        return self._media("read" if cdb[0] == 0x08 else "write", lba, cdb[4] or 256)

    def _rw10(self, cdb: bytes, _: bytes) -> Answer | Media:
        flags, lba, sectors = _unpack10(cdb)
        return self._media("read" if cdb[0] == 0x28 else "write", lba, sectors, flags)

    def _rw12(self, cdb: bytes, _: bytes) -> Answer | Media:
        flags, lba, sectors = _unpack12(cdb)
        return self._media("read" if cdb[0] == 0xA8 else "write", lba, sectors, flags)

    def _rw16(self, cdb: bytes, _: bytes) -> Answer | Media:
        flags, lba, sectors = _unpack16(cdb)
        return self._media("read" if cdb[0] == 0x88 else "write", lba, sectors, flags)

    def _verify(self, cdb: bytes, _: bytes) -> Answer:
        """VERIFY(10), (12), (16): is the range there?  Comparing with the guest's data (BYTCHK) is not offered."""
        if cdb[1] & 0x06:
            raise _Refused(INVALID_FIELD_IN_CDB)
        answer = self._media("read", *_range(cdb), cdb[1] & 0xE0)
        return Answer(GOOD) if isinstance(answer, Media) else answer

    def _write_verify(self, cdb: bytes, _: bytes) -> Answer | Media:
        """WRITE AND VERIFY(10), (12), (16): a write that is on the medium when it is answered."""
        if cdb[1] & 0x06:
            raise _Refused(INVALID_FIELD_IN_CDB)
        return self._media("write", *_range(cdb), cdb[1] & 0xE0 | 0x08)

    def _write_same(self, cdb: bytes, data: bytes) -> Answer | Media:
        """WRITE SAME(10), (16): a sector over and over; no sectors at all means up to the disk's end (WSNZ is 0).

        Neither UNMAP (VPD page B2h has LBPWS clear) nor the obsolete PBDATA and LBDATA, nor NDOB.
        """
        lba, sectors = _range(cdb)
        if cdb[1] & (0x1F if cdb[0] == 0x93 else 0x1E):
            raise _Refused(INVALID_FIELD_IN_CDB)
        if lba < self.sectors and (sectors or self.sectors - lba) > pages.MAX_SAME:
            raise _Refused(INVALID_FIELD_IN_CDB)
        answer = self._media("same", lba, sectors or max(self.sectors - lba, 1), cdb[1] & 0xE0)
        return answer._replace(data=data[:SECTOR]) if isinstance(answer, Media) else answer

    def _synchronize(self, cdb: bytes, _: bytes) -> Answer | Media:
        """SYNCHRONIZE CACHE(10), (16): the whole cache, whichever range is named (SBC-3 allows more than asked)."""
        lba, sectors = _range(cdb)
        if lba + sectors > self.sectors:
            return failure(LBA_OUT_OF_RANGE)
        return failure(NOT_READY_STOPPED) if self.stopped else Media("flush", 0, 0)

    def _unmap(self, cdb: bytes, data: bytes) -> Answer | Media:
        """UNMAP: one block descriptor, as VPD page B0h says."""
        if not self.unmap:
            raise _Refused(INVALID_OPCODE)
        if cdb[1] & 1:                    # ANCHOR
            raise _Refused(INVALID_FIELD_IN_CDB)
        length = int.from_bytes(cdb[7:9], "big")
        data = data[:length]
        if not length:
            return Answer(GOOD)
        if len(data) < 8:
            raise _Refused(PARAMETER_LENGTH)
        descriptors = min(int.from_bytes(data[2:4], "big"), len(data) - 8) // 16
        if descriptors > 1:
            raise _Refused(INVALID_FIELD_IN_PARAMETERS)
        if not descriptors:
            return Answer(GOOD)
        lba, sectors = _UNMAPPED.unpack_from(data)
        if sectors > pages.MAX_UNMAPPED:
            raise _Refused(INVALID_FIELD_IN_PARAMETERS)
        return self._media("zero", lba, sectors)

    # Who are you?

    def _inquiry(self, cdb: bytes, _: bytes) -> Answer:
        evpd, page, allocation = cdb[1] & 1, cdb[2], int.from_bytes(cdb[3:5], "big")
        if cdb[1] & 2 or page and not evpd:
            raise _Refused(INVALID_FIELD_IN_CDB)
        data = pages.vital_product_data(self, page) if evpd else pages.standard_inquiry(self)
        if data is None:
            raise _Refused(INVALID_FIELD_IN_CDB)
        return Answer(GOOD, data[:allocation])

    def _report_luns(self, cdb: bytes, _: bytes) -> Answer:
        data = pages.report_luns(cdb, self.luns)
        if data is None:
            raise _Refused(INVALID_FIELD_IN_CDB)
        return Answer(GOOD, data)

    def _ready(self, cdb: bytes, _: bytes) -> Answer:
        return failure(NOT_READY_STOPPED) if self.stopped else Answer(GOOD)

    def _request_sense(self, cdb: bytes, _: bytes) -> Answer:
        """REQUEST SENSE: errors went with their commands, so a unit attention and the present state are left to tell."""
        sense = self.attention or (NOT_READY_STOPPED if self.stopped else NO_SENSE)
        self.attention = None
        data = bytes((0x72, *sense, 0, 0, 0, 0)) if cdb[1] & 1 else sense_data(sense)
        return Answer(GOOD, data[:cdb[4]])

    def _start_stop(self, cdb: bytes, _: bytes) -> Answer | Media:
        """START STOP UNIT; power conditions and ejecting are not for a fixed disk."""
        if cdb[4] >> 4 or cdb[4] & 2:
            raise _Refused(INVALID_FIELD_IN_CDB)
        stop = not cdb[4] & 1
        if stop and not self.stopped and not cdb[4] & 4:   # NO_FLUSH is clear
            self.stopped = True
            return Media("flush", 0, 0)
        self.stopped = stop
        return Answer(GOOD)

    def _capacity10(self, cdb: bytes, _: bytes) -> Answer:
        last = min(self.sectors - 1, 0xFFFFFFFF)
        return failure(NOT_READY_STOPPED) if self.stopped else Answer(GOOD, wire.CAPACITY10.pack(last=last, block_bytes=SECTOR))

    def _service_in(self, cdb: bytes, _: bytes) -> Answer:
        """SERVICE ACTION IN(16): READ CAPACITY(16) and nothing else."""
        if cdb[1] & 0x1F != 0x10:
            raise _Refused(INVALID_FIELD_IN_CDB)
        if self.stopped:
            return failure(NOT_READY_STOPPED)
        data = wire.CAPACITY16.pack(last=self.sectors - 1, block_bytes=SECTOR, provisioning=0xC0 if self.unmap else 0)
        return Answer(GOOD, data[:int.from_bytes(cdb[10:14], "big")])

    def _mode_sense(self, cdb: bytes, _: bytes) -> Answer:
        """MODE SENSE(6), (10)."""
        control, page, subpage = cdb[2] >> 6, cdb[2] & 0x3F, cdb[3]
        if control == 3:
            raise _Refused(SAVING_NOT_SUPPORTED)
        body = pages.mode_pages(page, changeable=control == 1, write_cache=self.write_cache or control == 2)
        if body is None or subpage not in (0, 0xFF) or subpage and page != 0x3F:
            raise _Refused(INVALID_FIELD_IN_CDB)
        block = b"" if cdb[1] & 8 else pages.block_descriptor(self.sectors)
        specific = 0x10 | (0x80 if self.read_only else 0)   # DPO and FUA understood; write-protected
        short = cdb[0] == 0x1A
        header = wire.MODE_HEADER6 if short else wire.MODE_HEADER10
        counted = header.at("length")[1]               # which doesn't count itself
        data = header.pack(length=header.size - counted + len(block) + len(body), specific=specific, descriptors=len(block))
        return Answer(GOOD, (data + block + body)[:cdb[4] if short else int.from_bytes(cdb[7:9], "big")])

    def _mode_select(self, cdb: bytes, data: bytes) -> Answer | Media:
        """MODE SELECT(6), (10): WCE may change, and all else that is there may be said again.

        Without a cache writes go to the medium; what was in the cache goes there now.
        """
        long = cdb[0] == 0x55
        length = int.from_bytes(cdb[7:9], "big") if long else cdb[4]
        if cdb[1] & 1:                    # SP: pages are not saved
            raise _Refused(INVALID_FIELD_IN_CDB)
        if length > len(data):
            raise _Refused(PARAMETER_LENGTH)
        whole, right, write_cache = (pages.mode_parameters(data[:length], long, self.sectors) if length
                                     else (True, True, None))
        if not whole or not right:
            raise _Refused(INVALID_FIELD_IN_PARAMETERS if whole else PARAMETER_LENGTH)
        was, self.write_cache = self.write_cache, self.write_cache if write_cache is None else write_cache
        return Media("flush", 0, 0) if was and not self.write_cache else Answer(GOOD)

    def _prevent_removal(self, cdb: bytes, _: bytes) -> Answer:
        """PREVENT ALLOW MEDIUM REMOVAL: a fixed disk's medium stays anyhow."""
        return Answer(GOOD)

    def _reserve(self, cdb: bytes, _: bytes) -> Answer:
        """RESERVE(6), RELEASE(6): the whole unit, for the only initiator that there is; no extents, no third party."""
        if cdb[1] & 0x11:
            raise _Refused(INVALID_FIELD_IN_CDB)
        return Answer(GOOD)

    def _send_diagnostic(self, cdb: bytes, _: bytes) -> Answer:
        """SEND DIAGNOSTIC: the default self-test, which passes; no other test, no parameters."""
        if cdb[1] & 0xF0 or any(cdb[3:5]):
            raise _Refused(INVALID_FIELD_IN_CDB)
        return Answer(GOOD)

    def _format(self, cdb: bytes, _: bytes) -> Answer:
        """FORMAT UNIT without parameters: the disk has its format; which data it holds afterwards is ours to say (SBC-3)."""
        if cdb[1] & 0xD8:                 # FMTPINFO, FMTDATA, CMPLST
            raise _Refused(INVALID_FIELD_IN_CDB)
        if self.stopped:
            return failure(NOT_READY_STOPPED)
        return failure(WRITE_PROTECTED) if self.read_only else Answer(GOOD)

    _COMMANDS = {
        0x00: _ready, 0x03: _request_sense, 0x12: _inquiry, 0x1A: _mode_sense, 0x1B: _start_stop, 0x25: _capacity10,
        0x5A: _mode_sense, 0x9E: _service_in, 0xA0: _report_luns, 0x35: _synchronize, 0x91: _synchronize,
        0x42: _unmap, 0x2F: _verify, 0xAF: _verify, 0x8F: _verify, 0x41: _write_same, 0x93: _write_same,
        0x2E: _write_verify, 0xAE: _write_verify, 0x8E: _write_verify, 0x15: _mode_select, 0x55: _mode_select,
        0x04: _format, 0x16: _reserve, 0x17: _reserve, 0x1D: _send_diagnostic, 0x1E: _prevent_removal,
        0x08: _rw6, 0x0A: _rw6, 0x28: _rw10, 0x2A: _rw10, 0xA8: _rw12, 0xAA: _rw12, 0x88: _rw16, 0x8A: _rw16,
    }


def _range(cdb: bytes) -> tuple[int, int]:
    """(LBA, sectors) of a CDB of 10, 12 or 16 bytes; its group code (SPC-4, "Operation code") says which."""
    return {4: _unpack16, 5: _unpack12}.get(cdb[0] >> 5, _unpack10)(cdb)[1:]


_unpack10, _unpack12, _unpack16 = (layout.only("flags", "lba", "blocks").unpack_from
                                   for layout in (wire.CDB10, wire.CDB12, wire.CDB16))
_UNMAPPED = wire.UNMAP_LIST.only("lba", "blocks")
_new = tuple.__new__  # a named tuple in half the time
