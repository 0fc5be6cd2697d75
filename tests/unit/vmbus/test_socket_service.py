"""Connections between a guest and its host: messages 21 and 23, offers, and everything a guest may do wrong with them."""

import pytest

from tests import bus_rig
from tests.raw_guest import LIMIT, RawGuest, machine
from tests.socket_rig import PORT, driven, echoed, rest
from vmio.drivers.container.sockets import Sockets
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.packets import PIPE
from vmio.vmbus.bus.server import CONNECTION_REFUSED
from vmio.vmbus.socket.host_socket import CLOSES_NS, UNREAD
from vmio.vmbus.socket.service import MOST, SocketService
from vmio.vmbus.socket.wire import OFFER, service_of

ELSEWHERE = service_of(5)
OWN = service_of(1024)


def raw(script, version=m.V5_3, **options):
    """Run `script(raw, server, service, kept)` as the guest; returns (server, service, kept)."""
    host, guest, server = machine(**options)
    service, kept = SocketService(host, guest, server), []
    service.listen(PORT, echoed(kept))

    def program(cpu):
        other = RawGuest(cpu)
        yield from other.connect(version)
        return (yield from script(other, server, service, kept))
    host.run((guest.cpu, program), limit_ns=LIMIT)
    return server, service, kept


def request(endpoint=OWN, service=PORT):
    return m.TL_CONNECT_REQUEST.pack(endpoint=endpoint, service=service)


def test_the_request_is_answered_with_an_offer_to_the_byte():
    def script(raw, server, service, kept):
        (offer,) = yield from raw.say(request())
        assert offer.type == m.Message.OFFERCHANNEL and offer.flags == 0x2000
        assert (offer.interface_type, offer.instance, offer.subchannel) == (PORT, OWN, 0)
        assert offer.user == bytes((0, 0, 0, 0, 0, 0, 1, 0, 0, 0)) + bytes(110)       # the fifth byte: the guest has asked
        (again,) = yield from raw.say(request())
        assert (again.type, again.status) == (m.Message.TL_CONNECT_RESULT, CONNECTION_REFUSED)
    server, service, kept = raw(script)
    assert service.refused == {"endpoint in use": 1} and service.made == 1 == len(kept)


def test_the_host_connects_with_an_offer_that_says_so():
    def script(raw, server, service, kept):
        socket = service.connect(ELSEWHERE)
        (offer,) = yield from raw.replies()
        assert (offer.interface_type, offer.instance, offer.flags) == (ELSEWHERE, service_of(0x8000_0000), 0x2000)
        assert OFFER.parse(offer.user).from_host == 1 == offer.user[4]
        yield from rest(raw.cpu, 6_000_000_000)
        (rescind,) = yield from raw.replies()          # nobody has opened it
        assert rescind.relid == offer.relid and socket.over == "the guest has not opened it"
        assert service.held == 1
        yield from raw.say(m.RELID_RELEASED.pack(relid=offer.relid))
        assert service.held == 0 and not server.channels
    raw(script)


@pytest.mark.parametrize("version, answers", [(m.V5_3, 1), (m.V5_0, 1), (m.V4_1, 0)])
def test_what_nobody_listens_to_is_refused_from_5_0_on(version, answers):
    def script(raw, server, service, kept):
        found = yield from raw.say(request(service=ELSEWHERE))
        assert [(each.endpoint, each.service, each.status) for each in found] == [(OWN, ELSEWHERE, CONNECTION_REFUSED)] * answers
    server, service, kept = raw(script, version)
    assert service.refused == {"nobody listens": 1} and not server.channels
    assert server.refused["TL_CONNECT_REQUEST of what nobody listens to, or too many"] == 1


def test_without_a_service_each_request_is_refused():
    host, guest, server = machine()

    def program(cpu):
        other = RawGuest(cpu)
        yield from other.connect()
        return (yield from other.say(request(), m.TL_CONNECT_REQUEST.pack()[:39]))
    (found,) = host.run((guest.cpu, program), limit_ns=LIMIT)
    assert [each.status for each in found] == [CONNECTION_REFUSED] and server.refused["ShortMessage"] == 1


