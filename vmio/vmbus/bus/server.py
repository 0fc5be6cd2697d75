"""The host's side of the bus: one server a guest, which answers control messages and offers devices.

A device (a VSP's channel) is a `BusDevice` (`device.py`), or whatever has `class_id` and `instance_id` (16 wire bytes) and

    opened(end)     the guest opened it; `end` is the host's `ChannelEnd`.  `OpenRefused` says no.
                    The guest hears of it after the return: send nothing yet, start a process.
                    `end.on_signal()`, if it is set, is called when the guest has signalled: look into the ring.
    closed()        stop; returns None, or a simpy event for when it has let go of guest memory.
                    It may come from the device's own process, by way of `channel.fail(error)`.

    server = VmbusServer(guest)
    channel = device.offer(server)

Nothing a guest sends raises here: it is answered with a status, or ignored and
counted in `refused`.  Public sources: Linux drivers/hv/connection.c and
channel_mgmt.c (the guest that we serve), OpenVMM
vm/devices/vmbus/vmbus_server/src/channels.rs (a host that serves it).
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv.hypercalls import MessagePort
from vmio.machine.contracts import Buffer, Record
from vmio.machine.layout import ShortMessage
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.contracts import Offered
from vmio.vmbus.bus.gpadl import GpadlRefused, GpadlTable
from vmio.vmbus.bus.host_channel import HostChannel, OpenRefused, State
from vmio.vmbus.bus.messages import Message
from vmio.vmbus.bus.monitor import MonitorPages
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.server_gpadl import FAILED, GpadlAnswers
from vmio.vmbus.bus.server_process import ServerProcess

CONNECTION_REFUSED = 0xC0000236    # NTSTATUS, the status of a TL_CONNECT_RESULT
MAX_CHANNELS = 2047   # relids 1 to 2,047: the event flags of a SINT, without flag 0


class NoChannelLeft(ValueError):
    """Every relid of the guest's bus is in use; the text says how many wait for the guest to release them."""


