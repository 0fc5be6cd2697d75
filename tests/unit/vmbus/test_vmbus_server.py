"""The host's side of the bus, told all kinds of wrong things by a guest that has no manners."""

import pytest

from tests.echo_device import EchoClient, EchoDevice, offer
from tests.raw_guest import LIMIT, RING, Quiet, RawGuest, converse, machine, opening
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.bus.server import FAILED, MAX_CHANNELS


def test_offers_and_their_end():
    host, guest, server = machine()
    server.offer(Quiet())
    server.offer(Quiet())
    seen = []

    def program(cpu):
        seen.extend((yield from RawGuest(cpu).connect()))

    host.run((guest.cpu, program), limit_ns=LIMIT)
    assert [r.type for r in seen] == [1, 1, 4]
    first = seen[0]
    assert (first.relid, first.flags, first.dedicated_interrupt, first.connection_id) == (1, 1, 1, 0x2001)
    assert (first.interface_type, first.subchannel, first.monitor_allocated) == (b"\1" * 16, 0, 0)


@pytest.mark.parametrize("changes, supported", [
    ({}, 1), ({"version": m.V5_0}, 1), ({"version": m.V6_0}, 0), ({"version": 0}, 0), ({"version": 0xFFFFFFFF}, 0),
    ({"sint": 2, "vtl": 1}, 0), ({"monitor_page1": 0x10000}, 0),
    ({"monitor_page1": 0x10000, "monitor_page2": 0x11000}, 1), ({"target_vp": 2}, None), ({"sint": 16}, None),
    ({"target_vp": 0xFFFFFFFF}, None)])
def test_contact(changes, supported):
    host, guest, server = machine()

    def program(cpu):
        raw = RawGuest(cpu)
        yield from raw.post(m.INITIATE_CONTACT.pack(**{"version": m.V5_3, **changes}), m.CONTACT_CONNECTION)
        return (yield from raw.replies())

    (replies,) = host.run((guest.cpu, program), limit_ns=LIMIT)
    assert [r.supported for r in replies] == ([] if supported is None else [supported])
    assert (server.version is not None) == bool(supported)
    if supported:
        assert replies[0].connection_id == m.MESSAGE_CONNECTION


def test_a_refusal_goes_to_the_sint_that_asked():
    host, guest, server = machine()

    def program(cpu):
        raw = RawGuest(cpu)
        yield from raw.post(m.INITIATE_CONTACT.pack(version=m.V5_3, sint=5), m.CONTACT_CONNECTION)
        assert (yield from raw.replies()) == []

    host.run((guest.cpu, program), limit_ns=LIMIT)
    assert cpu_slot(guest, 5).startswith(b"\1\0\0\0\x10")


def cpu_slot(guest, sint):
    page = guest.enlightened.synics[0].simp & ~0xFFF
    return guest.memory.read(page + 256 * sint, 32)


def test_nothing_before_contact():
    host, guest, server = machine()
    server.offer(Quiet())

    def program(cpu):
        raw = RawGuest(cpu)
        everything = (m.REQUESTOFFERS.pack(), *opening(), m.CLOSECHANNEL.pack(relid=1), m.UNLOAD.pack(),
                      m.GPADL_TEARDOWN.pack(relid=1, gpadl=7), m.RELID_RELEASED.pack(relid=1))
        return (yield from raw.say(*everything))

    assert host.run((guest.cpu, program), limit_ns=LIMIT) == [[]]
    assert sum(server.refused.values()) == 7 and not server.handled


def test_short_unknown_and_backward_messages():
    def script(raw, server):
        for layout in m.LAYOUTS.values():
            if layout.size > 8:
                assert (yield from raw.say(layout.pack()[:layout.size - 1])) == []
        for data in (b"", b"\1\0\0", bytes(8), b"\x63" + bytes(100), b"\xff" * 240, m.OFFERCHANNEL.pack(),
                     m.VERSION_RESPONSE.pack(), m.OPEN_RESERVED.pack()):
            assert (yield from raw.say(data)) == []
        yield from raw.post(m.REQUESTOFFERS.pack(), message_type=2)
        assert (yield from raw.replies()) == []
        assert (yield from raw.say(m.REQUESTOFFERS.pack())) == []    # the second one
        assert server.version == m.V5_3

    server = converse(script)
    assert server.refused["REQUESTOFFERS twice"] == 1
    assert server.refused["ShortMessage"] >= 20


