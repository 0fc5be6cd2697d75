"""StorVSC, the guest's half of a split disk: it writes requests into shared memory, and that is all it does.

    disk = StorVsc(client, channel)
    yield from disk.init()                       open, agree on a protocol, ask the disk what it is
    yield from disk.read(lba, sectors, gpa)      one at a time, or

    yield from cpu.pay()                         many in flight: let the others catch up, then
    disk.submit("read", lba, sectors, gpa, tag)
    disk.flush_ring()
    yield from disk.wait()
    for tag, error in disk.reap(): ...

The host is not trusted more than it must be: an answer that belongs to no
request is counted and ignored.  Written after the order in which Linux does
things: drivers/scsi/storvsc_drv.c, scsi_scan.c, sd.c.
"""

from collections import deque

from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.scsi_probe import ScsiError, probe
from vmio.drivers.vmbus import Rescinded
from vmio.machine.clock import NEVER
from vmio.vmbus.bus.packets import COMPLETION, COMPLETION_REQUESTED, GPA_DIRECT, INBAND, RingCorrupt
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.storage import scsi_wire as wire
from vmio.vmbus.storage import vstor as v

TIMEOUT_NS = 60_000_000_000    # for any request, as Linux has it
PAGE, SECTOR = 4096, 512
QUEUE_DEPTH = 256              # requests in the ring at a time; the others wait here
SIGNALS = ("always", "each", "batch")

_ANSWER = v.SRB.only("operation", "status", "srb_status", "scsi_status", "sense_length", "transfer_length")
_SENSE = v.SRB.slice("cdb").start
_CDB10, _CDB16 = (layout.only("operation", "lba", "blocks", whole=True).pack for layout in (wire.CDB10, wire.CDB16))
_UNMAP_CDB = _CDB10(wire.UNMAP, 0, wire.UNMAP_LIST.size)
_LIST = 32                                 # bytes of memory for each such list
_RECORD = 112                              # bytes of a request in the ring beside its page numbers
# Linux's SRB flags: no synchronous transfer, queue action, data in, data out
_FLAGS = {v.NO_DATA: 0x10A, v.TO_GUEST: 0x14A, v.TO_DEVICE: 0x18A}


class _Request:
    """One request of the owner, in one or more parts."""

    __slots__ = ("tag", "done", "left", "error")

    def __init__(self, tag, done, left):
        self.tag, self.done, self.left, self.error = tag, done, left, None


