"""StorVSP, the host's half of a split disk: takes SCSI requests from a channel, has the block layer do them.

    vsp = StorVsp(host, guest, {0: (ScsiTarget(sectors), backend)})
    vsp.offer(VmbusServer(guest))

`backend.submit(guest name, kind, lba, sectors, pages, done)` moves the data
straight to or from the guest's own pages (SPAs, the first with its offset in the
page) and calls `done(status)` later, 0 for success; completions go out in the
order in which that happens.

Nothing a guest writes raises here.  A request that can't be carried out gets a
status; what is no request at all is a `RingCorrupt`, which ends the channel.
Public sources: OpenVMM vm/devices/storage/storvsp (order of the protocol, its
statuses, validation), Linux drivers/scsi/storvsc_drv.c (the guest that we serve).
"""

from vmio.hypervisor.inflight import InFlight
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.messages import SCSI_CLASS
from vmio.vmbus.bus.packets import COMPLETION_REQUESTED, GPA_DIRECT, INBAND, RingCorrupt
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.bounce import BouncePages
from vmio.vmbus.storage.srb import Srb

VERSIONS = (v.WIN6, v.WIN7, v.WIN8, v.WIN8_1, v.WIN10)
QUEUE_DEPTH = 256          # requests in flight a channel, as OpenVMM has it
MOST_BOUNCED = 256         # pages of the host's that a guest's unaligned buffers may take; what needs more waits

# state -> {operation that is due: the next state}
READY = "ready"
PROTOCOL = {
    "begin": {v.BEGIN_INITIALIZATION: "version"},
    "version": {v.QUERY_PROTOCOL_VERSION: "properties"},
    "properties": {v.QUERY_PROPERTIES: "end"},
    "end": {v.FCHBA_DATA: "end", v.CREATE_SUB_CHANNELS: "end", v.END_INITIALIZATION: READY},
    READY: {v.CREATE_SUB_CHANNELS: READY, v.RESET_LUN: READY, v.RESET_ADAPTER: READY, v.RESET_BUS: READY},
}

_HEAD = v.PACKET.only("operation", "flags", "status")
_ASKED, _NUMBER = v.VERSION.only("version"), v.SUBCHANNELS.only("subchannels")


class SubChannel(BusDevice):
    """Another channel of a controller."""

    class_id = SCSI_CLASS

    def __init__(self, controller):
        super().__init__(controller.host, controller.guest, controller.instance_id)
        self.controller = controller
        self.batch, self.queue_depth = controller.batch, controller.queue_depth

    def packet(self, request, packet):
        """Begin one request at the controller."""
        self.controller.packet(request, packet)

    def failed(self, error):
        """Count it, and have the bus close the channel."""
        self.controller.corrupt += 1
        super().failed(error)


class StorVsp(BusDevice):
    """A SCSI controller of `guest`, and its primary channel; `disks` is {LUN: (ScsiTarget, backend)}.

    `max_transfer` in bytes a request; `max_subchannels` the guest may create;
    `batch` and `queue_depth` as in `RingWorker` and `QUEUE_DEPTH`.
    """

    class_id = SCSI_CLASS

    def __init__(self, host, guest, disks, number=1, batch=16, queue_depth=QUEUE_DEPTH, max_transfer=0x40000,
                 max_subchannels=0, versions=VERSIONS):
        super().__init__(host, guest, b"vmio-storvsp".ljust(14, b"\0") + number.to_bytes(2, "little"))
        self.disks = disks
        self.batch, self.queue_depth, self.versions = batch, queue_depth, versions
        self.max_transfer, self.max_subchannels = max_transfer, max_subchannels
        self.state, self.version = "begin", None
        self.subchannels = []
        self.under_way = InFlight(host.env)     # at the backend, which uses guest memory
        self.requests = self.failures = self.corrupt = self.bounced = 0
        self.bounce = BouncePages(host.memory, max(MOST_BOUNCED, -(-max_transfer // 4096)))
        for target, _ in disks.values():
            target.luns, target.max_transfer = tuple(sorted(disks)), max_transfer
        guest.on_destroy.insert(0, self._destroyed)
        guest.on_destroy.append(self.bounce.release)

    def opened(self, end):
        """The guest opened the primary channel: everything starts anew."""
        self._begin()
        super().opened(end)

    def _begin(self):
        """Back to where the protocol begins, the units' state among it."""
        self.state, self.version = "begin", None
        self.subchannels = []
        for target, _ in self.disks.values():
            target.power_on()

    def failed(self, error):
        """Count it, and have the bus close the channel."""
        self.corrupt += 1
        super().failed(error)

    @property
    def in_flight(self):
        """Requests at the backend."""
        return len(self.under_way)

    def packet(self, request, packet):
        """Begin one request; `request.complete` is called now or later.  `RingCorrupt` if it is none."""
        kind, flags, number, payload, ranges = packet
        if kind != GPA_DIRECT and kind != INBAND or not flags & COMPLETION_REQUESTED or len(payload) < v.OLD_PACKET_SIZE:
            raise RingCorrupt(f"no storage request: record of type {kind}, {len(payload)} bytes")
        operation = _HEAD.unpack_from(payload)[0]
        if operation == v.EXECUTE_SRB and self.state is READY:
            Srb(self, request, number, payload, ranges).execute()
            return
        if operation not in v.OPERATIONS:
            raise RingCorrupt(f"storage operation {operation:#x}")
        status, answer = self._protocol(operation, payload)
        request.complete((_HEAD.pack(v.COMPLETE_IO, 0, status) + answer[_HEAD.size:])[:len(payload)], number)

    # Start-up.

    def _protocol(self, operation, payload):
        """(NTSTATUS, answer) for everything but SCSI requests; the state changes only on success."""
        following = PROTOCOL[self.state].get(operation)
        if following is None:
            return v.INVALID_DEVICE_STATE, bytes(v.PACKET_SIZE)
        status, answer = v.SUCCESS, bytes(v.PACKET_SIZE)
        if operation == v.QUERY_PROTOCOL_VERSION:
            asked, = _ASKED.unpack_from(payload)
            answer = v.VERSION.pack(version=asked)
            if asked in self.versions:
                self.version = asked
            else:
                status = v.REVISION_MISMATCH
        elif operation == v.QUERY_PROPERTIES:
            most = self.max_subchannels if self.version >= v.WIN8 else 0
            answer = v.PROPERTIES.pack(max_subchannels=most, properties=int(most > 0), max_transfer=self.max_transfer)
        elif operation == v.CREATE_SUB_CHANNELS:
            status = self._create_subchannels(*_NUMBER.unpack_from(payload))
        if status == v.SUCCESS:
            self.state = following
        return status, answer

    def _create_subchannels(self, number):
        """Offer more channels of the same device, once in an opening: all of them, or none if the bus has too few left."""
        most = self.max_subchannels if self.version >= v.WIN8 else 0
        if self.server is None or self.subchannels or number > most:
            return v.INVALID_PARAMETER
        if number > self.server.room:
            return v.INSUFFICIENT_RESOURCES
        for _ in range(number):
            device = SubChannel(self)
            device.offer(self.server, primary=self.channel)
            self.subchannels.append(device)
        return v.SUCCESS

    def _destroyed(self):
        """The guest's memory is about to go; a disk that still writes to it would hit whoever gets it next."""
        if self.in_flight:
            raise RuntimeError(f"{self.guest.name}: {self.in_flight} requests still use its memory; "
                               "reset the guest and let them come back first")
