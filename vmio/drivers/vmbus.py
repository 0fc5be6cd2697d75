"""The guest's side of VMBus: contact, offers, GPADLs, opening and closing channels.

    client = VmBusClient(cpu, GuestPages(0x10_0000, 0x40_0000))
    yield from client.connect()
    disk, = (c for c in (yield from client.request_offers()) if c.offer.interface_type == SCSI_CLASS)
    yield from client.open(disk, pages=16, on_signal=look_into_the_ring)

Waiting is done by HLT, on the vCPU the client was made with: the host's messages
go there.  Written after the order in which Linux does things: drivers/hv/
connection.c, channel.c, channel_mgmt.c, vmbus_drv.c.
"""

from vmio.drivers import synic
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.pages import PAGE
from vmio.hypervisor.hyperv import tlfs
from vmio.machine.layout import ShortMessage
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.messages import Message
from vmio.vmbus.bus.ring import RingReader, RingWriter, format_ring

TIMEOUT_NS = 10_000_000_000   # for any answer of the host
_TRIES, _DOUBLINGS = 100, 21  # of a post that found no buffer: 1 us, 2 us, 4 us ... (Linux vmbus_post_msg)
_ANSWERS_ABOUT = {Message.OPENCHANNEL_RESULT: "relid", Message.GPADL_CREATED: "gpadl", Message.GPADL_TORNDOWN: "gpadl",
                  Message.MODIFYCHANNEL_RESPONSE: "relid"}      # which field says to what it is the answer
_TRY_AGAIN = (tlfs.INSUFFICIENT_BUFFERS, tlfs.INSUFFICIENT_MEMORY, tlfs.INVALID_CONNECTION_ID)


class Rescinded(DriverError):
    """The host has taken the device away."""


class GuestChannel:
    """One offered device.  `offer` is the OFFERCHANNEL record; `end` the `ChannelEnd` while it is open.

    `on_signal(cpu)` runs in the interrupt when the host has signalled,
    `on_rescind()` when the host has taken the device away.
    """

    def __init__(self, offer):
        self.offer, self.relid = offer, offer.relid
        self.end = self.gpadl = self.cpu = self.on_signal = self.on_rescind = None
        self.rescinded = False
        self.lost_signals = 0     # the host no longer listens: closed, failed or rescinded

    def signal(self):
        """HvCallSignalEvent: the host should look into the ring.  One exit."""
        if self.cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, self.offer.connection_id):
            self.lost_signals += 1