class StorVsc:
    """The disk at `lun` behind an offered SCSI `channel` of `client` (a `VmBusClient`).

    `ring_kib` is the size of each ring, its control page included.  `signals`:
    "batch" publishes what was submitted at `flush_ring`, "each" at once, "always"
    also signals each time, whether the host is awake or not.
    """

    def __init__(self, client, channel, ring_kib=128, signals="batch", lun=0, queue_depth=QUEUE_DEPTH):
        if ring_kib % 4 or not 8 <= ring_kib <= 4096:
            raise ValueError(f"ring_kib {ring_kib}: 8 to 4,096, a multiple of 4")
        if signals not in SIGNALS:
            raise ValueError(f"signals {signals!r}: choose one of {', '.join(SIGNALS)}")
        self.client, self.channel, self.cpu, self.lun = client, channel, client.cpu, lun
        self.ring_kib, self.signals = ring_kib, signals
        self.end = self.error = self.identity = self.version = None
        self.most_bytes = 0              # a request: what the host allows, and what fits in the ring
        self.finished = deque()          # (tag, error or None)
        self.in_flight = 0               # requests in the ring or at the host
        self.sent = self.unknown = 0     # unknown: answers to nothing
        self.polled = False              # look into the ring again and again, and keep the host's signals masked
        self.bus_changed = False         # the host says: look again which units there are
        self._waiting = deque()          # parts that found no room
        self._sent = {}                  # transaction id -> (request, bytes expected)
        self._ids = list(range(queue_depth, 0, -1))
        self._answer = None              # of the start-up protocol
        self._buffer = None
        self._lists = None               # a parameter list of UNMAP for each transaction id

    # Bring-up.

    def init(self):
        """Open the channel, negotiate, probe.  `DriverError` if any of it fails.  Returns the `Identity`."""
        self._buffer = self._buffer or self.client.pages.take()
        self.channel.on_rescind = self._rescinded
        self.end = yield from self.client.open(self.channel, pages=self.ring_kib // 4, on_signal=self._look, user=bytes(24))
        if self.signals == "always":
            self.end.outgoing.should_signal = lambda *_: True
        yield from self._negotiate()
        self.identity = yield from probe(self.command)
        if self.discards and self._lists is None:
            self._lists = self.client.pages.take(-(-(len(self._ids) + 1) * _LIST // PAGE))
        return self.identity

    def _negotiate(self):
        yield from self._ask(v.PACKET.pack(operation=v.BEGIN_INITIALIZATION, flags=v.REQUEST_COMPLETION), "begin")
        for version in v.LINUX_VERSIONS:
            packet = v.VERSION.pack(operation=v.QUERY_PROTOCOL_VERSION, flags=v.REQUEST_COMPLETION, version=version)
            if (yield from self._ask(packet, "version", refusal=v.REVISION_MISMATCH)) is not None:
                self.version = version
                break
        else:
            raise DriverError("StorVSC: no protocol version in common with the host")
        packet = v.PACKET.pack(operation=v.QUERY_PROPERTIES, flags=v.REQUEST_COMPLETION)
        properties = v.PROPERTIES.parse((yield from self._ask(packet, "properties")))
        fits = ((self.ring_kib << 10) - PAGE - _RECORD - 16) // 8 * PAGE - PAGE
        self.most_bytes = min(properties.max_transfer, fits) & -PAGE
        if not self.most_bytes:
            raise DriverError(f"StorVSC: the host moves {properties.max_transfer} bytes at most, a page is needed")
        yield from self._ask(v.PACKET.pack(operation=v.END_INITIALIZATION, flags=v.REQUEST_COMPLETION), "end")

    def _ask(self, packet, what, refusal=None):
        """One step of the start-up protocol: the answer, or None if its status is `refusal`."""
        self._answer = None
        yield from self.cpu.pay()
        try:
            self.end.send(packet, v.INIT_ID, want_completion=True)
        except (RingCorrupt, RingFull) as error:
            raise self._corrupt(error) from None
        yield from self._until(lambda: self._answer is not None, what)
        status = v.PACKET.parse(self._answer).status
        if status and status != refusal:
            raise DriverError(f"StorVSC {what}: status {status:#x}")
        return self._answer if status == 0 else None

    def command(self, name, cdb, length):
        """Any command that returns up to `length` bytes (a page at most): exactly so many, filled up with zeros."""
        self.cpu.write(self._buffer, bytes(length))
        request = _Request(name, self._keep, 1)
        direction = v.TO_GUEST if length else v.NO_DATA
        yield from self.cpu.pay()
        self._put((request, cdb, direction, length, self._buffer, None))
        yield from self._finish(request)
        return self.cpu.read(self._buffer, length)

    # Requests.

    @property
    def discards(self):
        """Does the disk take discards?"""
        return self.identity.most_unmapped > 0

    def submit(self, kind, lba, sectors, gpa, tag, done=None):
        """Start a "read", "write", "flush" or "discard"; its data is at `gpa`, contiguous, a multiple of 4.

        When it is over, `done(tag, error)` is called in the interrupt, or `reap` tells.
        """
        if kind == "flush":
            self._put((_Request(tag, done, 1), _CDB10(wire.SYNCHRONIZE, 0, 0), v.NO_DATA, 0, 0, 0))
            return
        if kind == "discard":
            most = self.identity.most_unmapped
            request = _Request(tag, done, -(-sectors // most))
            for at in range(lba, lba + sectors, most):
                self._put((request, _UNMAP_CDB, v.TO_DEVICE, wire.UNMAP_LIST.size, (at, min(most, lba + sectors - at)), None))
            return
        direction = v.TO_GUEST if kind == "read" else v.TO_DEVICE
        most = self.most_bytes // SECTOR
        request = _Request(tag, done, -(-sectors // most))
        while sectors > 0:
            part = sectors if sectors < most else most
            if lba <= 0xFFFFFFFF and part <= 0xFFFF:
                cdb = _CDB10(wire.READ10 if direction else wire.WRITE10, lba, part)
            else:
                cdb = _CDB16(wire.READ16 if direction else wire.WRITE16, lba, part)
            length = part * SECTOR
            self._put((request, cdb, direction, length, gpa, length))
            lba, sectors, gpa = lba + part, sectors - part, gpa + length

    def flush_ring(self):
        """Publish what was submitted, and signal if the host must be woken.  Also sends what found no room before."""
        if self.error is not None:
            raise self._failure()
        while self._waiting and self._write(self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting or not self._ids:   # else it was published when the ring was found full
            self._publish()

    def reap(self):
        """What is over: [(tag, error or None), ...]."""
        over = list(self.finished)
        self.finished.clear()
        return over

    def wait(self, until=NEVER):
        """Until there is something to reap, or the time is `until` (`yield from disk.wait()`)."""
        yield from self._until(lambda: self.finished or self.cpu.now >= until, "request", until)

    def read(self, lba, sectors, gpa):
        """Read to memory at `gpa`; `ScsiError` if it fails."""
        yield from self._one("read", lba, sectors, gpa)

    def write(self, lba, sectors, gpa):
        """Write from memory at `gpa`."""
        yield from self._one("write", lba, sectors, gpa)

    def flush(self):
        """All that was written is on the medium when this returns."""
        yield from self._one("flush", 0, 0, 0)

    def close(self):
        """Close the channel and have the rings' pages back."""
        yield from self.client.close(self.channel)
        self.end = None

    def _one(self, kind, lba, sectors, gpa):
        box = []
        yield from self.cpu.pay()
        self.submit(kind, lba, sectors, gpa, f"{kind} of {sectors} sectors at LBA {lba}", lambda *result: box.append(result))
        self.flush_ring()
        yield from self._until(lambda: box, kind)
        if box[0][1] is not None:
            raise box[0][1]

    def _keep(self, tag, error):
        """`done` of a request that `_finish` waits for."""

    def _finish(self, request):
        self.flush_ring()
        yield from self._until(lambda: not request.left, request.tag)
        if request.error is not None:
            raise request.error

    def _until(self, ready, what, alarm=NEVER):
        """Sleep until `ready()`, or `alarm` at the latest if nothing is under way; awake, we send what waits for room."""
        cpu = self.cpu
        while not ready():
            if self._waiting:
                yield from cpu.pay()
                self.flush_ring()
            idle = not self._sent and alarm < NEVER
            if self.polled and not idle:
                yield from self._spin(what, alarm)
            elif not (yield from cpu.hlt(alarm - cpu.now if idle else min(TIMEOUT_NS, alarm - cpu.now))) and not ready():
                raise DriverTimeout(f"StorVSC {what}: no answer")
            if self.error is not None:
                raise self._failure()

    def _spin(self, what, alarm):
        """Look until something has come, or the time is `alarm`."""
        deadline = self.cpu.now + TIMEOUT_NS
        while not self._look(self.cpu):
            if self.error is not None or self.cpu.now >= alarm:
                return
            if self.cpu.now >= deadline:
                raise DriverTimeout(f"StorVSC {what}: no answer")
            yield from self.cpu.spin()

    # The ring.

    def _put(self, part):
        if self.error is not None:
            raise self._failure()
        if self._waiting or not self._write(part):
            self._waiting.append(part)
        elif self.signals != "batch":
            self._publish()

    def _write(self, part):
        """Write a request into the ring.  False: no room (the host will tell), or no transaction id is free."""
        if not self._ids:
            return False
        request, cdb, direction, length, gpa, expected = part
        number = self._ids[-1]
        payload = _pack(v.EXECUTE_SRB, v.REQUEST_COMPLETION, 0, 52, 0, 0, 0, 0, 0, self.lun, len(cdb), v.SENSE_SIZE,
                        direction, 0, length, cdb, 0, 0xFF, 0x20, _FLAGS[direction], 60, 0)
        if cdb is _UNMAP_CDB:
            data, gpa = wire.UNMAP_LIST.pack(lba=gpa[0], blocks=gpa[1]), self._lists + number * _LIST
            self.cpu.write(gpa, data)
        record = INBAND, payload, number, COMPLETION_REQUESTED
        if length:
            pages = tuple(range(gpa >> 12, gpa + length + 0xFFF >> 12))
            record = GPA_DIRECT, payload, number, COMPLETION_REQUESTED, ((length, gpa & 0xFFF, pages),)
        try:
            self.end.outgoing.write(*record)
        except RingFull:
            if not self._ask_for_room(record):
                return False
        except RingCorrupt as error:
            raise self._corrupt(error) from None
        self._ids.pop()
        self._sent[number] = request, expected
        self.in_flight += 1
        self.sent += 1
        return True

    def _ask_for_room(self, record):
        """The ring is full: show the host all of it, try again, and ask to be told of room."""
        self._publish()
        try:
            self.end.outgoing.write(*record, wait=True)
        except RingFull:
            return False
        except RingCorrupt as error:
            raise self._corrupt(error) from None
        return True

    def _publish(self):
        try:
            self.end.flush()
        except RingCorrupt as error:
            raise self._corrupt(error) from None

    def _corrupt(self, error):
        """The host has written nonsense into a ring: the end of this disk."""
        self.error = error
        return self._failure()

    def _look(self, cpu):
        """In the interrupt, or polled: take every answer that is there; how many there were."""
        taken = 0
        try:
            for packet in self.channel.end.packets(stay_awake=self.polled):
                self._take(packet)
                taken += 1
        except RingCorrupt as error:
            self.error = error
        return taken

    def _take(self, packet):
        """One packet of the host's: an answer to something that we asked, or news of the bus."""
        kind, _, number, payload, _ = packet
        if kind != COMPLETION or len(payload) < v.OLD_PACKET_SIZE:
            operation = int.from_bytes(payload[:4], "little")
            if kind == INBAND and number == 0 and operation in (v.ENUMERATE_BUS, v.REMOVE_DEVICE):
                self.bus_changed = True
            else:
                self.unknown += 1
            return
        found = self._sent.pop(number, None)
        if found is not None:
            self._ids.append(number)
            self.in_flight -= 1
            self._over(*found, payload)
        elif number == v.INIT_ID and self._answer is None:
            self._answer = payload.ljust(v.PACKET_SIZE, b"\0")
        else:
            self.unknown += 1

    def _over(self, request, expected, payload):
        """A part of a request is over: good, or what went wrong."""
        operation, status, srb_status, scsi_status, sense_length, moved = _ANSWER.unpack_from(payload)
        if operation != v.COMPLETE_IO or status or srb_status != v.SRB_SUCCESS or scsi_status:
            sense = payload[_SENSE:_SENSE + min(sense_length, v.SENSE_SIZE)] if srb_status & v.SENSE_VALID else b""
            codes = (sense[2] & 0xF, sense[12], sense[13]) if len(sense) >= 14 else None
            request.error = request.error or ScsiError(request.tag, srb_status, codes)
        elif expected is not None and moved != expected:
            request.error = request.error or ScsiError(f"{request.tag}: {moved} of {expected} bytes", srb_status, None)
        request.left -= 1
        if not request.left:
            if request.done is not None:
                request.done(request.tag, request.error)
            else:
                self.finished.append((request.tag, request.error))

    def _rescinded(self):
        self.error = Rescinded("StorVSC: the host has taken the disk away")

    def _failure(self):
        return self.error if isinstance(self.error, DriverError) else DriverError(f"StorVSC: {self.error}")


_pack = v.SRB.struct.pack
