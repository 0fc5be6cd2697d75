"""One SCSI request (SRB) of a guest: decoded from a private copy, checked, carried out, answered.

What can go wrong and what the guest hears, as SRB status, SCSI status and NTSTATUS:

    no disk at that LUN                       invalid LUN, CHECK CONDITION, no such device
    lengths, direction or pages are nonsense  invalid request, GOOD, I/O error
    the CDB moves more than there is room for data overrun, GOOD, buffer overflow
    the disk refuses the CDB, or fails        error + sense valid, CHECK CONDITION, I/O error

A buffer that doesn't begin at a multiple of 4 goes by pages of the host's own
(`bounce.py`), which takes the time of a copy.
Public source: OpenVMM vm/devices/storage/storvsp (ScsiCommandQueue, its statuses).
"""

from collections.abc import Callable, Sequence
from typing import Any

from vmio.hypervisor.contracts import Steps
from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.packets import GpaRange
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.contracts import SrbOwner
from vmio.vmbus.storage.scsi import (HARDWARE, INVALID_FIELD_IN_CDB, MEDIUM_READ, MEDIUM_WRITE, SPACE_ALLOCATION_FAILED, WITH_DATA, Answer,
                                     Media, failure, sense_data)
from vmio.vmbus.storage.scsi_pages import absent_inquiry, report_luns

_REQUEST = v.SRB.only("port", "path", "target", "lun", "cdb_length", "direction", "transfer_length")
_ANSWER = v.SRB.only("operation", "flags", "status", ("length", "length"), "srb_status", "scsi_status",
                     ("port", "cdb_length"), "sense_length", ("direction", "reserved1"), "transfer_length", "cdb",
                     ("reserved2", "sort_key"))
# ... of which these are the request's own, as it sent them:
_LENGTH, _ADDRESS, _DIRECTION, _REST = (v.SRB.slice(*names) for names in (
    ("length",), ("port", "cdb_length"), ("direction", "reserved1"), ("reserved2", "sort_key")))
_SENSE_LENGTH, _CDB = v.SRB.slice("sense_length").start, v.SRB.slice("cdb").start
_INQUIRY, _REPORT_LUNS = 0x12, 0xA0
_SECTOR, _PAGE = 512, 4096
_MAX_AT_ONCE = 512            # pages of one request of a WRITE SAME
_NOT_TAKEN = 0x006             # as a status of NVMe (1.4, 4.6.1.2.1): Internal Error
_FULL = 0x081                  # the same: Capacity Exceeded
_NT_STATUS = {v.SRB_SUCCESS: v.SUCCESS, v.SRB_ERROR: v.IO_DEVICE_ERROR, v.SRB_INVALID_REQUEST: v.IO_DEVICE_ERROR,
              v.SRB_DATA_OVERRUN: v.DATA_OVERRUN_STATUS, v.SRB_INVALID_LUN: v.NO_SUCH_DEVICE}


