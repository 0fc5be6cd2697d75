"""The guest's side of VMBus: contact, offers, GPADLs, opening and closing channels.

    client = VmBusClient(cpu, GuestPages(0x10_0000, 0x40_0000))
    yield from client.connect()
    disk, = (c for c in (yield from client.request_offers()) if c.offer.interface_type == SCSI_CLASS)
    yield from client.open(disk, pages=16, on_signal=look_into_the_ring)

Waiting is done by HLT, on the vCPU the client was made with: the host's messages go there.  The order is Linux's: drivers/hv/
(connection.c, channel.c, channel_mgmt.c, vmbus_drv.c).
"""

from collections.abc import Callable, Sequence
from functools import partial

from vmio.drivers import ipi, synic
from vmio.drivers.confidential import hardened
from vmio.drivers.confidential.swiotlb import Swiotlb
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.pages import PAGE, GuestPages
from vmio.drivers.subchannels import TIMEOUT_NS, SubChannels
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Record
from vmio.machine.layout import ShortMessage
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.messages import Message
from vmio.vmbus.bus.monitor_page import MONITORS, pending_word
from vmio.vmbus.bus.ring import RingReader, RingWriter, format_ring

_TRIES, _DOUBLINGS = 100, 21  # of a post that found no buffer: 1 us, 2 us, 4 us ... (Linux vmbus_post_msg)
_ANSWERS_ABOUT = {Message.OPENCHANNEL_RESULT: "relid", Message.GPADL_CREATED: "gpadl", Message.GPADL_TORNDOWN: "gpadl",
                  Message.MODIFYCHANNEL_RESPONSE: "relid", Message.TL_CONNECT_RESULT: "endpoint"}   # which field says to what
_TRY_AGAIN = (tlfs.INSUFFICIENT_BUFFERS, tlfs.INSUFFICIENT_MEMORY, tlfs.INVALID_CONNECTION_ID)


class Rescinded(DriverError):
    """The host has taken the device away."""


class GuestChannel:
    """One offered device.  `offer` is the OFFERCHANNEL record; `end` the `ChannelEnd` while it is open.

    `on_signal(cpu)` runs in the interrupt when the host has signalled, `on_rescind()` when it has taken the device away.
    """

    cpu: Cpu                # the vCPU that its signals interrupt, from `open` on

    def __init__(self, offer: Record) -> None:
        self.offer, self.relid = offer, offer.relid
        self.end: ChannelEnd | None = None    # while it is open;
        self.gpadl: int | None = None # the handle of its rings;
        self.on_signal: Callable[..., object] | None = None
        self.on_rescind: Callable[[], None] | None = None
        self.give_back: Callable[[], None] = lambda: None     # the rings' memory, if the client has chosen it
        self.rescinded = False
        self.lost_signals = 0     # the host no longer listens: closed, failed or rescinded
        self.low_latency = False  # by the hypercall even if there is a bit for it
        self.trigger: tuple[int, int] | None = None   # (guest-physical address, bit) of its pending bit in the monitor page, if it has one

    def signal(self) -> None:
        """The host should look into the ring.

        By HvCallSignalEvent, one exit; or by a bit in the monitor page, none, and the host looks
        later (Linux drivers/hv/channel.c, vmbus_setevent).
        """
        if self.trigger is not None and not self.low_latency:
            gpa, bit = self.trigger
            self.cpu.store(gpa, 4, self.cpu.load(gpa, 4) | bit)    # no instruction of ours exits between: LOCK BTS
        elif self.cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, self.offer.connection_id):
            self.lost_signals += 1


