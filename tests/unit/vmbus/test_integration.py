"""The integration services, with a guest's half that does what hv_utils does: it sends a request back, with its answer in it."""

from datetime import datetime

import pytest

from tests.guests import on_a_bus
from vmio import modes
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.vmbus.bus.packets import COMPLETION
from vmio.vmbus.integration import wire as w
from vmio.vmbus.integration.heartbeat import PERIOD_NS, Heartbeat
from vmio.vmbus.integration.kvp import Kvp
from vmio.vmbus.integration.shutdown import Shutdown
from vmio.vmbus.integration.timesync import TimeSync

LIMIT = 120 * 10**9
SECOND = 10**9
HEAD = w.PIPE.size


def negotiated(body, version):
    """The answer to a question for versions: framework 3.0 and `version`."""
    record = w.VERSIONS.parse(body)
    offered = [tuple(w.VERSION.parse(record.versions, 4 * n)) for n in range(record.frameworks + record.messages)]
    assert (3, 0) in offered[:record.frameworks] and version in offered[record.frameworks:]
    return w.VERSIONS.pack(frameworks=1, messages=1, versions=w.VERSION.pack(major=3) + w.VERSION.pack(major=version[0], minor=version[1]))


class Half:
    """A guest with one service; `answer(kind, body)` returns (status, body), or None to say nothing."""

    def __init__(self, make, version, answer=lambda kind, body: (0, body), **changes):
        self.host = modes.Machine(memory_mib=64).host
        self.guest, server = on_a_bus(self.host, ram_mib=10)
        self.service = make(self.host, self.guest)
        self.service.offer(server)
        self.version, self.answer, self.changes, self.seen = version, answer, changes, []

    def _look(self, cpu):
        for packet in self.channel.end.packets():
            header = w.HEADER.parse(packet.payload, HEAD)
            body = packet.payload[w.HEADS:w.HEADS + header.size]
            self.seen.append((header, body, cpu.now))
            found = (0, negotiated(body, self.version)) if header.kind == w.NEGOTIATE else self.answer(header.kind, body)
            if found is not None:
                self.send(header, *found)

    def send(self, header, status, body):
        fields = {**header._asdict(), "size": len(body), "status": status, "flags": w.TRANSACTION | w.RESPONSE, **self.changes}
        self.channel.end.send(w.PIPE.pack() + w.HEADER.pack(**fields) + body, 0)

    def run(self, seconds, then=lambda half: None, close=False):
        def program(cpu):
            client = VmBusClient(cpu, GuestPages(0x10_0000, 0x60_0000))
            yield from client.connect()
            self.channel, = yield from client.request_offers()
            yield from client.open(self.channel, pages=4, on_signal=self._look)
            yield from cpu.hlt(SECOND)
            then(self)
            deadline = cpu.now + seconds * SECOND
            while cpu.now < deadline:
                yield from cpu.hlt(deadline - cpu.now)
            if close:
                yield from client.close(self.channel)
                yield from cpu.hlt(20 * SECOND)
        self.host.run((self.guest.cpu, program), limit_ns=LIMIT)
        return self.service

    @property
    def bodies(self):
        return [body for header, body, _ in self.seen if header.kind == self.service.kind]


def test_a_message_to_the_byte():
    """As struct icmsg_hdr and icmsg_negotiate have it."""
    half = Half(Shutdown, (3, 2))
    half.run(1)
    header, body, _ = half.seen[0]
    assert w.PIPE.size + w.HEADER.size == 28 and header == (0, 0, 0, 0, 0, len(body), 0, 0, w.TRANSACTION | w.REQUEST, b"\0\0")
    assert body == bytes.fromhex("0200 0400 00000000 0100 0000 0300 0000 0100 0000 0300 0000 0300 0100 0300 0200".replace(" ", ""))
    assert half.service.up and (half.service.framework, half.service.version) == ((3, 0), (3, 2))


def test_sizes_are_linuxs():
    assert (w.SHUTDOWN_MESSAGE.size, w.HEARTBEAT_MESSAGE.size, w.OLD_TIME_MESSAGE.size) == (12 + 2048, 40, 25)
    assert w.TIME_MESSAGE.size >= 22 and w.KVP_VALUE.size == 2572


@pytest.mark.parametrize("status, restart, flags", [(w.S_OK, False, 0), (w.E_FAIL, True, 2)])
def test_shutdown_is_asked_for(status, restart, flags):
    half, heard = Half(Shutdown, (3, 2), lambda kind, body: (status, body)), []
    half.run(1, lambda half: half.service.off(heard.append, restart))
    record = w.SHUTDOWN_MESSAGE.parse(half.bodies[0])
    assert heard == [status] and (record.flags, record.reason, record.timeout) == (flags, w.PLANNED, 0)


def test_nobody_is_asked_while_the_guests_half_is_not_up():
    half = Half(Shutdown, (3, 2))
    assert not half.service.off()
    half.run(1, close=True)
    assert not half.service.up and not half.service.off()


def test_a_heart_beats_until_the_channel_is_closed():
    def answer(kind, body):
        return 0, (int.from_bytes(body[:8], "little") + 1).to_bytes(8, "little") + body[8:]
    half = Half(Heartbeat, (3, 0), answer)
    service = half.run(9, close=True)
    assert (service.beats, service.missed) == (5, 0) and [int.from_bytes(body[:8], "little") for body in half.bodies] == list(range(5))
    times = [at for header, _, at in half.seen if header.kind == w.HEARTBEAT]
    assert all(abs(later - earlier - PERIOD_NS) < 10**6 for earlier, later in zip(times, times[1:]))