class Srb:
    """One SCSI request (SRB) on its way: decoded from a private copy, checked, carried out, answered."""

    __slots__ = ("vsp", "request", "payload", "id", "ranges", "media", "target", "backend", "transfer",
                 "pages", "steps", "bounced")
    target: Any               # a `ScsiTarget`
    backend: Any              # its `Backend`

    def __init__(self, vsp: SrbOwner, request: Answerable, number: int, payload: bytes, ranges: tuple[GpaRange, ...]) -> None:
        self.vsp, self.request, self.id, self.payload, self.ranges = vsp, request, number, payload, ranges
        self.transfer = 0
        self.steps: list[tuple[str, int, int, Sequence[int]]] = []
        self.bounced: Any = ()         # pages of the host's own

    def execute(self) -> None:
        """Carry it out, or begin to."""
        vsp, payload = self.vsp, self.payload
        vsp.requests += 1
        _, path, target, lun, cdb_length, direction, transfer = _REQUEST.unpack_from(payload)
        if not 0 < cdb_length <= 16 or direction > v.NO_DATA or not self._room_for(transfer, direction):
            return self.answer(v.SRB_INVALID_REQUEST)
        cdb = payload[_CDB:_CDB + cdb_length]
        self.target, self.backend = vsp.disks.get(lun, (None, None)) if not (path or target) else (None, None)
        if self.target is None:
            return self._nobody(cdb, transfer, direction)
        data: bytes | None = b""
        if cdb[0] in WITH_DATA and direction == v.TO_DEVICE and transfer:
            data = self._read(transfer)
            if data is None:
                return self.answer(v.SRB_INVALID_REQUEST)
        result = self.target.execute(cdb, data)
        if type(result) is Answer:
            return self._over(result, transfer, direction)
        self.media, kind = result, result.kind
        pages: Any = ()                # None: they are not what they must be
        if kind == "read" or kind == "write" or kind == "same":
            length = result.sectors * _SECTOR if kind != "same" else _SECTOR
            if length > transfer:
                return self.answer(v.SRB_DATA_OVERRUN)
            if direction != (v.TO_GUEST if kind == "read" else v.TO_DEVICE):
                return self.answer(v.SRB_INVALID_REQUEST)
            pages = self._pages(length, WRITE if kind == "read" else READ)
            if pages is None:
                return self.answer(v.SRB_INVALID_REQUEST)
            self.transfer, self.pages = length, pages
        vsp.under_way.begin(self)
        if result.fua and kind != "read":
            self.steps.append(("flush", 0, 0, ()))
        if kind == "same":
            self._same(result)
        elif pages and pages[0] & 3:      # disks move whole 32-bit words (NVMe 1.4, 4.3)
            self._bounce(-(-length // _PAGE), lambda: self._begin(self.bounced))
        elif result.fua:
            self._begin(pages)
        else:
            self._submit(kind, result.lba, result.sectors, pages)

    def _begin(self, pages: Sequence[int]) -> None:
        """The first step; before data are read from the medium itself, what the cache has goes there (SBC-3, FUA)."""
        media = self.media
        step = media.kind, media.lba, media.sectors, pages
        if media.kind == "read" and media.fua:
            self.steps.append(step)
            step = "flush", 0, 0, ()
        self._submit(*step)

    def _submit(self, op: str, lba: int, sectors: int, pages: Sequence[int]) -> None:
        """Give it to the backend; what the backend doesn't take has failed."""
        try:
            self.backend.submit(self.vsp.guest.name, op, lba, sectors, pages, self._done)
        except ValueError:
            self._finish(_NOT_TAKEN)
        except BaseException:
            self.vsp.under_way.ended(self)
            raise

    def _same(self, media: Media) -> None:
        """WRITE SAME: zeros are the disk's own command; any other sector fills a page, which is written over and over."""
        if not any(media.data):
            return self._submit("zero", media.lba, media.sectors, ())
        most = _MAX_AT_ONCE * _PAGE // _SECTOR

        def fill() -> None:
            page, = self.bounced
            self.vsp.host.memory.write(page, media.data * (_PAGE // _SECTOR))
            for at in range(media.sectors - media.sectors % most, -1, -most):     # the last one first: steps are a stack
                sectors = min(most, media.sectors - at)
                if sectors:
                    self.steps.append(("write", media.lba + at, sectors, [page] * -(-sectors * _SECTOR // _PAGE)))
            self._submit(*self.steps.pop())
        self._bounce(1, fill)

    def _bounce(self, number: int, then: Callable[[], None]) -> None:
        """Go on with `then` when `number` pages of the host are there, and hold the data that is to be written."""
        vsp = self.vsp

        def taken(pages: Sequence[int]) -> None:
            self.bounced = pages
            vsp.bounced += 1
            if self.media.kind == "write":
                vsp.host.process(vsp.guest, self._copy(then))
            else:
                then()
        if not vsp.bounce.take(number, taken):
            self._finish(_NOT_TAKEN)

    def _copy(self, then: Callable[[], None]) -> Steps[None]:
        """Move the data between the guest's buffer and our pages; it takes a core as long as a copy takes."""
        host, length = self.vsp.host, self.transfer
        yield from host.cores.work(host.costs.copy_ns(length))
        memory, theirs, ours = host.memory, _spans(self.pages, length), _spans(self.bounced, length)
        if self.media.kind == "write":
            _scatter(memory, ours, _gather(memory, theirs))
        else:
            _scatter(memory, theirs, _gather(memory, ours))
        then()

    def _room_for(self, transfer: int, direction: int) -> bool:
        """Does what is said about the data fit together, and into the range that the guest lets us use?"""
        if not transfer:
            return len(self.ranges) <= 1
        return (len(self.ranges) == 1 and transfer <= self.ranges[0].byte_count and direction != v.NO_DATA
                and transfer <= self.vsp.max_transfer)

    def _pages(self, length: int, access: int) -> list[int] | None:
        """SPAs for `length` bytes of the range, or None unless every page is this guest's own RAM.

        All are checked before any is touched, and only these copies are used later.
        """
        _, offset, numbers = self.ranges[0]
        guest, pages = self.vsp.guest, []
        translate, ram_spa = guest.seen.table.translate, guest.backing.spa
        try:
            for number in numbers[:offset + length + 0xFFF >> 12]:
                spa = translate(number << 12, access)
                if spa != ram_spa(number << 12):
                    return None      # a page of the hypervisor's lies over it
                pages.append(spa)
        except TranslationFault:
            return None
        pages[0] += offset
        return pages

    def _read(self, length: int) -> bytes | None:
        pages = self._pages(length, READ)
        return None if pages is None else _gather(self.vsp.host.memory, _spans(pages, length))

    def _over(self, result: Answer, transfer: int, direction: int) -> None:
        """Answer a command that needs no medium; its data is cut to the guest's buffer."""
        data = result.data[:transfer] if direction == v.TO_GUEST else b""
        if data:
            pages = self._pages(len(data), WRITE)
            if pages is None:
                return self.answer(v.SRB_INVALID_REQUEST)
            _scatter(self.vsp.host.memory, _spans(pages, len(data)), data)
        self.transfer = len(data)
        if result.sense:
            self.answer(v.SRB_ERROR, result.sense)
        else:
            self.answer(v.SRB_SUCCESS)

    def _nobody(self, cdb: bytes, transfer: int, direction: int) -> None:
        """No such unit: INQUIRY says so politely, REPORT LUNS is the target's, everything else fails."""
        if cdb[0] == _REPORT_LUNS:
            _, path, target, *_ = _REQUEST.unpack_from(self.payload)
            data = report_luns(cdb.ljust(12, b"\0"), () if path or target else sorted(self.vsp.disks))
            self._over(failure(INVALID_FIELD_IN_CDB) if data is None else Answer(v.GOOD, data), transfer, direction)
        elif cdb[0] == _INQUIRY and not any(cdb[1:3]):
            allocation = int.from_bytes(cdb[3:5], "big")
            self._over(Answer(v.GOOD, absent_inquiry()[:allocation]), transfer, direction)
        else:
            self.answer(v.SRB_INVALID_LUN)

    def _done(self, status: int) -> None:
        """The backend is done with a step: a write that must be on the medium itself is flushed next, a read copied."""
        if not status and self.steps:
            self._submit(*self.steps.pop())
        elif not status and self.bounced and self.media.kind == "read":
            self.vsp.host.process(self.vsp.guest, self._copy(lambda: self._finish(0)))
        else:
            self._finish(status)

    def _finish(self, status: int) -> None:
        """The end of all that began at the backend: pages go back, the guest hears of it, once."""
        if not self.vsp.under_way.ended(self):
            return
        if self.vsp.leaving:
            self.vsp.over(self.target)
        if self.bounced:
            self.vsp.bounce.give_back(self.bounced)
        if not status:
            self.answer(v.SRB_SUCCESS)
            return
        media, self.transfer = self.media, 0
        cause = SPACE_ALLOCATION_FAILED if status == _FULL else {"read": MEDIUM_READ, "write": MEDIUM_WRITE, "same": MEDIUM_WRITE}.get(media.kind, HARDWARE)
        self.answer(v.SRB_ERROR, sense_data(cause, media.lba))

    def answer(self, srb_status: int, sense: bytes = b"") -> None:
        """Complete it: the request's own fields come back, and where the CDB was stands the sense data, or zeros."""
        payload, scsi_status, sense_length, flags = self.payload, v.GOOD, self.payload[_SENSE_LENGTH], 0
        if srb_status != v.SRB_SUCCESS:
            self.vsp.failures += 1
            if sense or srb_status == v.SRB_INVALID_LUN:
                scsi_status = v.CHECK_CONDITION
            if sense:
                sense_length, flags = len(sense), v.SENSE_VALID
        answer = _ANSWER.pack(v.COMPLETE_IO, 0, _NT_STATUS[srb_status], payload[_LENGTH], srb_status | flags, scsi_status,
                              payload[_ADDRESS], sense_length, payload[_DIRECTION], self.transfer, sense, payload[_REST])
        if len(payload) < v.PACKET_SIZE:
            answer = answer[:len(payload)]
        self.request.complete(answer, self.id)


def _spans(pages: Sequence[int], length: int) -> list[tuple[int, int]]:
    """[(SPA, bytes)] of the first `length` bytes that lie in these pages."""
    spans = []
    for spa in pages:
        step = min(_PAGE - (spa & 0xFFF), length)
        spans.append((spa, step))
        length -= step
    return spans


def _gather(memory: HostMemory, spans: list[tuple[int, int]]) -> bytes:
    return b"".join([memory.read(spa, n) for spa, n in spans])


def _scatter(memory: HostMemory, spans: list[tuple[int, int]], data: bytes) -> None:
    at = 0
    for spa, n in spans:
        memory.write(spa, data[at:at + n])
        at += n