def test_open_close_and_what_may_not_be():
    def script(raw, server):
        created, result = yield from raw.say(*opening())
        assert (created.relid, created.gpadl, created.status) == (1, 7, 0)
        assert (result.relid, result.open_id, result.status) == (1, 55, 0)
        channel = server.channels[1]
        assert channel.state is State.OPEN
        (again,) = yield from raw.say(opening()[-1])                         # open twice
        assert again.status == FAILED and channel.state is State.OPEN
        assert (yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=7))) == []   # the ring in use
        assert (yield from raw.say(m.RELID_RELEASED.pack(relid=1))) == []    # it lives
        assert raw.cpu.hypercall(0x1005D, 0x2001) == 0
        assert (yield from raw.say(m.CLOSECHANNEL.pack(relid=1))) == []
        assert channel.state is State.OFFERED
        assert raw.cpu.hypercall(0x1005D, 0x2001) == 0x12
        yield from raw.say(m.CLOSECHANNEL.pack(relid=1))                     # close twice
        assert server.refused["CLOSECHANNEL in state offered"] == 1
        assert (yield from raw.say(m.GPADL_TEARDOWN.pack(relid=2, gpadl=7))) == []   # somebody else's
        (torn,) = yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=7))
        assert torn.gpadl == 7
        assert (yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=7))) == []

    converse(script)


@pytest.mark.parametrize("changes", [
    {"downstream": 0}, {"downstream": 1}, {"downstream": 7}, {"downstream": 8}, {"downstream": 0xFFFFFFFF},
    {"vp": 2}, {"vp": 0xFFFFFFFE}, {"pages": (0x200, 0x201, 0x202)}])
def test_openings_that_fail(changes):
    def script(raw, server):
        replies = yield from raw.say(*opening(**changes))
        assert [r.status for r in replies] == [0, FAILED]
        replies = yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=7), *opening())
        assert [r.type for r in replies] == [12, 10, 6] and replies[-1].status == 0

    converse(script)


def test_open_needs_its_own_gpadl():
    def script(raw, server):
        (alone,) = yield from raw.say(opening()[-1])
        assert alone.status == FAILED
        header, wrong = opening(relid=1)[0], opening(relid=2)[-1]
        replies = yield from raw.say(header, wrong)        # channel 2 with channel 1's pages
        assert [r.status for r in replies] == [0, FAILED]
        ranges = m.GPADL_HEADER.pack(relid=2, gpadl=9, range_bytes=8 + 8 * 8, ranges=1, byte_count=8 * 4096 - 8,
                                     byte_offset=8, pages=range(0x300, 0x308))
        replies = yield from raw.say(ranges, opening(relid=2, handle=9)[-1])   # not whole pages
        assert [r.status for r in replies] == [0, FAILED]
        assert (yield from raw.say(opening(relid=99)[-1])) == []

    converse(script, devices=2)


def test_corrupt_indices_at_open():
    def script(raw, server):
        raw.cpu.write(RING[0] * 4096, (12).to_bytes(4, "little"))
        replies = yield from raw.say(*opening())
        assert [r.status for r in replies] == [0, FAILED]
        raw.cpu.write(RING[0] * 4096, bytes(4))
        (result,) = yield from raw.say(opening()[-1])
        assert result.status == 0

    converse(script)


def test_an_overlay_over_a_ring_page():
    def script(raw, server):
        raw.cpu.wrmsr(0x4000_0082, RING[1] * 4096 | 1)     # SIEFP
        (created,) = yield from raw.say(opening()[0])
        assert created.status == FAILED
        raw.cpu.wrmsr(0x4000_0082, 0)
        (created,) = yield from raw.say(opening()[0])
        assert created.status == 0
        raw.cpu.wrmsr(0x4000_0082, RING[1] * 4096 | 1)
        (result,) = yield from raw.say(opening()[-1])
        assert result.status == FAILED

    converse(script)