def test_a_heart_that_stops_is_missed_and_not_asked_again_and_again():
    half = Half(Heartbeat, (3, 0), lambda kind, body: None)
    service = half.run(9)
    assert service.beats == 0 and service.missed == 5 and len(half.bodies) == 1


def test_a_heartbeat_out_of_order_is_none():
    service = Half(Heartbeat, (3, 0)).run(3)          # it sends the sequence number back as it came
    assert service.beats == 0 and service.refused == {"heartbeat out of order": 1}


@pytest.mark.parametrize("version", [(3, 0), (4, 0)])
def test_the_time(version):
    half = Half(lambda host, guest: TimeSync(host, guest, datetime(2026, 1, 1)), version, lambda kind, body: None)
    half.run(11)
    layout = w.TIME_MESSAGE if version == (4, 0) else w.OLD_TIME_MESSAGE
    records = [layout.parse(body) for body in half.bodies]
    assert [record.flags for record in records] == [w.SYNC, w.SAMPLE, w.SAMPLE]
    new_year = (datetime(2026, 1, 1) - datetime(1601, 1, 1)).days * 86_400 * 10**7
    assert [(record.host - new_year) // 10**6 for record in records] == [0, 50, 100]
    if version == (4, 0):
        assert all(record.host - new_year - record.reference == half.guest.started // 100 for record in records)


def test_keys_and_values():
    asked, heard = [], []

    def answer(kind, body):
        operation, pool = body[0], body[1]
        asked.append((operation, pool))
        if operation != w.ENUMERATE:
            return 0, body
        index = int.from_bytes(body[4:8], "little")
        if index:
            return w.S_CONT, body
        text = {name: data for name, data in (("key", "Größe".encode("utf-16-le")), ("value", "42".encode("utf-16-le")))}
        return 0, body[:8] + w.KVP_VALUE.pack(type=1, key_size=len(text["key"]) + 2, value_size=len(text["value"]) + 2, **text)
    half = Half(Kvp, (4, 0), answer)

    def host(half):
        kvp = half.service
        assert kvp.set("a", "1", answered=lambda status: heard.append(status))
        assert kvp.delete("a", answered=lambda status: heard.append(status))
        for index in range(2):
            assert kvp.enumerate(index, lambda key, value: heard.append((key, value)), lambda status: heard.append(status))
    half.run(1, host)
    assert asked == [(w.SET, 0), (w.DELETE, 0), (w.ENUMERATE, 2), (w.ENUMERATE, 2)] and heard == [0, 0, ("Größe", "42"), w.S_CONT]
    record = w.KVP_VALUE.parse(half.bodies[0], 4)
    assert (record.type, record.key_size, record.key[:4], record.value_size, record.value[:4]) == (1, 4, b"a\0\0\0", 4, b"1\0\0\0")


@pytest.mark.parametrize("key, value", [("", "x"), ("k" * 256, "x"), ("k", "v" * 1024), ("a\0b", "x")])
def test_a_text_that_does_not_fit(key, value):
    half = Half(Kvp, (4, 0))
    half.run(1)
    with pytest.raises(ValueError, match="KVP (key|value) .*: 1 to (255|1023) characters"):
        half.service.set(key, value)


@pytest.mark.parametrize("changes, reason", [
    ({"flags": 0}, "no answer"), ({"size": 4000}, "no answer"), ({"kind": 7}, "answer that nobody waits for")])
def test_a_hostile_header_is_refused(changes, reason):
    half = Half(Shutdown, (3, 2), **changes)
    service = half.run(1)
    assert service.refused[reason] == 1 and not service.up


@pytest.mark.parametrize("body, reason", [
    (b"", "short versions"), (w.VERSIONS.pack(frameworks=0, messages=0, versions=bytes(8)), "no version in common"),
    (w.VERSIONS.pack(frameworks=1, messages=1, versions=w.VERSION.pack(major=9) * 2), "no version in common")])
def test_a_guest_without_a_version_in_common_is_left_alone(body, reason):
    half = Half(Shutdown, (3, 2), lambda kind, body: None)

    def hostile(half):
        half.service.refused.clear()
        half.service._agreed(0, body)
    half.service.up = False
    service = half.run(1, hostile)
    assert service.refused == {reason: 1}


def test_more_requests_than_may_wait_are_refused_and_short_answers_counted():
    half = Half(Kvp, (4, 0), lambda kind, body: None)

    def host(half):
        taken = [half.service.set("k", "v") for _ in range(100)]
        assert taken == [True] * 65 + [False] * 35
        half.channel.end.send(b"abc", 0)
        half.channel.end.send(bytes(64), 0, want_completion=True)
    service = half.run(1, host)
    assert service.refused["no answer"] == 1 and service.refused["short message"] == 1


def test_a_pair_that_makes_no_sense():
    heard = []
    half = Half(Kvp, (4, 0), lambda kind, body: (0, body[:8] + b"short"))
    half.run(1, lambda half: half.service.enumerate(0, lambda key, value: heard.append(key), heard.append))
    assert heard == [w.E_FAIL] and half.service.refused == {"no pair": 1}
    assert COMPLETION == 0xB
