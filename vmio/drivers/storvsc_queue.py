"""One channel of a split disk, for one vCPU: requests go into shared memory, answers come out of it, in any order.

Requests are SCSI commands in SRBs, their data stays where the guest has it.  An answer that belongs to no request is counted and
ignored.  As Linux's drivers/scsi/storvsc_drv.c does it.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from vmio.drivers import ipi
from vmio.drivers.contracts import DiskRequest, Done, Reaped
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.scsi_probe import Identity, ScsiError
from vmio.drivers.storvsc_one import OneAtATime
from vmio.drivers.storvsc_lists import LIST, UnmapLists
from vmio.drivers.storvsc_part import Addressed, Part, Sharer
from vmio.drivers.vmbus import GuestChannel, Rescinded, VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Tag
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import COMPLETION, COMPLETION_REQUESTED, GPA_DIRECT, INBAND, Packet, PageRanges, RingCorrupt
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.storage import scsi_wire as wire
from vmio.vmbus.storage import vstor as v

TIMEOUT_NS = 60_000_000_000    # for any request, as Linux has it
RETRY_NS = 3_000_000           # until the bounce pool is asked again, if nothing of ours could free a slot (Linux, BLK_MQ_RESOURCE_DELAY)
RETRIES = 5                    # of a request (Linux drivers/scsi/sd.h, SD_MAX_RETRIES)
PAGE, SECTOR = 4096, 512
_Record: TypeAlias = tuple[int, bytes, int, int, PageRanges]      # what `RingWriter.write` takes

_ANSWER = v.SRB.only("operation", "status", "srb_status", "scsi_status", "sense_length", "transfer_length")
_SENSE = v.SRB.slice("cdb").start
_CDB10, _CDB16 = (layout.only("operation", "lba", "blocks", whole=True).pack for layout in (wire.CDB10, wire.CDB16))
_UNMAP_CDB = _CDB10(wire.UNMAP, 0, wire.UNMAP_LIST.size)
CAPACITY_CHANGED = 0x6, 0x2A, 0x09         # UNIT ATTENTION, capacity data has changed (SPC-4, "Sense key and additional sense code")
# Linux's SRB flags: no synchronous transfer, queue action, data in, data out
_FLAGS = {v.NO_DATA: 0x10A, v.TO_GUEST: 0x14A, v.TO_DEVICE: 0x18A}


class StorQueue(OneAtATime, UnmapLists):
    """Requests of the vCPU `cpu` to the disk at `lun`, by the rings of one `channel`; parameters as of `StorVsc`."""

    identity: Identity
    version: int             # both when they are agreed on: of the channel that the disk started on
    end: ChannelEnd          # while the channel is open

    def __init__(self, client: VmBusClient, channel: GuestChannel, ring_kib: int, signals: str, lun: int, queue_depth: int, cpu: VCpu) -> None:
        self.client, self.channel, self.cpu, self.lun = client, channel, cpu, lun
        self.ring_kib, self.signals, self.queue_depth = ring_kib, signals, queue_depth
        self.sharers: list[Sharer] = []      # ways of vCPUs without a channel into this one
        self.error: Exception | None = None
        self.max_bytes = 0               # a request: what the host allows, and what fits in the ring
        self.finished: deque[Reaped] = deque()
        self.in_flight = 0               # requests in the ring or at the host
        self.sent = self.unknown = 0     # unknown: answers to nothing
        self.polled = False              # look into the ring again and again, and keep the host's signals masked
        self.bus_changed = False         # the host says: look again which units there are
        self.resized: set[int] = set()   # LUNs of units that have said that their capacity has changed: ask them (`rescan`)
        self.waiting: deque[Part] = deque()    # those that found no room
        self._sent: dict[int, Part] = {}       # by transaction id
        self._ids = list(range(queue_depth, 0, -1))
        self.answer: bytes | None = None # of the start-up protocol
        self._bounces: dict[int, int] = {}      # of a confidential guest, by transaction id: where in the pool the data is
        self._lists = 0                  # a parameter list of UNMAP for each transaction id, from `learn` on

    def open(self) -> Steps:
        """Open the channel and nothing more: what is left to do for a sub-channel."""
        self.error, self.channel.on_rescind = None, self._rescinded
        self.end = yield from self.client.open(self.channel, pages=self.ring_kib // 4, on_signal=self.look, user=bytes(24),
                                               cpu=self.cpu)
        if self.signals == "always":
            self.end.outgoing.should_signal = lambda *_: True

    @property
    def discards(self) -> bool:
        """Does the disk take discards?"""
        return self.identity.max_unmapped > 0

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag, done: Done | None = None, unit: Addressed | None = None) -> None:
        """Start a "read", "write", "flush" or "discard"; its data is at `gpa`, contiguous, a multiple of 4.

        When it is over, `done((tag, error))` is called in the interrupt, or `reap` tells.  `unit` None: the disk that this is.
        """
        lun, done = self.lun if unit is None else unit.lun, done or self.finished.append
        if op == "flush":
            self._put(Part(DiskRequest(tag, done, 1), lun, _CDB10(wire.SYNCHRONIZE, 0, 0), v.NO_DATA, 0, 0, 0))
            return
        if op == "discard":
            most = (unit or self).identity.max_unmapped
            request = DiskRequest(tag, done, -(-sectors // most))
            for at in range(lba, lba + sectors, most):
                unmapped = at, min(most, lba + sectors - at)
                self._put(Part(request, lun, _UNMAP_CDB, v.TO_DEVICE, wire.UNMAP_LIST.size, 0, None, unmapped))
            return
        direction = v.TO_GUEST if op == "read" else v.TO_DEVICE
        most = self.max_bytes // SECTOR
        request = DiskRequest(tag, done, -(-sectors // most))
        while sectors > 0:
            part = sectors if sectors < most else most
            if lba <= 0xFFFFFFFF and part <= 0xFFFF:
                cdb = _CDB10(wire.READ10 if direction else wire.WRITE10, lba, part)
            else:
                cdb = _CDB16(wire.READ16 if direction else wire.WRITE16, lba, part)
            length = part * SECTOR
            self._put(_part(Part, (request, lun, cdb, direction, length, gpa, length, (0, 0))))
            lba, sectors, gpa = lba + part, sectors - part, gpa + length

    def execute(self, cdb: bytes, direction: int, length: int, gpa: int, tag: Tag, done: Done, lun: int | None = None) -> None:
        """Start any command; how many of its `length` bytes come is the disk's affair."""
        self._put(Part(DiskRequest(tag, done, 1), self.lun if lun is None else lun, cdb, direction, length, gpa, None))

    def flush_ring(self) -> None:
        """Publish what was submitted, and signal if the host must be woken.  Also sends what found no room before."""
        if self.error is not None:
            raise self.failure()
        while self.waiting and self._write(self.waiting[0]):
            self.waiting.popleft()
        if not self.waiting or not self._ids or self.client.pool is not None:   # else it was published when the ring was found full
            self._publish()

    def reap(self) -> list[Reaped]:
        """Return what is over: [(tag, error or None), ...]."""
        over = list(self.finished)
        self.finished.clear()
        return over

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Until there is something to reap, or the time is `until` (`yield from disk.wait()`)."""
        return self.until(lambda: self.finished or self.cpu.now >= until, "request", until)

    def until(self, ready: Callable[[], object], what: str, alarm: int = NEVER) -> Steps[None]:
        """Sleep until `ready()`, or `alarm` at the latest if nothing is under way; awake, we send what waits for room."""
        cpu = self.cpu
        while not ready():
            if self.error is not None:
                raise self.failure()
            if self.waiting:
                yield from cpu.pay()
                self.flush_ring()
            idle = not self._sent and alarm < NEVER
            if self.waiting and not self._sent and self.client.pool is not None:
                yield from self._retry(what)
            elif self.polled and not idle:
                yield from self._spin(ready, what, alarm)
            elif not (yield from cpu.hlt(None if alarm == NEVER else max(alarm - cpu.now, 0),     # a copy to the pool takes time
                                         watchdog_ns=None if idle else TIMEOUT_NS)) and not ready():
                raise DriverTimeout(f"StorVSC {what}: no answer")

    def _retry(self, what: str) -> Steps[None]:
        """The bounce pool is full of others' data, and nobody will tell when that changes: ask again, every 3 ms."""
        deadline = self.cpu.now + TIMEOUT_NS
        while self.waiting and not self._sent:
            if self.cpu.now >= deadline:
                raise DriverTimeout(f"StorVSC {what}: the bounce pool stays full")
            yield from self.cpu.hlt(RETRY_NS)
            self.flush_ring()

    def _spin(self, ready: Callable[[], object], what: str, alarm: int) -> Steps[None]:
        """Look until something has come (or somebody else has taken it for us), or the time is `alarm`."""
        deadline = self.cpu.now + TIMEOUT_NS
        while not (self.look(self.cpu) or ready()):
            if self.error is not None or self.cpu.now >= alarm:
                return
            if self.cpu.now >= deadline:
                raise DriverTimeout(f"StorVSC {what}: no answer")
            yield from self.cpu.spin()

    # The ring.

    def _put(self, part: Part) -> None:
        if self.error is not None:
            raise self.failure()
        if self.waiting or not self._write(part):
            self.waiting.append(part)
        elif self.signals != "batch":
            self._publish()

    def _write(self, part: Part) -> bool:
        """Write a request into the ring.  False: no room (the host will tell), or no transaction id is free."""
        if not self._ids:
            return False
        _, lun, cdb, direction, length, gpa, _, unmapped = part
        number = self._ids[-1]
        payload = _pack(v.EXECUTE_SRB, v.REQUEST_COMPLETION, 0, 52, 0, 0, 0, 0, 0, lun, len(cdb), v.SENSE_SIZE,
                        direction, 0, length, cdb, 0, 0xFF, 0x20, _FLAGS[direction], 60, 0)
        if cdb is _UNMAP_CDB:
            data, gpa = wire.UNMAP_LIST.pack(lba=unmapped[0], blocks=unmapped[1]), self._lists + number * LIST
            self.cpu.write(gpa, data)
        if length and self.client.pool is not None:
            bounce = self.client.pool.map(self.cpu, gpa, length)
            if bounce is None:
                return False
            self._bounces[number] = gpa = bounce
        record: _Record = (INBAND, payload, number, COMPLETION_REQUESTED, ())
        if length:
            pages = tuple(range(gpa >> 12, gpa + length + 0xFFF >> 12))
            record = GPA_DIRECT, payload, number, COMPLETION_REQUESTED, ((length, gpa & 0xFFF, pages),)
        try:
            self.end.outgoing.write(*record)
        except RingFull:
            if not self._ask_for_room(record):
                self._unbounce(number, False)
                return False
        except RingCorrupt as error:
            raise self.corrupt(error) from None
        self._ids.pop()
        self._sent[number] = part
        self.in_flight += 1
        self.sent += 1
        return True

    def _unbounce(self, number: int, to_guest: bool) -> None:
        """The host has done with a request's data: it comes home, if it is for us, and its slots are free."""
        bounce = self._bounces.pop(number, None)
        if bounce is not None and self.client.pool is not None:
            self.client.pool.unmap(self.cpu, bounce, to_guest)

    def give_back(self) -> None:
        """Let others have the lists' memory and slots of the bounce pool that nobody answered for; the channel is closed."""
        super().give_back()
        for number in list(self._bounces):
            self._unbounce(number, False)

    def _ask_for_room(self, record: _Record) -> bool:
        """The ring is full: show the host all of it, try again, and ask to be told of room."""
        self._publish()
        try:
            self.end.outgoing.write(*record, True)
        except RingFull:
            return False
        except RingCorrupt as error:
            raise self.corrupt(error) from None
        return True

    def _publish(self) -> None:
        try:
            self.end.flush()
        except RingCorrupt as error:
            raise self.corrupt(error) from None

    def corrupt(self, error: Exception) -> DriverError:
        """End this disk, as the host has written nonsense into a ring; returns the error for its user."""
        self.error = error
        return self.failure()

    def look(self, cpu: VCpu) -> int:
        """In the interrupt, or polled: take every answer that is there; how many there were."""
        taken, end = 0, self.channel.end
        if end is None:
            return 0
        try:
            for packet in end.packets(stay_awake=self.polled):
                self._take(packet)
                taken += 1
        except RingCorrupt as error:
            self.error = error
        return taken

    def _take(self, packet: Packet) -> None:
        """One packet of the host's: an answer to something that we asked, or news of the bus."""
        kind, _, number, payload, _ = packet
        if kind != COMPLETION or len(payload) < v.OLD_PACKET_SIZE:
            operation = int.from_bytes(payload[:4], "little")
            if kind == INBAND and number == 0 and operation in (v.ENUMERATE_BUS, v.REMOVE_DEVICE):
                self.bus_changed = True
            else:
                self.unknown += 1
            return
        part = self._sent.pop(number, None)
        if part is not None:
            self._ids.append(number)
            self.in_flight -= 1
            if self._bounces:
                self._unbounce(number, part.direction == v.TO_GUEST)
            error = _outcome(part, payload)
            if isinstance(error, ScsiError) and error.sense == CAPACITY_CHANGED and part.request.again < RETRIES:
                part.request.again += 1
                self.resized.add(part.lun)
                self.waiting.append(part)      # it was not carried out: again, as Linux does (storvsc_handle_error)
            else:
                self._over(part.request, error)
        elif number == v.INIT_ID and self.answer is None:
            self.answer = payload.ljust(v.PACKET_SIZE, b"\0")
        else:
            self.unknown += 1

    def _over(self, request: DiskRequest, error: Exception | None) -> None:
        """A part of a request is over: good, or what went wrong."""
        request.error = request.error or error
        request.remaining -= 1
        if not request.remaining:
            request.done((request.tag, request.error))

    def _rescinded(self) -> None:
        """The host has taken the disk away: what it had answered is taken, every other request has failed.

        Such a request may have been carried out: nobody will say.
        """
        self.look(self.cpu)
        self.error = gone = Rescinded("StorVSC: the host has taken the disk away")
        unanswered = [*self._sent.values(), *self.waiting]
        self._sent.clear()
        self.waiting.clear()
        self.in_flight = 0
        for part in unanswered:
            self._over(part.request, gone)
        for cpu in (self.cpu, *(each.cpu for each in self.sharers)):
            ipi.wake(self.client.cpu, cpu)           # the message is the client's; who waits here must look

    def failure(self) -> DriverError:
        """Return what ended this disk."""
        return self.error if isinstance(self.error, DriverError) else DriverError(f"StorVSC: {self.error}")


def _outcome(part: Part, payload: bytes) -> Exception | None:
    """Return what went wrong with a part, by its answer, or None."""
    operation, status, srb_status, scsi_status, sense_length, moved = _ANSWER.unpack_from(payload)
    if operation != v.COMPLETE_IO or status or srb_status != v.SRB_SUCCESS or scsi_status:
        sense = payload[_SENSE:_SENSE + min(sense_length, v.SENSE_SIZE)] if srb_status & v.SENSE_VALID else b""
        codes = (sense[2] & 0xF, sense[12], sense[13]) if len(sense) >= 14 else None
        return ScsiError(part.request.tag, srb_status, codes)
    if part.expected is not None and moved != part.expected:
        return ScsiError(f"{part.request.tag}: {moved} of {part.expected} bytes", srb_status, None)
    return None


_pack = v.SRB.struct.pack
_part = tuple.__new__        # a named tuple in half the time