def test_a_flood_of_connections_ends_at_a_number():
    def script(raw, server, service, kept):
        relids = []
        for n in range(MOST + 10):
            (answer,) = yield from raw.say(request(service_of(2000 + n)))
            if answer.type == m.Message.OFFERCHANNEL:
                relids.append(answer.relid)
        assert len(relids) == MOST == service.held and service.refused == {"too many": 10}
        yield from rest(raw.cpu, 6_000_000_000)          # none was opened: all are taken back, and are still not given back
        rescinds = yield from raw.replies()
        assert sorted(each.relid for each in rescinds) == sorted(relids) and service.held == MOST
        (answer,) = yield from raw.say(request(service_of(1)))
        assert answer.type == m.Message.TL_CONNECT_RESULT
        for relid in relids:
            yield from raw.post(m.RELID_RELEASED.pack(relid=relid))
        yield from raw.replies()
        assert service.held == 0 and not server.channels
        (answer,) = yield from raw.say(request(service_of(1)))
        assert answer.type == m.Message.OFFERCHANNEL
    raw(script)


def test_a_reset_ends_all_connections():
    def script(raw, server, service, kept):
        yield from raw.say(request())
        assert service.held == 1
        yield from raw.say(m.UNLOAD.pack())
        assert service.held == 0 and not server.channels and not service.sockets
    raw(script)


def test_bytes_both_ways_half_closed_and_closed():
    def script(sockets, service, kept):
        socket = yield from sockets.connect(PORT)
        got = bytearray()
        for n in range(20):
            yield from socket.send(b"%4d" % n * 500)
            while len(got) < (n + 1) * 2000:
                got += yield from socket.receive()
        assert got == b"".join(b"%4d" % n * 500 for n in range(20))
        yield from socket.shutdown()
        assert (yield from socket.receive()) == b"" and kept[0].ended
        yield from socket.close()
        return socket.stream.records, dict(sockets.client.channels)
    (records, channels), server, service, kept = driven(script)
    assert channels == {} == server.channels and service.held == 0 and service.ended == {"both sides had ended": 1}
    assert kept[0].over == "" and service.records == records == 2 * 20 + 2


def test_a_host_that_does_not_read_lets_the_guest_stand_still_and_loses_nothing():
    """20 KiB of ring and four records in the host's hands, no more; and all of it comes when it reads."""
    data = bytes(n % 253 for n in range(100_000))

    def script(sockets, service, kept):
        kept[:] = []
        service.ignore(PORT)
        service.listen(PORT, kept.append)
        socket = yield from sockets.connect(PORT)
        host, read = service.host, bytearray()
        stood = []

        def look(_):
            stood.append((socket.stream.sent, sum(len(each) for each, _ in kept[0]._unread)))
            kept[0].on_change = lambda: read.extend(kept[0].read())
            kept[0].on_change()
        host.at(host.env.now + 50_000_000, look)
        yield from socket.send(data)
        yield from socket.shutdown()
        yield from rest(sockets.cpu, 1_000_000)
        return bytes(read), stood, kept[0]
    (read, stood, socket), server, service, kept = driven(script)
    assert read == data and socket.ended
    (sent, held), = stood
    assert held <= UNREAD * 4088 and held < sent + 4088 <= held + 5 * 4096 + 4088


def test_a_guest_that_does_not_read_lets_the_host_stand_still_and_loses_nothing():
    data = bytes(n % 241 for n in range(200_000))

    def script(sockets, service, kept):
        sockets.listen(ELSEWHERE)
        socket = service.connect(ELSEWHERE)
        socket.send(data)
        socket.finish()
        guest = yield from sockets.accept(ELSEWHERE)
        yield from rest(sockets.cpu, 10_000_000)
        assert socket.unsent > len(data) - 5 * 4096
        got = bytearray()
        while more := (yield from guest.receive()):
            assert len(more) <= 16384
            got += more
        yield from guest.close()
        return bytes(got), socket
    (got, socket), server, service, kept = driven(script)
    assert got == data and socket.over == "" and socket.unsent == 0
    with pytest.raises(ValueError, match="1 bytes after it was finished"):
        socket.send(b"x")