class VmBusClient:
    """The bus driver.  `pages` (a `GuestPages`) gives memory; `versions` are tried in their order."""

    def __init__(self, cpu, pages, versions=m.LINUX_VERSIONS):
        self.cpu, self.pages, self.versions = cpu, pages, versions
        self.version = None
        self.channels = {}          # relid -> GuestChannel, in order of their offers
        self.on_offer = None        # function(channel) for a device that comes later
        self.ignored = 0            # messages from the host that make no sense
        self._synics = {}
        self._connection = m.MESSAGE_CONNECTION
        self._expected = {}         # what we wait for -> the host's answer
        self._next_gpadl = m.FIRST_GPADL
        self._input = pages.take()
        self._hints = synic.detect(cpu)
        self.eoi = synic.EndOfInterrupt(self._hints, pages)
        synic.enable_hypercalls(cpu, pages.take())
        self.add_cpu(cpu)

    def add_cpu(self, cpu):
        """Prepare a vCPU's SynIC; every vCPU that shall be a channel's target does this, in its own program."""
        self._synics[cpu.index] = synic.GuestSynic(cpu, self.pages.take(), self.pages.take(), self._hints,
                                                   self._event, self._message, self.eoi)
        self.eoi.add_cpu(cpu)
        self._watch_flags(max(self.channels, default=0))

    def _watch_flags(self, relid):
        """The interrupt must look at the event flags up to this one."""
        for each in self._synics.values():
            each.flag_bytes = max(each.flag_bytes, 8 * (relid // 64 + 1))

    # Connection.

    def connect(self):
        """Agree on a version, newest first.  `DriverError` if the host speaks none of ours."""
        for version in self.versions:
            modern = version >= m.V5_0
            contact = m.INITIATE_CONTACT.pack(version=version, target_vp=self.cpu.index,
                                              sint=m.VMBUS_SINT if modern else 0)
            self._expect(Message.VERSION_RESPONSE)
            status = yield from self._post(contact, m.CONTACT_CONNECTION if modern else m.MESSAGE_CONNECTION)
            if status:
                continue            # nobody listens there: perhaps an older host
            answer = yield from self._answer(Message.VERSION_RESPONSE)
            if answer.supported:
                self.version = version
                self._connection = answer.connection_id if modern else m.MESSAGE_CONNECTION
                return version
        raise DriverError("VMBus: no version in common with the host")

    def request_offers(self):
        """All devices there are now: a list of `GuestChannel`."""
        yield from self._ask(m.REQUESTOFFERS.pack(), Message.ALLOFFERS_DELIVERED)
        return list(self.channels.values())

    def unload(self):
        """Leave the bus: the host closes everything and forgets our pages.  Then the SynIC goes off."""
        yield from self._ask(m.UNLOAD.pack(), Message.UNLOAD_RESPONSE)
        self.version = None
        for channel in self.channels.values():
            channel.end = channel.gpadl = None
        self.channels.clear()
        for each in self._synics.values():
            each.disable()
            self.eoi.remove_cpu(each.cpu)
        synic.disable_hypercalls(self.cpu)

    # GPADLs.

    def create_gpadl(self, channel, page_numbers):
        """Let the host use these pages, as one range.  Returns the handle."""
        handle, self._next_gpadl = self._next_gpadl, self._next_gpadl + 1
        self._expect(Message.GPADL_CREATED, handle)
        for message in m.gpadl_messages(channel.relid, handle, page_numbers):
            yield from self._post(message)
        answer = yield from self._answer(Message.GPADL_CREATED, handle, channel)
        if answer.status:
            raise DriverError(f"channel {channel.relid}: GPADL of {len(page_numbers)} pages: status {answer.status:#x}")
        return handle

    def teardown_gpadl(self, channel, handle):
        """Have the pages back: they are ours again on return."""
        message = m.GPADL_TEARDOWN.pack(relid=channel.relid, gpadl=handle)
        yield from self._ask(message, Message.GPADL_TORNDOWN, handle)

    # Channels.

    def open(self, channel, pages=16, gpa=None, host_pages=None, on_signal=None, user=b"", cpu=None):
        """Open a channel: `pages` for the ring to the host and `host_pages` (as many) for the one back.

        Each ring has a control page among them.  `gpa` says where they lie, in a
        row (default: from our `GuestPages`); `cpu` takes the interrupts (default:
        the client's).  Returns the `ChannelEnd`; `DriverError` if the host refuses.
        """
        if channel.end is not None:
            raise DriverError(f"channel {channel.relid} is open")
        total = pages + (host_pages or pages)
        first = (self.pages.take(total) if gpa is None else gpa) // PAGE
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
            yield from self.teardown_gpadl(channel, channel.gpadl)
            raise DriverError(f"channel {channel.relid}: the host refused to open it, status {answer.status:#x}")
        return channel.end

    def close(self, channel):
        """Close a channel (sub-channels before their primary) and have the rings' pages back."""
        if channel.end is not None:
            channel.end = None
            yield from self._post(m.CLOSECHANNEL.pack(relid=channel.relid))
        if channel.gpadl is not None:
            handle, channel.gpadl = channel.gpadl, None
            yield from self.teardown_gpadl(channel, handle)

    def release(self, channel):
        """After a rescind: close it if need be, and say that we are done with it."""
        yield from self.close(channel)
        yield from self._post(m.RELID_RELEASED.pack(relid=channel.relid))
        if self.channels.get(channel.relid) is channel:
            del self.channels[channel.relid]

    def retarget(self, channel, cpu):
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

    def _post(self, message, connection=None):
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

    def _expect(self, number, key=0):
        self._expected[number, key] = None

    def _ask(self, message, number, key=0, channel=None):
        """Post, and wait for the answer with that number (and handle or relid)."""
        self._expect(number, key)
        yield from self._post(message)
        return (yield from self._answer(number, key, channel))

    def _answer(self, number, key=0, channel=None):
        """Wait for it; `Rescinded` if the channel goes away meanwhile."""
        deadline = self.cpu.now + TIMEOUT_NS
        while self._expected[number, key] is None:
            left = deadline - self.cpu.now
            if channel is not None and channel.rescinded or left <= 0:
                del self._expected[number, key]
                raise (DriverTimeout(f"VMBus: no {m.NAMES[number]}") if left <= 0
                       else Rescinded(f"channel {channel.relid}: rescinded"))
            yield from self.cpu.hlt(left)
        return self._expected.pop((number, key))

    # From the host, in the interrupt.

    def _event(self, cpu, relid):
        channel = self.channels.get(relid)
        if channel is None or channel.end is None:
            return
        channel.end.interrupted()
        if channel.on_signal is not None:
            channel.on_signal(cpu)

    def _message(self, message_type, payload):
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

    def _offered(self, record):
        if not 0 < record.relid < tlfs.FLAGS_PER_SINT or record.relid in self.channels:
            self.ignored += 1
            return
        channel = self.channels[record.relid] = GuestChannel(record)
        self._watch_flags(record.relid)
        if self.on_offer is not None:
            self.on_offer(channel)

    def _rescinded(self, relid):
        channel = self.channels.get(relid)
        if channel is None or channel.rescinded:
            self.ignored += 1
            return
        channel.rescinded = True
        if channel.on_rescind is not None:
            channel.on_rescind()
