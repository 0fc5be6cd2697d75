"""StorVSP, the host's half of a split disk: takes SCSI requests from a channel, has the block layer do them.

    vsp = StorVsp(host, guest, {0: (ScsiTarget(sectors), backend)})
    vsp.offer(VmbusServer(guest))

`backend.submit(guest name, op, lba, sectors, pages, done)` moves the data
straight to or from the guest's own pages (SPAs, the first with its offset in the
page) and calls `done(status)` later, 0 for success; completions go out in the
order in which that happens.

Nothing a guest writes raises here.  A request that can't be carried out gets a
status; what is no request at all is a `RingCorrupt`, which ends the channel.
Public sources: OpenVMM vm/devices/storage/storvsp (order of the protocol, its
statuses, validation), Linux drivers/scsi/storvsc_drv.c (the guest that we serve).
"""

from collections.abc import Iterator

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.inflight import InFlight
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.messages import SCSI_CLASS
from vmio.vmbus.bus.packets import COMPLETION_REQUESTED, GPA_DIRECT, INBAND, Packet, RingCorrupt
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.bounce import BouncePages
from vmio.vmbus.storage.contracts import Backend
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.srb import Srb
from vmio.vmbus.storage.subchannel import SubChannel

VERSIONS = (v.WIN6, v.WIN7, v.WIN8, v.WIN8_1, v.WIN10)
QUEUE_DEPTH = 256          # requests in flight a channel, as OpenVMM has it
MAX_LUNS = 64              # of a controller (Microsoft, "Plan for Hyper-V scalability": 64 disks a SCSI controller)
MAX_BOUNCED = 256         # pages of the host's that a guest's unaligned buffers may take; what needs more waits

# state -> {operation that is due: the next state}
READY = "ready"
PROTOCOL = {
    "begin": {v.BEGIN_INITIALIZATION: "version"},
    "version": {v.QUERY_PROTOCOL_VERSION: "properties"},
    "properties": {v.QUERY_PROPERTIES: "end"},
    "end": {v.FCHBA_DATA: "end", v.CREATE_SUB_CHANNELS: "created", v.END_INITIALIZATION: READY},
    "created": {v.FCHBA_DATA: "created", v.END_INITIALIZATION: READY},     # also what versions without sub-channels come to
    READY: {v.CREATE_SUB_CHANNELS: READY, v.RESET_LUN: READY, v.RESET_ADAPTER: READY, v.RESET_BUS: READY},
}

RESETS = v.RESET_LUN, v.RESET_ADAPTER, v.RESET_BUS

_HEAD = v.PACKET.only("operation", "flags", "status")
_ASKED, _NUMBER = v.VERSION.only("version"), v.SUBCHANNELS.only("subchannels")


