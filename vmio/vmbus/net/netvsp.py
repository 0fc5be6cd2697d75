"""NetVSP, the host's half of a split network card: a station at a port of the host's network for a guest.

    vsp = NetVsp(host, guest, port, address)
    vsp.offer(VmbusServer(guest))

Frames that the guest sends go to `port`, a `NetPort`; what arrives there is written into the guest's receive buffer,
as long as it has a free section.  Whatever waits to be sent to the guest goes in one record.

Nothing a guest writes raises here.  A request that makes no sense gets a status; what no honest guest sends is a
`RingCorrupt`, which ends its channel.  Every length and offset is one of a private copy.
Public sources: OpenVMM vm/devices/net/netvsp (order of the protocol, sizes, validation); Linux drivers/net/hyperv (the guest that we serve).
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Record
from vmio.machine.layout import Layout
from vmio.machine.net import frames
from vmio.machine.net.contracts import NetPort
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.gpadl import Gpadl
from vmio.vmbus.bus.messages import NIC_CLASS
from vmio.vmbus.bus.packets import COMPLETION, GPA_DIRECT, INBAND, GpaRange, Packet, RingCorrupt
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r
from vmio.vmbus.net.buffers import SEND_SECTION, ReceiveBuffer, SharedBuffer, lent, shared
from vmio.vmbus.net.control import MAX_TRANSFER, Control
from vmio.vmbus.net.nvsp import Nvsp
from vmio.vmbus.net.receive import ROOM, message
from vmio.vmbus.net.subchannel import SubChannel
from vmio.vmbus.net.transmit import messages, to_frames
from vmio.vmbus.net.vf import VfAssociation

QUEUE_DEPTH = 1024         # packets in flight a channel, as OpenVMM has it
MAX_WAITING = 64           # answers that wait for a section; a guest that has more of them takes none
MAX_MESSAGES = 8           # in one record, as INITIALIZE says
INIT, RUNNING = "init", "running"


class NetVsp(BusDevice):
    """A network card of `guest` with this `address`, and its primary channel.

    `versions` of NVSP, `max_subchannels` (None: one for each vCPU but the first), `mbit_per_s` is what it says of its speed.
    `sent` and `received` count [frames, bytes] from the guest and to it, `dropped` frames and messages by reason.
    """

    class_id = NIC_CLASS
    guest: Guest
    POINTS = BusDevice.POINTS | {"transmitted": "(frame) for each that the guest sends", "delivered": "(frame) for each that is written for it"}
    transmitted: Callable[[bytes], None] | None = None
    delivered: Callable[[bytes], None] | None = None

    def __init__(self, host: Root, guest: Guest, port: NetPort, address: bytes, number: int = 1, batch: int = 16,
                 versions: tuple[int, ...] = n.VERSIONS, max_subchannels: int | None = None, mbit_per_s: int = 10_000) -> None:
        super().__init__(host, guest, b"vmio-netvsp".ljust(14, b"\0") + number.to_bytes(2, "little"))
        self.port, self.versions, self.batch, self.queue_depth = port, versions, batch, QUEUE_DEPTH
        most = len(guest.vcpus) - 1 if max_subchannels is None else max_subchannels
        self.max_subchannels = min(most, n.MAX_CHANNELS - 1)
        self.control = Control(frames.station_address(address), lambda: port.up, self.max_subchannels + 1, mbit_per_s)
        self.sent, self.received = [0, 0], [0, 0]
        self.dropped: Counter[str] = Counter()
        self.corrupt = 0
        self.vf = VfAssociation(self)
        self._begin()
        port.connect(self)
        self._unplug = partial(port.connect, None)
        guest.releases.append(self._unplug)

    def removed(self) -> None:
        """The card is gone: its port is free for another."""
        self.guest.releases.remove(self._unplug)
        self._unplug()

    def _begin(self) -> None:
        """Back to where the protocol begins."""
        self.state, self.version, self.mtu = INIT, 0, frames.MAX
        self.capabilities = 0
        self.receive_buffer: ReceiveBuffer | None = None
        self.send_buffer: SharedBuffer | None = None
        self.subchannels: list[SubChannel] = []
        self.outstanding: dict[int, tuple[int, list[int]]] = {}    # id -> (channel, sections that the guest has)
        self.waiting: deque[bytes] = deque()                       # control messages that wait for a section
        self._next_id = 1
        self.control.begin()
        self.vf.begin()

    # The bus.

    def opened(self, end: ChannelEnd) -> None:
        """The guest opened the primary channel: everything starts anew."""
        self._begin()
        super().opened(end)

    def closed(self) -> Event | None:
        """Stop, and let go of the guest's buffers."""
        self.receive_buffer = self.send_buffer = None
        self.waiting.clear()
        return super().closed()

    def failed(self, error: Exception) -> None:
        """Count it, and have the bus close the channel."""
        self.corrupt += 1
        super().failed(error)

    def torn_down(self, gpadl: Gpadl) -> None:
        """The guest has its pages back: a buffer that lay there is no more."""
        if self.receive_buffer is not None and self.receive_buffer.gpadl is gpadl:
            self.receive_buffer = None
        if self.send_buffer is not None and self.send_buffer.gpadl is gpadl:
            self.send_buffer = None

    def packet(self, request: Answerable, packet: Packet, channel: int = 0) -> None:
        """Take one record that came by the channel of this number."""
        kind, _, number, payload, ranges = packet
        if kind == COMPLETION:
            request.end()
            return self._given_back(channel, number, payload)
        if kind not in (INBAND, GPA_DIRECT) or len(payload) < n.HEAD.size:
            raise RingCorrupt(f"no network message: record of type {kind}, {len(payload)} bytes")
        which = n.HEAD.parse(payload).type
        if which == Nvsp.SEND_RNDIS_PKT:
            answer: bytes | None = n.RNDIS_PKT_COMPLETE.pack(status=self._rndis(payload, ranges, channel))
        elif channel:
            raise RingCorrupt(f"network message {which} on sub-channel {channel}")
        else:
            answer = self._protocol(which, payload)
        if packet.wants_completion:
            request.complete((answer or b"").ljust(n.size(self.version) if answer else 0, b"\0"), number)
        else:
            request.end()
        if which == Nvsp.SUBCHANNEL:
            self._send_table()

    # NVSP.

    def _protocol(self, which: int, payload: bytes) -> bytes | None:
        """Take a step of the protocol; returns its answer if it has one."""
        act, layout = self._STEPS.get(which, (None, n.HEAD))
        if act is None or len(payload) < layout.size or (self.state == INIT) != (which == Nvsp.INIT) or (
                self.version < n.SINCE.get(Nvsp(which), 0)):
            raise RingCorrupt(f"network message {which}, {len(payload)} bytes, in state {self.state}, version {self.version:#x}")
        return act(self, layout.parse(payload))

    def _init(self, asked: Record) -> bytes:
        good = self.told_version(asked.max_version, asked.min_version == asked.max_version and asked.max_version in self.versions)
        if good:
            self.state, self.version = RUNNING, asked.max_version
        return n.INIT_COMPLETE.pack(version=2 if asked.max_version == n.V1 else 0, status=n.SUCCESS if good else n.FAILURE)

    def _ndis_version(self, _asked: Record) -> None:
        """Its OIDs have the same form in all versions that guests say."""

    def _ndis_config(self, asked: Record) -> None:
        if not frames.HEADER < asked.mtu <= MAX_TRANSFER:
            raise RingCorrupt(f"MTU of {asked.mtu} bytes with the Ethernet header")
        self.mtu, self.capabilities = min(asked.mtu, frames.MAX), asked.capabilities

    def _receive_buffer(self, asked: Record) -> bytes:
        gpadl = self._own(asked.gpadl)
        section = frames.MAX + ROOM
        if gpadl is None or self.receive_buffer is not None or gpadl.cost * 4096 < section:
            return n.RECV_BUF_COMPLETE.pack(status=n.FAILURE)
        self.receive_buffer = buffer = ReceiveBuffer(self.guest, gpadl, section)
        return n.RECV_BUF_COMPLETE.pack(status=n.SUCCESS, sections=1, section_bytes=section, section_count=buffer.sections,
                                        end=section * buffer.sections)

    def _send_buffer(self, asked: Record) -> bytes:
        gpadl = self._own(asked.gpadl)
        if gpadl is None or self.send_buffer is not None:
            return n.SEND_BUF_COMPLETE.pack(status=n.FAILURE)
        self.send_buffer = SharedBuffer(self.guest, gpadl, SEND_SECTION)
        return n.SEND_BUF_COMPLETE.pack(status=n.SUCCESS, section_bytes=SEND_SECTION)

    def _own(self, handle: int) -> Gpadl | None:
        """A GPADL of this channel's that is no ring, and no buffer already."""
        if self.server is None or self.channel is None:
            return None
        gpadl = shared(self.server, self.channel.relid, handle)
        used = [each.gpadl for each in (self.receive_buffer, self.send_buffer) if each is not None]
        return None if gpadl is None or gpadl is self.channel.ring or any(gpadl is each for each in used) else gpadl

    def _revoke_receive(self, _asked: Record) -> None:
        self.receive_buffer = None
        self.waiting.clear()

    def _revoke_send(self, _asked: Record) -> None:
        self.send_buffer = None

    def _data_path(self, asked: Record) -> None:
        """Its answer is an empty completion, whatever becomes of it."""
        self.vf.switch(asked.path)

    def _subchannels(self, asked: Record) -> bytes:
        """Offer so many of the card's further channels, all or none."""
        good = (asked.operation == n.ALLOCATE and not self.subchannels and 0 < asked.channels <= self.max_subchannels
                and self.server is not None and asked.channels <= self.server.free_channels)
        if good and self.server is not None:
            for _ in range(asked.channels):
                self.further().offer(self.server, primary=self.channel)
            self.control.channels = 1 + asked.channels
        return n.SUBCHANNEL_COMPLETE.pack(status=n.SUCCESS if good else n.FAILURE, channels=asked.channels if good else 0)

    def further(self) -> SubChannel:
        """Make the device of another sub-channel."""
        self.subchannels.append(SubChannel(self, len(self.subchannels) + 1))
        return self.subchannels[-1]

    def _send_table(self) -> None:
        """Tell the guest by which channel to send what: evenly, one after the other."""
        if self.subchannels:
            number = 1 + len(self.subchannels)
            self.post(n.INDIRECTION_TABLE.pack(table=[entry % number for entry in range(n.SEND_TABLE)]))

    _STEPS: dict[int, tuple[Callable[..., bytes | None], Layout]] = {
        Nvsp.INIT: (_init, n.INIT), Nvsp.SEND_NDIS_VER: (_ndis_version, n.NDIS_VER), Nvsp.SEND_NDIS_CONFIG: (_ndis_config, n.NDIS_CONFIG),
        Nvsp.SEND_RECV_BUF: (_receive_buffer, n.RECV_BUF), Nvsp.REVOKE_RECV_BUF: (_revoke_receive, n.REVOKE_RECV_BUF),
        Nvsp.SEND_SEND_BUF: (_send_buffer, n.SEND_BUF), Nvsp.REVOKE_SEND_BUF: (_revoke_send, n.REVOKE_SEND_BUF),
        Nvsp.SWITCH_DATA_PATH: (_data_path, n.DATA_PATH), Nvsp.SUBCHANNEL: (_subchannels, n.SUBCHANNEL)}

    # From the guest.

    def _rndis(self, payload: bytes, ranges: Sequence[GpaRange], channel: int) -> int:
        """Do what an RNDIS record says; its NVSP status."""
        if self.receive_buffer is None or len(payload) < n.RNDIS_PKT.size:
            raise RingCorrupt(f"RNDIS packet of {len(payload)} bytes, before there is a receive buffer" if len(payload) >= n.RNDIS_PKT.size
                              else f"RNDIS packet of {len(payload)} bytes")
        asked = n.RNDIS_PKT.parse(payload)
        head = b""
        if asked.section != n.NO_SECTION:
            if self.send_buffer is None:
                raise RingCorrupt(f"section {asked.section} of no send buffer")
            head = self.send_buffer.read(asked.section, asked.section_bytes)
        rest = lent(self.guest, ranges, MAX_TRANSFER) if ranges else b""
        found = None if rest is None else messages(head + rest)
        if not found or len(found) > MAX_MESSAGES or asked.channel_type not in (n.DATA, n.CONTROL):
            return self._invalid(1)
        bad = 0
        for each in found:
            if r.HEAD.parse(each).type == r.Rndis.PACKET:
                bad += not self._transmit(each)
            elif asked.channel_type != n.CONTROL or channel:
                bad += 1
            else:
                self._request(each)
        return self._invalid(bad) if bad else n.SUCCESS

    def _invalid(self, count: int) -> int:
        self.dropped["invalid RNDIS"] += count
        return n.INVALID_RNDIS

    def _transmit(self, each: bytes) -> bool:
        """Send a PACKET's frames; False if it is none."""
        made = to_frames(each) if self.control.initialized else None
        if made is None:
            return False
        for frame in made:
            self.sent[0] += 1
            self.sent[1] += len(frame)
            if self.transmitted is not None:
                self.transmitted(frame)
            if not self.port.send(frame):
                self.dropped["not taken by the network"] += 1
        return True

    def _request(self, each: bytes) -> None:
        """Answer a control message."""
        answer = self.control.answer(each)
        if answer is not None:
            if len(self.waiting) >= MAX_WAITING:
                raise RingCorrupt(f"{MAX_WAITING} answers wait for a section of the receive buffer")
            self.waiting.append(answer)
            self._send_waiting()
        if self.control.filter:
            self.vf.running()

    def _given_back(self, channel: int, number: int, payload: bytes) -> None:
        """The guest is done with the sections of a record."""
        if len(payload) < n.RNDIS_PKT_COMPLETE.size or n.HEAD.parse(payload).type != Nvsp.SEND_RNDIS_PKT_COMPLETE:
            raise RingCorrupt(f"completion of {len(payload)} bytes; 8 are the least")
        by, sections = self.outstanding.get(number, (-1, []))
        if by != channel:
            raise RingCorrupt(f"completion {number} on channel {channel}: there is nothing to complete")
        del self.outstanding[number]
        if self.receive_buffer is not None:
            for section in sections:
                self.receive_buffer.give_back(section)
        self._send_waiting()

    # To the guest.

    def receive(self, frame: bytes) -> bool:
        """See `Station`: False if the guest has given no place for it."""
        if not self.control.initialized or self.receive_buffer is None or self.worker is None:
            return self._drop("not running")
        if not self.control.wants(frame) or self.vf.path == n.VF:       # the function hears it itself
            return True
        value = self.control.scaling.hash(frame) if self.control.scaling.kinds else None
        vlan = bool(n.CAPABILITIES.take(self.capabilities).vlan)
        if not self._send(message(frame, self.control.checks, vlan, value), self.control.scaling.channel(value)):
            return self._drop("no section")
        self.received[0] += 1
        self.received[1] += len(frame)
        if self.delivered is not None:
            self.delivered(frame)
        return True

    def _drop(self, reason: str) -> bool:
        self.dropped[reason] += 1
        return False

    def _send(self, data: bytes, channel: int = 0, control: bool = False) -> bool:
        """Put an RNDIS message into a section and tell the guest; False if none is free."""
        buffer, worker = self.receive_buffer, self.worker
        section = None if buffer is None else buffer.put(data, control)
        if buffer is None or section is None or worker is None:
            return False
        if channel and channel <= len(self.subchannels) and self.subchannels[channel - 1].worker is not None:
            worker = self.subchannels[channel - 1].worker
        else:
            channel = 0
        kind = n.CONTROL if control else n.DATA
        span = len(data), section * buffer.section_bytes
        payload = n.RNDIS_PKT.pack(channel_type=kind, section=n.NO_SECTION).ljust(n.size(self.version), b"\0")
        assert worker is not None
        number = self._next_id
        joined = worker.transfer(payload, number, n.RECEIVE_BUFFER, span, n.MAX_RANGES)
        if joined == number:
            self._next_id += 1
            self.outstanding[number] = channel, [section]
        else:
            self.outstanding[joined][1].append(section)
        return True

    def _send_waiting(self) -> None:
        while self.waiting and self._send(self.waiting[0], control=True):
            self.waiting.popleft()

    def link_changed(self, up: bool) -> None:
        """See `Station`: the guest is told, if it has begun."""
        if self.control.initialized and len(self.waiting) < MAX_WAITING:
            self.waiting.append(self.control.status(up))
            self._send_waiting()
