"""A hostile guest on the bus: garbage and almost-right messages in any order, signals, MSRs, torn rings.

Nothing may escape from the host or hang it, a neighbour must not notice, and
after a reset an honest client must find a working bus.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.echo_device import EchoClient, EchoDevice, offer
from tests.raw_guest import RawGuest, machine
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.host import Host
from vmio.hypervisor.hyperv import tlfs
from vmio.vmbus.bus import messages as m

LIMIT = 60 * 10**9
FIRST, PAGES = 0x200, 8     # where the hostile guest's ring pages are

SMALL = st.sampled_from((0, 1, 2, 3, 4, 7, 8, 9, 16, 24, 40, 72, 4096, 8192, 32768, 0xFFFF))
ODD_PAGES = st.sampled_from((0, 0x102, 0x3FF, 0x400, 1 << 52, (1 << 64) - 1))
PAGE_NUMBERS = st.lists(st.integers(FIRST, FIRST + PAGES) | ODD_PAGES, max_size=26)


def values(field):
    if isinstance(field.default, bytes):
        return st.just(b"")
    return SMALL.map(lambda v: v & (1 << 8 * field.size) - 1) | st.integers(0, (1 << 8 * field.size) - 1)


def almost(layout):
    """A message of this layout with some fields set at random."""
    fields = {f.name: values(f) for f in layout.fields if f.name not in ("type", "padding")}
    if layout.tail:
        fields["pages"] = PAGE_NUMBERS
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: layout.pack(**chosen)[:240])


OPEN_1 = m.OPENCHANNEL.pack(relid=1, gpadl=7, downstream_page=4)
OPEN_2 = m.OPENCHANNEL.pack(relid=2, gpadl=8, downstream_page=2)
CONTACT = st.sampled_from(m.LINUX_VERSIONS).map(lambda v: m.INITIATE_CONTACT.pack(version=v))
RIGHT = st.sampled_from((
    m.REQUESTOFFERS.pack(), m.UNLOAD.pack(), m.CLOSECHANNEL.pack(relid=1), m.GPADL_TEARDOWN.pack(relid=1, gpadl=7),
    m.RELID_RELEASED.pack(relid=1), *m.gpadl_messages(1, 7, tuple(range(FIRST, FIRST + PAGES))),
    *m.gpadl_messages(2, 8, tuple(range(FIRST + PAGES, FIRST + 40))), m.MODIFYCHANNEL.pack(relid=1, target_vp=1),
    OPEN_1, OPEN_2))
DATA = (st.binary(max_size=240) | RIGHT | CONTACT | st.one_of([almost(layout) for layout in m.LAYOUTS.values()])
        | st.builds(lambda data, cut: data[:cut], RIGHT | CONTACT, st.integers(0, 239)))
CONNECTIONS = st.sampled_from((1, 1, 1, 4, 2, 0x2001))
# Words of the ring pages: any; the control words of both rings of both channels; the first record.
CONTROLS = st.builds(lambda page, word: 1024 * page + word,
                     st.sampled_from((0, 4, 8, 10)), st.sampled_from((0, 1, 2, 3, 16)))
RING_WORDS = st.integers(0, 40 * 1024 - 1) | CONTROLS | CONTROLS | st.integers(1024, 1034)
WORDS = st.integers(0, 64).map(lambda n: 8 * n) | st.integers(0, 0xFFFFFFFF)
MSRS = st.sampled_from((tlfs.SCONTROL, tlfs.SIMP, tlfs.SIEFP, tlfs.EOM, tlfs.EOI, tlfs.SINT0 + 2, tlfs.HYPERCALL,
                        tlfs.GUEST_OS_ID))
MSR_VALUES = (st.sampled_from((0, 1, 0xF3, 0x100F3, 0x20_0001, 0x20_1001, 0x10_1001, 0xFFFF_F001))
              | st.integers(0, (1 << 64) - 1))
STEPS = st.lists(st.one_of(
    st.tuples(st.just("post"), CONNECTIONS, DATA), st.tuples(st.just("post"), CONNECTIONS, DATA),
    st.tuples(st.just("honest"), st.just(1), CONTACT | RIGHT),
    st.tuples(st.just("signal"), st.sampled_from((0x2001, 0x2002)) | st.integers(0, (1 << 64) - 1), st.just(0)),
    st.tuples(st.just("store"), RING_WORDS, WORDS), st.tuples(st.just("tear"), CONTROLS, WORDS),
    st.tuples(st.just("signal"), st.sampled_from((0x2001, 0x2002)), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 100_000), st.just(0)),
    st.tuples(st.just("rescind"), st.sampled_from((1, 2)), st.just(0)),
    st.tuples(st.just("msr"), MSRS, MSR_VALUES)), min_size=8, max_size=40)


def hostile(manners, steps, server):
    """`manners`: 0 none, 1 makes contact first, 2 also opens both channels."""
    def program(cpu):
        raw = RawGuest(cpu)
        if manners:
            yield from raw.connect()
        if manners == 2:
            yield from raw.say(*m.gpadl_messages(1, 7, tuple(range(FIRST, FIRST + PAGES))), OPEN_1,
                               *m.gpadl_messages(2, 8, tuple(range(FIRST + PAGES, FIRST + 40))), OPEN_2)
        for kind, where, what in steps:
            try:
                if kind in ("post", "honest"):
                    cpu.write(raw.input, tlfs.POST_INPUT.pack(connection_id=where, message_type=1, size=len(what),
                                                              payload=what))
                    cpu.hypercall(tlfs.POST_MESSAGE, raw.input)
                    if kind == "honest":
                        yield from cpu.hlt(50_000)
                elif kind == "signal":
                    cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, where)
                elif kind == "store":
                    cpu.store(FIRST * 4096 + 4 * where, 4, what)
                elif kind == "tear":       # store, and say so
                    cpu.store(FIRST * 4096 + 4 * where, 4, what)
                    cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, 0x2001 if where < 1024 * PAGES else 0x2002)
                    yield from cpu.hlt(20_000)
                elif kind == "wait":
                    yield from cpu.hlt(where)
                elif kind == "rescind":
                    if where in server.channels:
                        server.rescind(server.channels[where])
                else:
                    cpu.wrmsr(where, what)
            except GuestFault:
                pass
        yield from cpu.hlt(1_000_000)
    return program


def echo_all(server, rounds):
    """An honest guest: opens every channel there is, and hears each echo."""
    def program(cpu):
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x38_0000))
        yield from client.connect()
        channels = yield from client.request_offers()
        for channel in channels:
            echo = EchoClient(client, channel)
            yield from echo.open(pages=2)
            for n in range(rounds):
                assert (yield from echo.ask(b"%8d" % n)) == b"%8d" % n
        yield from client.unload()
        assert not server.gpadls.by_handle and server.gpadls.pages == 0
        return len(channels)
    return program


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2), STEPS)
def test_a_hostile_guest_hurts_nobody_and_a_reset_heals(manners, steps):
    host, guest, server = machine(Host())
    devices = [offer(server, EchoDevice(host, n)) for n in (1, 2)]
    _, neighbour, quiet = machine(host)
    own = offer(quiet, EchoDevice(host, 3))
    _, found = host.run((guest.cpu, hostile(manners, steps, server)), (neighbour.cpu, echo_all(quiet, 10)),
                        limit_ns=LIMIT)
    assert found == 1 and own.echoed == 10 and not quiet.refused
    assert server.gpadls.pages == sum(g.cost for g in server.gpadls.by_handle.values())
    guest.enlightened.reset()
    left = len([c for c in server.channels.values() if c.state.value != "rescinded"])
    (found,) = host.run((guest.cpu, echo_all(server, 2)), limit_ns=LIMIT)
    assert found == left
    assert all(d.closes == d.opens for d in devices)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("ocrtRgu"), max_size=14))
def test_states_agree_with_the_device(letters):
    """Right messages in any order: a device is open exactly when its channel is."""
    host, guest, server = machine()
    device = offer(server, EchoDevice(host, 1))
    words = {"o": m.OPENCHANNEL.pack(relid=1, gpadl=7, downstream_page=4), "c": m.CLOSECHANNEL.pack(relid=1),
             "t": m.GPADL_TEARDOWN.pack(relid=1, gpadl=7), "R": m.RELID_RELEASED.pack(relid=1), "u": m.UNLOAD.pack(),
             "g": m.gpadl_messages(1, 7, tuple(range(FIRST, FIRST + PAGES)))[0]}

    def program(cpu):
        raw = RawGuest(cpu)
        yield from raw.connect()
        for letter in letters:
            if letter == "r":
                server.rescind(device.channel)
            else:
                yield from raw.post(words[letter])
            yield from raw.replies()
            assert (device.channel.state.value == "open") == (device.opens > device.closes)
            assert device.opens - device.closes in (0, 1)
            if device.channel.state.value == "open":
                assert server.gpadls.by_handle[7] is device.channel.ring

    host.run((guest.cpu, program), limit_ns=LIMIT)