class VmbusServer(GpadlAnswers, ServerProcess):
    """The bus of `guest`, whose enlightenments must be enabled.  `versions`: what it speaks."""

    POINTS = {"negotiated": "(version, agreed) when the guest has asked for one"}
    negotiated: Callable[[int, bool], None] | None = None

    def __init__(self, guest: Guest, versions: Sequence[int] = m.LINUX_VERSIONS) -> None:
        if guest.enlightened is None:
            raise ValueError(f"guest {guest.name}: VMBus needs enable_enlightenments(guest) first")
        self.guest, self.hypervisor, self.versions = guest, guest.enlightened, versions
        self._env = guest.host.env
        self.channels: dict[int, HostChannel] = {}   # relid -> HostChannel
        self.gpadls = GpadlTable(guest)
        self.monitor = MonitorPages(guest)
        self.refused: Counter[str] = Counter()   # reason -> messages that were wrong
        self.handled: Counter[str] = Counter()   # name -> messages
        self.version: Any = None         # an int; None: not connected
        self.offers_requested = False
        self.on_connect: Callable[[bytes, bytes], bool] | None = None     # (endpoint, service) of a socket that the guest wants; taken?
        self._target_vp = 0
        self._outgoing: deque[tuple[int, int, bytes]] = deque()   # (VP, SINT, message) that did not fit into the SynIC's queue yet
        self._resetting = False
        self._port = MessagePort(self._kick)
        for connection in (m.MESSAGE_CONNECTION, m.CONTACT_CONNECTION):
            self.hypervisor.message_ports[connection] = self._port
        for synic in self.hypervisor.synics:
            synic.on_free = self._kick
        self.hypervisor.on_reset.append(self._reset)
        guest.vetoes.insert(0, self._check_unused)
        self.start()

    # For the host's devices.

    @property
    def free_channels(self) -> int:
        """How many channels may still be offered: a relid is in use until the guest has released it."""
        return MAX_CHANNELS - len(self.channels)

    def check_room(self) -> None:
        """`NoChannelLeft` if nothing can be offered."""
        if not self.free_channels:
            waiting = sum(channel.state is State.RESCINDED for channel in self.channels.values())
            raise NoChannelLeft(f"guest {self.guest.name}: all {MAX_CHANNELS} channels of its bus are in use; "
                                f"{waiting:,} were taken back, and the guest has not released them")

    def offer(self, device: Offered, primary: HostChannel | None = None) -> HostChannel:
        """Offer a device, or another channel of the one behind `primary`; the guest hears of it when it may.

        `NoChannelLeft` if the guest holds every relid; who offers because a guest asks looks at `room` first.
        """
        self.check_room()
        free = next(relid for relid in range(1, MAX_CHANNELS + 1) if relid not in self.channels)
        index = 1 + max(c.subchannel for c in self.family(primary)) if primary else 0
        channel = self.add(free, device, index, primary)
        if self.offers_requested:
            self._announce(channel)
        return channel

    def add(self, relid: int, device: Offered, index: int, primary: HostChannel | None) -> HostChannel:
        """Have a channel with this relid; nobody hears of it yet."""
        channel = self.channels[relid] = HostChannel(self, relid, device, index, primary)
        return channel

    def family(self, primary: HostChannel) -> list[HostChannel]:
        """Return a primary channel and its sub-channels."""
        return [c for c in self.channels.values() if c is primary or c.primary is primary]

    def rescind(self, channel: HostChannel) -> None:
        """Take a device away, with its sub-channels; the relid is free when the guest has released it."""
        for each in reversed(self.family(channel)):
            if each.can("rescind"):
                each.step("rescind")
                each.stop()
                if each.announced:
                    self._send(m.RESCIND_CHANNELOFFER.pack(relid=each.relid))
                else:
                    self._release(each)

    def _send(self, message: bytes, vp: int | None = None, sint: int = m.VMBUS_SINT) -> None:
        self._outgoing.append((self._target_vp if vp is None else vp, sint, message))
        self._wake()

    def _refuse(self, reason: str) -> None:
        self.refused[reason] += 1

    def _handle(self, connection: int, message_type: int, payload: bytes) -> Steps[None]:
        """Check what can be checked without knowing the message, then let its own method answer."""
        try:
            layout, record = m.parse(payload)
        except (m.UnknownMessage, ShortMessage) as error:
            return self._refuse(type(error).__name__)
        answer, since = self._ANSWERS.get(record.type, (None, 0))
        if message_type != m.MESSAGE_TYPE or answer is None:
            return self._refuse("not a message for a host")
        if answer is VmbusServer._contact:
            yield from self._contact(record, connection, payload)
        elif self.version is None or self.version < since:
            return self._refuse(f"{layout.name} before contact, or not in this version")
        else:
            waits = answer(self, record)
            if waits is not None:
                yield from waits
        self.handled[layout.name] += 1

    # Connection.

    def _contact(self, record: Record, connection: int, payload: Buffer) -> Steps[None]:
        """INITIATE_CONTACT; from a guest that was connected it means that it has started anew."""
        yield from self._disconnect()
        modern = connection == m.CONTACT_CONNECTION and record.version >= m.V5_0
        sint = record.sint if modern else m.VMBUS_SINT
        if sint > 15 or record.target_vp >= len(self.guest.vcpus):
            return self._refuse("contact from nowhere")
        monitors = self.monitor.accepts(record.monitor_page1, record.monitor_page2)
        good = record.version in self.versions and sint == m.VMBUS_SINT and monitors and not (modern and record.vtl)
        if self.negotiated is not None:
            self.negotiated(record.version, good)
        if good:
            self.version, self._target_vp = record.version, record.target_vp
            self.monitor.connect(record.monitor_page2)
            speak = m.MESSAGE_CONNECTION if record.version >= m.V5_0 else record.version
            self._send(m.VERSION_RESPONSE.pack(supported=1, connection_id=speak))
        else:
            self._send(m.VERSION_RESPONSE.pack(), record.target_vp, sint)

    def _unload(self, record: Record) -> Steps[None]:
        """UNLOAD: all channels closed, all GPADLs gone, then the answer."""
        vp = self._target_vp
        yield from self._disconnect()
        self._send(m.UNLOAD_RESPONSE.pack(), vp)

    def _disconnect(self) -> Steps[None]:
        """Back to "not connected"; returns when no device uses guest memory any more."""
        self.version, self.offers_requested = None, False
        self.monitor.disconnect()
        for channel in list(self.channels.values()):
            yield from self._close_fully(channel)
            known, channel.announced = channel.announced, False
            if channel.state is State.RESCINDED or channel.primary is not None or known and getattr(channel.device, "for_one_life", False):
                self._release(channel)
        for gpadl in list(self.gpadls.by_handle.values()):
            self.gpadls.drop(gpadl)

    def _reset(self) -> None:
        """The guest was reset: its messages and ours are void."""
        self._port.queue.clear()
        self._outgoing.clear()
        self._resetting = True
        self._wake()

    def _check_unused(self) -> None:
        """Memory that a device writes to must not become another guest's."""
        busy = [str(channel.relid) for channel in self.channels.values() if channel.in_use]
        if busy:
            raise ValueError(f"guest {self.guest.name}: channels {', '.join(busy)} are in use; "
                             "reset the guest and let the simulation run before it is destroyed")

    # Offers.

    def _request_offers(self, record: Record) -> None:
        if self.offers_requested:
            return self._refuse("REQUESTOFFERS twice")
        self.offers_requested = True
        for channel in self.channels.values():
            if channel.state is not State.RESCINDED:
                self._announce(channel)
        self._send(m.ALLOFFERS_DELIVERED.pack())

    def _announce(self, channel: HostChannel) -> None:
        channel.announced = True
        self.monitor.assign(channel)
        self._send(channel.message())

    def _released(self, record: Record) -> Steps[None] | None:
        channel = self.channels.get(record.relid)
        if channel is None or not channel.can("release"):
            return self._refuse("RELID_RELEASED of a channel that lives")
        return self._drain_and_release(channel)

    def _drain_and_release(self, channel: HostChannel) -> Steps[None]:
        yield from channel.drained()
        self._release(channel)

    def _release(self, channel: HostChannel) -> None:
        for gpadl in self.gpadls.of(channel.relid):
            self.gpadls.drop(gpadl)
        self.monitor.release(channel)
        channel.state = State.GONE
        self.channels.pop(channel.relid, None)
        if channel.on_released is not None:
            channel.on_released()

    def _connect(self, record: Record) -> None:
        """TL_CONNECT_REQUEST: an offer is the answer, or a result that says no, which guests know from 5.0 on."""
        if self.on_connect is not None and self.on_connect(record.endpoint, record.service):
            return
        self._refuse("TL_CONNECT_REQUEST of what nobody listens to, or too many")
        if self.version >= m.V5_0:
            self._send(m.TL_CONNECT_RESULT.pack(endpoint=record.endpoint, service=record.service, status=CONNECTION_REFUSED))

    # Channels.

    def _announced(self, relid: int) -> HostChannel | None:
        """The channel, if the guest may know of it."""
        channel = self.channels.get(relid)
        if channel is None or not channel.announced:
            self._refuse("no such channel")
            return None
        return channel

    def _open(self, record: Record) -> None:
        channel = self._announced(record.relid)
        if channel is None:
            return
        reason = self._cannot_open(channel, record)
        if reason is None:
            gpadl = self.gpadls.by_handle[record.gpadl]
            try:
                channel.open(gpadl, record.downstream_page, record.target_vp, record.user)
            except (RingCorrupt, OpenRefused) as error:
                reason = f"OPENCHANNEL: {type(error).__name__}"
        if reason is not None:
            self._refuse(reason)
        self._send(m.OPENCHANNEL_RESULT.pack(relid=record.relid, open_id=record.open_id,
                                             status=0 if reason is None else FAILED))

    def _cannot_open(self, channel: HostChannel, record: Record) -> str | None:
        """Why not, or None."""
        gpadl = self.gpadls.by_handle.get(record.gpadl)
        pages = gpadl.whole_pages if gpadl is not None and gpadl.relid == channel.relid else None
        if not channel.can("open"):
            return f"OPENCHANNEL in state {channel.state.value}"
        if pages is None:
            return "OPENCHANNEL without a GPADL fit for rings"
        if not 2 <= record.downstream_page <= len(pages) - 2:
            return "OPENCHANNEL with a ring of less than 2 pages"
        try:
            self.gpadls.check(pages)   # the guest may have laid an overlay over one since
        except GpadlRefused as error:
            return f"OPENCHANNEL: {error}"
        return None if self._valid_vp(record.target_vp) else "OPENCHANNEL for no vCPU"

    def _valid_vp(self, vp: int) -> bool:
        return vp == m.NO_INTERRUPTS or vp < len(self.guest.vcpus)

    def _close(self, record: Record) -> Steps[None] | None:
        channel = self._announced(record.relid)
        if channel is None:
            return None
        if channel.state is State.RESCINDED:
            return None     # stopped already; the guest tidies up
        if not channel.can("close"):
            return self._refuse(f"CLOSECHANNEL in state {channel.state.value}")
        for other in self.family(channel):
            if other is not channel:
                self.rescind(other)     # sub-channels belong to one life of their primary
        return self._close_fully(channel)

    def _close_fully(self, channel: HostChannel) -> Steps[None]:
        if channel.can("close"):
            channel.step("close")
            channel.stop()
        yield from channel.drained()
        if channel.can("closed"):
            channel.step("closed")

    def _modify(self, record: Record) -> None:
        channel = self._announced(record.relid)
        if channel is None:
            return
        good = channel.state is State.OPEN and self._valid_vp(record.target_vp)
        if good:
            channel.target_vp = record.target_vp
        else:
            self._refuse("MODIFYCHANNEL of a closed channel, or for no vCPU")
        if self.version >= m.V5_3:
            self._send(m.MODIFYCHANNEL_RESPONSE.pack(relid=record.relid, status=0 if good else FAILED))

    # Message -> (who answers, first version that has it).
    _ANSWERS: dict[int, tuple[Callable[..., Any], int]] = {
        Message.REQUESTOFFERS: (_request_offers, 0), Message.OPENCHANNEL: (_open, 0),
        Message.CLOSECHANNEL: (_close, 0), Message.GPADL_HEADER: (GpadlAnswers._gpadl_header, 0),
        Message.GPADL_BODY: (GpadlAnswers._gpadl_body, 0), Message.GPADL_TEARDOWN: (GpadlAnswers._teardown, 0),
        Message.RELID_RELEASED: (_released, 0), Message.INITIATE_CONTACT: (_contact, 0),
        Message.UNLOAD: (_unload, 0), Message.MODIFYCHANNEL: (_modify, m.V4_1), Message.TL_CONNECT_REQUEST: (_connect, m.V4_0)}