class StorVsp(BusDevice):
    """A SCSI controller of `guest`, and its primary channel; `disks` is {LUN: (ScsiTarget, backend)}.

    `monitor_latency` as in `BusDevice`, for its sub-channels, too; `max_transfer` in bytes a request; `max_subchannels` the guest may create (None: one for each
    vCPU but the first); `batch` and `queue_depth`, of each channel, as in `RingWorker` and `QUEUE_DEPTH`.
    """

    class_id = SCSI_CLASS
    guest: Guest

    def __init__(self, host: Root, guest: Guest, disks: dict[int, tuple[ScsiTarget, Backend]], number: int = 1, batch: int = 16,
                 queue_depth: int = QUEUE_DEPTH, max_transfer: int = 0x40000, max_subchannels: int | None = None,
                 versions: tuple[int, ...] = VERSIONS, monitor_latency: int | None = None) -> None:
        super().__init__(host, guest, b"vmio-storvsp".ljust(14, b"\0") + number.to_bytes(2, "little"))
        self.disks = disks
        self.batch, self.queue_depth, self.versions = batch, queue_depth, versions
        self.max_transfer, self.monitor_latency = max_transfer, monitor_latency
        self.max_subchannels = len(guest.vcpus) - 1 if max_subchannels is None else max_subchannels
        self.state = "begin"
        self.version = 0               # agreed on; 0 before
        self.subchannels: list[SubChannel] = []
        self.under_way = InFlight(host.env)     # at the backend, which uses guest memory
        self.requests = self.failures = self.corrupt = self.bounced = 0
        self.bounce = BouncePages(host.memory, max(MAX_BOUNCED, -(-max_transfer // 4096)))
        self.leaving: dict[ScsiTarget, Event] = {}      # units that were taken away, while requests of theirs are under way
        self.promised: set[int] = set()                 # LUNs of disks that are on their way
        self._list_units()
        guest.vetoes.insert(0, self._destroyed)
        guest.lent.append(self._lent)
        guest.releases.append(self.bounce.release)

    def opened(self, end: ChannelEnd) -> None:
        """The guest opened the primary channel: everything starts anew."""
        self._begin()
        super().opened(end)

    def _begin(self) -> None:
        """Back to where the protocol begins, the units' state among it."""
        self.state, self.version = "begin", 0
        self.subchannels = []
        for target, _ in self.disks.values():
            target.power_on()

    # Units that come and go.

    def promise_unit(self, lun: int | None = None) -> int:
        """Keep a LUN for a disk that is on its way, the lowest that is free if none is asked for, and return it.

        ValueError for one that is taken, or that is none.
        """
        taken = self.disks.keys() | self.promised
        if lun is None:
            lun = next((each for each in range(MAX_LUNS) if each not in taken), MAX_LUNS)
        if lun in taken or not 0 <= lun < MAX_LUNS:
            raise ValueError(f"SCSI controller of {self.guest.name}: LUN {lun}; 0 to {MAX_LUNS - 1} but {', '.join(map(str, sorted(taken)))}")
        self.promised.add(lun)
        return lun

    def add_unit(self, lun: int, target: ScsiTarget, backend: Backend) -> None:
        """Have one more disk, and let the guest look; ValueError for a LUN that was not promised and is taken, or that is none."""
        if lun not in self.promised:
            self.promise_unit(lun)
        self.promised.remove(lun)
        self.disks[lun] = target, backend
        self._list_units()
        if self.ready:
            self.post(v.PACKET.pack(operation=v.ENUMERATE_BUS))

    def remove_unit(self, lun: int) -> Event | None:
        """Take a disk away, and let the guest look.  Requests from now on have no unit; those under way are carried out.

        Returns None, or an event for when they are.  KeyError without such a unit.
        """
        target, _ = self.disks.pop(lun)
        self._list_units()
        if self.ready:
            self.post(v.PACKET.pack(operation=v.REMOVE_DEVICE))
        if all(srb.target is not target for srb in self.under_way):
            return None
        return self.leaving.setdefault(target, self.host.env.event())

    def over(self, target: ScsiTarget) -> None:
        """A request of a unit is over; if that was taken away, this may have been the last."""
        if target in self.leaving and all(srb.target is not target for srb in self.under_way):
            self.leaving.pop(target).succeed()

    def _list_units(self) -> None:
        for target, _ in self.disks.values():
            target.luns, target.max_transfer = tuple(sorted(self.disks)), self.max_transfer

    def removed(self) -> None:
        """The controller is gone, and nothing is under way: the guest owes us nothing, nor we it."""
        self.guest.vetoes.remove(self._destroyed)
        self.guest.lent.remove(self._lent)
        self.guest.releases.remove(self.bounce.release)
        self.bounce.release()

    def failed(self, error: Exception) -> None:
        """Count it, and have the bus close the channel."""
        self.corrupt += 1
        super().failed(error)

    @property
    def in_flight(self) -> int:
        """Requests at the backend."""
        return len(self.under_way)

    @property
    def ready(self) -> bool:
        """The start-up is over: requests are served, on all channels."""
        return self.state is READY

    def packet(self, request: Answerable, packet: Packet, primary: bool = True) -> None:
        """Begin one request; `request.complete` is called now or later.  `RingCorrupt` if it is none.

        `primary`: it came by the primary channel.
        """
        kind, flags, number, payload, ranges = packet
        if kind != GPA_DIRECT and kind != INBAND or not flags & COMPLETION_REQUESTED or len(payload) < v.OLD_PACKET_SIZE:
            raise RingCorrupt(f"no storage request: record of type {kind}, {len(payload)} bytes")
        operation = _HEAD.unpack_from(payload)[0]
        if operation == v.EXECUTE_SRB and self.state is READY:
            Srb(self, request, number, payload, ranges).execute()
            return
        if operation not in v.OPERATIONS:
            raise RingCorrupt(f"storage operation {operation:#x}")
        if primary or operation in RESETS:
            status, answer = self._protocol(operation, payload)
        else:
            status, answer = v.INVALID_DEVICE_STATE, bytes(v.PACKET_SIZE)
        request.complete((_HEAD.pack(v.COMPLETE_IO, 0, status) + answer[_HEAD.size:])[:len(payload)], number)

    # Start-up.

    def _protocol(self, operation: int, payload: bytes) -> tuple[int, bytes]:
        """(NTSTATUS, answer) for everything but SCSI requests; the state changes only on success."""
        following = PROTOCOL[self.state].get(operation)
        if following is None:
            return v.INVALID_DEVICE_STATE, bytes(v.PACKET_SIZE)
        status, answer = v.SUCCESS, bytes(v.PACKET_SIZE)
        if operation == v.QUERY_PROTOCOL_VERSION:
            asked, = _ASKED.unpack_from(payload)
            answer = v.VERSION.pack(version=asked)
            if self.told_version(asked, asked in self.versions):
                self.version = asked
            else:
                status = v.REVISION_MISMATCH
        elif operation == v.QUERY_PROPERTIES:
            most = self.max_subchannels if self.version >= v.WIN8 else 0
            answer = v.PROPERTIES.pack(max_subchannels=most, properties=v.MULTI_CHANNEL if most else 0, max_transfer=self.max_transfer)
        elif operation == v.CREATE_SUB_CHANNELS:
            status = self._create_subchannels(*_NUMBER.unpack_from(payload))
        if status == v.SUCCESS:
            self._enter(following)
        return status, answer

    def _enter(self, state: str) -> None:
        """Go on to `state`; sub-channels that were opened too early are served from when it is the last."""
        begins = state is READY and not self.ready
        self.state = state
        if state == "end" and self.version < v.WIN8:
            self.state = "created"
        if begins:
            for each in self.subchannels:
                each.begin()

    def _create_subchannels(self, number: int) -> int:
        """Offer so many of the device's further channels; those that are offered already count (OpenVMM, enable_subchannels).

        All of them, or none if the bus has too few left.
        """
        most = self.max_subchannels if self.version >= v.WIN8 else 0
        if self.server is None or number > most:
            return v.INVALID_PARAMETER
        missing = number - len(self.subchannels)
        if missing > self.server.free_channels:
            return v.INSUFFICIENT_RESOURCES
        for _ in range(missing):
            self.further().offer(self.server, primary=self.channel)
        return v.SUCCESS

    def further(self) -> SubChannel:
        """Make the device of another sub-channel."""
        self.subchannels.append(SubChannel(self))
        return self.subchannels[-1]

    def _lent(self) -> Iterator[int]:
        """The pages of the requests at the backend, which knows them by their places in the host's memory."""
        return (page for srb in self.under_way for each in srb.ranges for page in each.pages)

    def _destroyed(self) -> None:
        """The guest's memory is about to go; a disk that still writes to it would hit whoever gets it next."""
        if self.in_flight:
            raise RuntimeError(f"{self.guest.name}: {self.in_flight} requests still use its memory; "
                               "reset the guest and let them come back first")