def test_a_host_that_closes_does_not_wait_for_ever():
    def script(sockets, service, kept):
        socket = yield from sockets.connect(PORT)
        kept[0].close()
        yield from rest(sockets.cpu, CLOSES_NS - 1_000_000)
        assert kept[0].over is None
        yield from rest(sockets.cpu, 2_000_000)
        assert (yield from socket.receive()) == b""
        with pytest.raises(DriverError, match="the connection is over, 3 bytes are not sent"):
            yield from socket.send(b"abc")
        yield from socket.close()
    _, server, service, kept = driven(script)
    assert kept[0].over == "the guest has not ended its side" and service.held == 0


def test_nobody_listens_in_the_guest_or_nobody_connects():
    def script(sockets, service, kept):
        with pytest.raises(DriverError, match="the host refuses the connection, status 0xc0000236"):
            yield from sockets.connect(ELSEWHERE)
        sockets.listen(ELSEWHERE)
        with pytest.raises(DriverTimeout, match="nobody has connected"):
            yield from sockets.accept(ELSEWHERE)
    driven(script)


@pytest.mark.parametrize("payload, said", [
    (PIPE.pack(size=100) + b"x", "100 bytes said, 8 there"), (PIPE.pack(size=1 << 31) + bytes(16), "bytes said, 16 there"),
    (PIPE.pack(type=3, size=1) + b"x", "packet of type 0x3"), (b"", "0 bytes; in-band")])
def test_a_record_that_lies_ends_its_connection_and_no_other(payload, said):
    def script(sockets, service, kept):
        other = yield from sockets.connect(PORT)
        socket = yield from sockets.connect(PORT)
        socket.stream.end.send(payload)
        yield from rest(sockets.cpu, 1_000_000)
        assert said in kept[1].over and kept[0].over is None
        yield from other.send(b"alive")
        assert (yield from other.receive()) == b"alive"
        yield from socket.close()
    _, server, service, kept = driven(script)
    assert server.refused["channel 2: RingCorrupt"] == 1 and service.held == 1


def test_ends_without_end_end_it():
    """FIN and FIN again: what comes after the end of all is no byte of anybody's."""
    def script(sockets, service, kept):
        socket = yield from sockets.connect(PORT)
        kept[0].on_change = None                # the host's program is slow: its own end is not there yet
        for _ in range(3):
            socket.stream.end.send(PIPE.pack())
        yield from rest(sockets.cpu, 1_000_000)
        assert kept[0].over == "socket: 0 bytes after the end of all"
    driven(script)


def test_a_guest_that_closes_its_channel_without_a_word():
    def script(sockets, service, kept):
        socket = yield from sockets.connect(PORT)
        yield from socket.send(b"last words")
        yield from rest(sockets.cpu, 1_000_000)
        yield from sockets.client.close(socket.channel)
        yield from sockets.client.taken_back(socket.channel)
        yield from sockets.client.release(socket.channel)
    _, server, service, kept = driven(script)
    assert kept[0].over == "the guest has closed its channel" and service.held == 0 and not server.channels


def test_a_connection_that_waits_for_the_guest_is_there_when_it_comes():
    """Its first contact ends no life: nobody has had the offer yet."""
    host, guest, server, _ = bus_rig.machine(devices=0)
    service = SocketService(host, guest, server)
    socket = service.connect(ELSEWHERE)

    def program(cpu):
        client = bus_rig.new_client(cpu)
        sockets = Sockets(client)
        sockets.listen(ELSEWHERE)
        yield from client.connect()
        yield from client.request_offers()
        yield from (yield from sockets.accept(ELSEWHERE)).send(b"here")
        yield from rest(cpu, 1_000_000)
    bus_rig.run(host, guest, program)
    assert socket.over is None and socket.read() == b"here"
