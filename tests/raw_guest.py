"""A guest that says anything to the bus, for tests of the host's side: bytes out, records in."""

from tests import guests
from vmio.drivers import synic
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.hyperv import tlfs
from vmio.modes import Machine
from vmio.vmbus.bus import messages as m


def machine(host=None, vcpus=2, **options):
    """(host, guest, server) with the bus on."""
    host = host or Machine(memory_mib=64).host
    return host, *guests.on_a_bus(host, vcpus=vcpus, **options)


LIMIT = 60 * 10**9
RING = tuple(range(0x200, 0x208))


class RawGuest:
    """`post(bytes)` and `replies()`, both generators, for a program on `cpu`."""

    def __init__(self, cpu):
        self.cpu, self.inbox = cpu, []
        pages = GuestPages(0x10_0000, 0x20_0000)
        self.input = pages.take()
        hints = synic.detect(cpu).hints
        synic.enable_hypercalls(cpu, pages.take())
        self.synic = synic.GuestSynic(cpu, pages.take(), pages.take(), hints, lambda cpu, flag: None, self._take,
                                       synic.EndOfInterrupt(hints, pages))

    def _take(self, message_type, payload):
        if message_type == m.MESSAGE_TYPE:        # and not one of its own timers'
            self.inbox.append(m.parse(payload)[1])

    def post(self, data, connection=m.MESSAGE_CONNECTION, message_type=1):
        """One message, with patience while the port is full; any other status fails the test."""
        self.cpu.write(self.input, tlfs.POST_INPUT.pack(
            connection_id=connection, message_type=message_type, size=len(data), payload=data))
        while (status := self.cpu.hypercall(tlfs.POST_MESSAGE, self.input)) == tlfs.INSUFFICIENT_BUFFERS:
            yield from self.cpu.hlt(20_000)
        assert status == 0

    def replies(self):
        """What has come, once nothing comes any more."""
        seen = -1
        while seen != len(self.inbox):
            seen = len(self.inbox)
            yield from self.cpu.hlt(200_000)
            yield from self.cpu.hlt(200_000)
        got, self.inbox = self.inbox, []
        return got

    def say(self, *messages):
        """Post some and return the replies."""
        for message in messages:
            yield from self.post(message)
        return (yield from self.replies())

    def connect(self, version=m.V5_3, offers=True, **fields):
        """Contact, with further `fields` in it, and the offers."""
        yield from self.post(m.INITIATE_CONTACT.pack(version=version, **fields), m.CONTACT_CONNECTION)
        (answer,) = yield from self.replies()
        assert answer.supported
        return (yield from self.say(m.REQUESTOFFERS.pack())) if offers else []


class Quiet:
    """A device that does nothing."""

    class_id, instance_id = b"\1" * 16, b"\2" * 16

    def opened(self, end):
        pass

    def closed(self):
        pass


def converse(*scripts, devices=1, **options):
    """Run `script(raw, server)` after contact and offers; returns the server."""
    host, guest, server = machine(**options)
    for n in range(devices):
        server.offer(Quiet())

    def program(cpu):
        raw = RawGuest(cpu)
        yield from raw.connect()
        for script in scripts:
            yield from script(raw, server)

    host.run((guest.cpu, program), limit_ns=LIMIT)
    return server


def opening(relid=1, handle=7, pages=RING, downstream=4, vp=0):
    return (*m.gpadl_messages(relid, handle, pages),
            m.OPENCHANNEL.pack(relid=relid, open_id=55, gpadl=handle, target_vp=vp, downstream_page=downstream))