class VmBusClient(SubChannels[GuestChannel]):
    """The bus driver.  `pages` (a `GuestPages`) gives memory; `versions` are tried in their order.

    `monitored`: it gives the host monitor pages, as Linux always does, and uses them for channels that the host offers a bit for.
    `trust` is that of a plain or a confidential guest, as CPUID says; in the latter drivers bounce their data in `pool`, if there is one.
    """

    pool: Swiotlb | None = None
    version: int            # from `connect` on

    def __init__(self, cpu: VCpu, pages: GuestPages, versions: Sequence[int] = m.LINUX_VERSIONS, monitored: bool = False) -> None:
        self.cpu, self.pages, self.versions = cpu, pages, versions
        self.monitor_pages = (pages.take(), pages.take()) if monitored else (0, 0)   # host->guest, guest->host
        self.channels = {}
        self.on_offer: Callable[[GuestChannel], None] | None = None   # function(channel) for a device that comes later
        self.ignored = 0            # messages from the host that make no sense
        self._synics: dict[int, synic.GuestSynic] = {}
        self._connection = m.MESSAGE_CONNECTION
        self._expected: dict[tuple[Message, int | bytes], Record | None] = {}   # what we wait for -> the host's answer
        self._next_gpadl = m.FIRST_GPADL
        self._input, (self._hints, isolation) = pages.take(), synic.detect(cpu)
        self.tried: dict[int, bool] = {}    # versions that we asked for -> did the host agree?
        self.eoi = synic.EndOfInterrupt(self._hints, pages)
        synic.enable_hypercalls(cpu, pages.take())
        self.trust = hardened.own(cpu, isolation, pages.take() if isolation else 0)
        self.add_cpu(cpu)

    def add_cpu(self, cpu: VCpu) -> None:
        """Prepare a vCPU's SynIC; every vCPU that shall be a channel's target does this, in its own program."""
        self._synics[cpu.index] = synic.GuestSynic(cpu, self.pages.take(), self.pages.take(), self._hints,
                                                   self._event, self._message, self.eoi)
        self.eoi.add_cpu(cpu)
        ipi.accept(cpu, self.eoi)
        self._watch_flags(max(self.channels, default=0))

    @property
    def cpus(self) -> list:
        """The vCPUs that are online on the bus, in the order in which they came: [0] is not always the client's own."""
        return [each.cpu for each in self._synics.values()]

    def _watch_flags(self, relid: int) -> None:
        """The interrupt must look at the event flags up to this one."""
        for each in self._synics.values():
            each.flag_bytes = max(each.flag_bytes, 8 * (relid // 64 + 1))

    # Connection.

    def connect(self) -> Steps[int]:
        """Agree on a version, in our order.  `DriverError` if the host speaks none of ours."""
        for page in filter(None, self.monitor_pages):
            self.cpu.write(page, bytes(PAGE))
            self.trust.lends(0, (page // PAGE,))
        for version in self.versions:
            modern, self.tried[version] = version >= m.V5_0, False
            contact = m.INITIATE_CONTACT.pack(version=version, target_vp=self.cpu.index,
                                              sint=m.VMBUS_SINT if modern else 0, monitor_page1=self.monitor_pages[0],
                                              monitor_page2=self.monitor_pages[1])
            self._expect(Message.VERSION_RESPONSE)
            if (yield from self._post(contact, m.CONTACT_CONNECTION if modern else m.MESSAGE_CONNECTION)):
                continue            # nobody listens there: perhaps an older host
            answer = yield from self._answer(Message.VERSION_RESPONSE)
            if answer.supported:
                self.trust.check_version(version)
                self.version, self.tried[version] = version, True
                self._connection = answer.connection_id if modern else m.MESSAGE_CONNECTION
                return version
        raise DriverError(f"VMBus: no version in common with the host; asked for {', '.join(map(m.version_text, self.versions))}")

    def request_offers(self) -> Steps[list[GuestChannel]]:
        """All devices there are now: a list of `GuestChannel`."""
        yield from self._ask(m.REQUESTOFFERS.pack(), Message.ALLOFFERS_DELIVERED)
        return list(self.channels.values())

    def unload(self) -> Steps[None]:
        """Leave the bus: the host closes everything and forgets our pages.  Then the SynIC goes off."""
        yield from self._ask(m.UNLOAD.pack(), Message.UNLOAD_RESPONSE)
        for channel in self.channels.values():
            channel.end = channel.gpadl = None
        self.channels.clear()
        self.trust.has_all_back()
        for each in self._synics.values():
            each.disable()
            self.eoi.remove_cpu(each.cpu)
        synic.disable_hypercalls(self.cpu)

    # GPADLs.

    def create_gpadl(self, channel: GuestChannel, page_numbers: Sequence[int]) -> Steps[int]:
        """Let the host use these pages, as one range.  Returns the handle."""
        handle, self._next_gpadl = self._next_gpadl, self._next_gpadl + 1
        self.trust.lends(handle, page_numbers)
        self._expect(Message.GPADL_CREATED, handle)
        for message in m.gpadl_messages(channel.relid, handle, page_numbers):
            yield from self._post(message)
        answer = yield from self._answer(Message.GPADL_CREATED, handle, channel)
        if answer.status:
            self.trust.has_back(handle)
            raise DriverError(f"channel {channel.relid}: GPADL of {len(page_numbers)} pages: status {answer.status:#x}")
        return handle

    def teardown_gpadl(self, channel: GuestChannel, handle: int) -> Steps[None]:
        """Have the pages back: they are ours again on return."""
        message = m.GPADL_TEARDOWN.pack(relid=channel.relid, gpadl=handle)
        yield from self._ask(message, Message.GPADL_TORNDOWN, handle)
        self.trust.has_back(handle)

    # Channels.

    def open(self, channel: GuestChannel, pages: int = 16, gpa: int | None = None, host_pages: int | None = None,
             on_signal: Callable[..., object] | None = None, user: bytes = b"", cpu: Cpu | None = None) -> Steps[ChannelEnd]:
        """Open a channel: `pages` for the ring to the host and `host_pages` (as many) for the one back.

        Each ring has a control page among them.  `gpa` says where they lie, in a row (default: from our `GuestPages`); `cpu` takes the
        interrupts (default: the client's).  Returns the `ChannelEnd`; `DriverError` if the host refuses.
        """
        if channel.end is not None:
            raise DriverError(f"channel {channel.relid} is open")
        total = pages + (host_pages or pages)
        if gpa is None:
            gpa = self.pages.take(total)
            channel.give_back = partial(self.pages.give_back, gpa, total)
        first = gpa // PAGE
        numbers = tuple(range(first, first + total))
        channel.cpu, channel.on_signal = cpu or self.cpu, on_signal
        channel.gpadl = yield from self.create_gpadl(channel, numbers)
        out, back = self.cpu.window(numbers[:pages]), self.cpu.window(numbers[pages:])
        format_ring(out)
        format_ring(back)
        channel.end = ChannelEnd(RingWriter(out), RingReader(back), channel.signal)
        open_message = m.OPENCHANNEL.pack(relid=channel.relid, open_id=channel.relid, gpadl=channel.gpadl,
                                          target_vp=channel.cpu.index, downstream_page=pages, user=user)
        try:
            answer = yield from self._ask(open_message, Message.OPENCHANNEL_RESULT, channel.relid, channel)
        except DriverError:
            channel.end = None
            raise
        if answer.status:
            channel.end = None
            yield from self.close(channel)      # the pages are ours again, and nobody has to give them back twice
            raise DriverError(f"channel {channel.relid}: the host refused to open it, status {answer.status:#x}")
        return channel.end

    def close(self, channel: GuestChannel) -> Steps[None]:
        """Close a channel (sub-channels before their primary) and have the rings' pages back."""
        if channel.end is not None:
            channel.end = None
            yield from self._post(m.CLOSECHANNEL.pack(relid=channel.relid))
        if channel.gpadl is not None:
            handle, channel.gpadl = channel.gpadl, None
            yield from self.teardown_gpadl(channel, handle)
            channel.give_back()

    def release(self, channel: GuestChannel) -> Steps[None]:
        """After a rescind: close it if need be, and say that we are done with it."""
        yield from self.close(channel)
        yield from self._post(m.RELID_RELEASED.pack(relid=channel.relid))
        if self.channels.get(channel.relid) is channel:
            del self.channels[channel.relid]

    def retarget(self, channel: GuestChannel, cpu: Cpu) -> Steps[None]:
        """Let another vCPU take the channel's interrupts (MODIFYCHANNEL, from version 4.1 on)."""
        if self.version < m.V4_1:
            raise DriverError(f"retarget: not in version {m.version_text(self.version)}")
        message = m.MODIFYCHANNEL.pack(relid=channel.relid, target_vp=cpu.index)
        if self.version < m.V5_3:
            yield from self._post(message)
        elif (yield from self._ask(message, Message.MODIFYCHANNEL_RESPONSE, channel.relid, channel)).status:
            raise DriverError(f"channel {channel.relid}: the host does not retarget it")
        channel.cpu = cpu

    # To the host.

    def _post(self, message: bytes, connection: int | None = None) -> Steps[int]:
        """HvCallPostMessage; without a buffer, again later.  A status: not 0 only for a contact that nobody hears."""
        cpu, contact = self.cpu, connection is not None
        data = tlfs.POST_INPUT.pack(connection_id=connection if contact else self._connection,
                                    message_type=m.MESSAGE_TYPE, size=len(message), payload=message)
        delay = 1000
        for attempt in range(_TRIES):
            cpu.write(self._input, data)
            status = cpu.hypercall(tlfs.POST_MESSAGE, self._input)
            if status == tlfs.SUCCESS or contact and status == tlfs.INVALID_CONNECTION_ID:
                return status
            if status not in _TRY_AGAIN:
                break
            yield from cpu.hlt(delay)
            delay *= 2 if attempt < _DOUBLINGS else 1
        raise DriverError(f"HvCallPostMessage: status {status:#x} {tlfs.STATUS_NAMES.get(status, '')}")

    def _expect(self, number: Message, key: int | bytes = 0) -> None:
        self._expected[number, key] = None

    def _ask(self, message: bytes, number: Message, key: int = 0, channel: GuestChannel | None = None) -> Steps:
        """Post, and wait for the answer with that number (and handle or relid)."""
        self._expect(number, key)
        yield from self._post(message)
        return (yield from self._answer(number, key, channel))

    def _answer(self, number: Message, key: int = 0, channel: GuestChannel | None = None) -> Steps:
        """Wait for it; `Rescinded` if the channel goes away meanwhile."""
        deadline = self.cpu.now + TIMEOUT_NS
        while self._expected[number, key] is None:
            left = deadline - self.cpu.now
            if channel is not None and channel.rescinded or left <= 0:
                del self._expected[number, key]
                if channel is None or left <= 0:
                    raise DriverTimeout(f"VMBus: no {m.NAMES[number]}")
                raise Rescinded(f"channel {channel.relid}: rescinded")
            yield from self.cpu.hlt(watchdog_ns=left)
        return self._expected.pop((number, key))

    # From the host, in the interrupt.

    def _event(self, cpu: Cpu, relid: int) -> None:
        channel = self.channels.get(relid)
        if channel is None or channel.end is None:
            return
        channel.end.interrupted()
        if channel.on_signal is not None:
            channel.on_signal(cpu)

    def _message(self, message_type: int, payload: bytes) -> None:
        """A control message; one that we neither know nor wait for is ignored."""
        try:
            _, record = m.parse(payload)
        except (m.UnknownMessage, ShortMessage):
            record = None
        if message_type != m.MESSAGE_TYPE or record is None:
            self.ignored += 1
        elif record.type == Message.OFFERCHANNEL:
            self._offered(record)
        elif record.type == Message.RESCIND_CHANNELOFFER:
            self._rescinded(record.relid)
        else:
            name = _ANSWERS_ABOUT.get(record.type)
            key = record.type, getattr(record, name) if name else 0
            if key in self._expected:
                self._expected[key] = record
            else:
                self.ignored += 1

    def _offered(self, record: Record) -> None:
        if not 0 < record.relid < tlfs.FLAGS_PER_SINT or record.relid in self.channels:
            self.ignored += 1
            return
        if not self.trust.takes(record):
            return
        channel = self.channels[record.relid] = GuestChannel(record)
        if record.monitor_allocated and record.monitor_id < MONITORS and self.monitor_pages[1]:
            offset, bit = pending_word(record.monitor_id)
            channel.trigger = self.monitor_pages[1] + offset, bit
        self._watch_flags(record.relid)
        if self.on_offer is not None:
            self.on_offer(channel)

    def _rescinded(self, relid: int) -> None:
        channel = self.channels.get(relid)
        if channel is None or channel.rescinded:
            self.ignored += 1
            return
        channel.rescinded = True
        if channel.on_rescind is not None:
            channel.on_rescind()