def test_a_corrupt_ring_latches_its_channel_only():
    host, guest, server = machine()
    bad, good = (offer(server, EchoDevice(host, n)) for n in (1, 2))

    def program(cpu):
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x40_0000))
        yield from client.connect()
        one, two = [EchoClient(client, c) for c in (yield from client.request_offers())]
        yield from one.open()
        yield from two.open()
        memory = one.end.outgoing.memory
        memory.store32(0, 0x123)                           # a write index that can't be
        one.channel.signal()
        yield from cpu.hlt(10**6)
        assert bad.channel.state is State.FAILED and "write index" in str(bad.channel.error)
        one.channel.signal()
        assert one.channel.lost_signals == 1
        assert (yield from two.ask(b"neighbour")) == b"neighbour".ljust(16, b"\0")
        yield from client.close(one.channel)
        assert bad.channel.state is State.OFFERED
        yield from one.open()
        assert (yield from one.ask(b"anew....")) == b"anew...."
        assert bad.channel.error is None

    host.run((guest.cpu, program), limit_ns=LIMIT)
    assert (bad.opens, bad.closes) == (2, 1)


def test_modify_channel():
    def script(raw, server):
        (early,) = yield from raw.say(m.MODIFYCHANNEL.pack(relid=1, target_vp=1))
        assert early.status == FAILED
        yield from raw.say(*opening())
        replies = yield from raw.say(*(m.MODIFYCHANNEL.pack(relid=1, target_vp=vp) for vp in (1, 2, 0xFFFFFFFF)))
        assert [r.status for r in replies] == [0, FAILED, 0]
        assert server.channels[1].target_vp == 0xFFFFFFFF

    converse(script)


def test_unload_closes_everything():
    def script(raw, server):
        yield from raw.say(*opening())
        (done,) = yield from raw.say(m.UNLOAD.pack())
        assert done.type == 17 and server.version is None
        assert server.channels[1].state is State.OFFERED and not server.gpadls.by_handle
        assert (yield from raw.say(m.UNLOAD.pack())) == []
        offers = yield from raw.connect()
        assert [r.type for r in offers] == [1, 1, 4]

    converse(script, devices=2)


def test_rescinded_channels_take_nothing_but_goodbyes():
    def script(raw, server):
        yield from raw.say(*opening())
        channel = server.channels[1]
        server.rescind(channel)
        server.rescind(channel)
        (rescind,) = yield from raw.replies()
        assert rescind.type == 2 and channel.state is State.RESCINDED
        (result,) = yield from raw.say(opening()[-1])
        assert result.status == FAILED
        assert (yield from raw.say(m.CLOSECHANNEL.pack(relid=1))) == []
        (torn,) = yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=7))
        assert torn.type == 12
        assert (yield from raw.say(m.RELID_RELEASED.pack(relid=1))) == []
        assert channel.state is State.GONE and not server.channels
        yield from raw.say(m.RELID_RELEASED.pack(relid=1))

    server = converse(script)
    assert server.refused["RELID_RELEASED of a channel that lives"] == 1


def test_rescind_before_the_guest_knows():
    host, guest, server = machine()
    channel = server.offer(Quiet())
    server.rescind(channel)
    assert not server.channels and channel.state is State.GONE


def test_a_guest_that_does_not_take_its_messages_blocks_itself():
    host, guest, server = machine()
    server.offer(Quiet())
    statuses = []

    def program(cpu):
        raw = RawGuest(cpu)
        yield from raw.connect()
        cpu.cli()                                          # never looks into its slot again
        bad = m.gpadl_messages(1, 7, (0x200, 0x200))[0]    # each has an answer
        for _ in range(200):
            cpu.write(raw.input, bytes(16))
            cpu.write(raw.input, (1).to_bytes(8, "little") + (1).to_bytes(4, "little")
                      + len(bad).to_bytes(4, "little") + bad)
            statuses.append(cpu.hypercall(0x5C, raw.input))
            cpu.compute(50_000)
            yield from cpu.pay()
        assert len(server._outgoing) <= 1
        cpu.sti()
        taken = yield from raw.replies()
        assert len(taken) == statuses.count(0) >= 30

    host.run((guest.cpu, program), limit_ns=LIMIT)
    assert statuses[-1] == 0x13 and set(statuses) == {0, 0x13}


def test_all_relids_in_use():
    host, guest, server = machine()
    server.offer(Quiet())
    server.channels.update({n: server.channels[1] for n in range(2, MAX_CHANNELS + 1)})
    with pytest.raises(ValueError, match="2047"):
        server.offer(Quiet())
