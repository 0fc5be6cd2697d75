"""A guest that seals its frames, over every kind of card and a network that changes, repeats, reorders and loses them; and the bytes of its sockets."""

import pytest

from tests.net_rig import PEER, US, NetRig, frame
from tests.socket_rig import PORT, driven
from vmio.drivers.container.sealed_socket import SealedSocket
from vmio.drivers.errors import DriverError
from vmio.drivers.sealed import MAX_INNER, TYPE, SealedNet
from vmio.hypervisor.costs import CostModel
from vmio.machine.crypto.records import MAX_PLAIN, OVERHEAD, Opener, RecordRefused, Sealer

OUT, BACK = b"from the guest".ljust(48), b"to the guest".ljust(48)
MARK = b"the host must never see this"
RATE = CostModel.preset().gcm_rate


def letter(n, to=PEER, source=US):
    return to + source + b"\x08\x00" + b"%d " % n + MARK


class Cpu:
    ns = 0

    def compute(self, ns):
        self.ns += ns


class Card:
    """A driver that takes `places` frames until it is waited for, and has what is put into `come`."""

    address, pending = US, 0

    def __init__(self, places=100):
        self.places, self.left, self.sent, self.come, self.more = places, places, [], [], []

    def send(self, data, more=False):
        self.left -= 1
        if self.left < 0:
            return False
        self.sent.append(data)
        self.more.append(more)
        return True

    def wait(self, until=None):
        self.left = self.places
        yield

    def reap(self):
        come, self.come = self.come, []
        return come


def sealed(card):
    return SealedNet(Cpu(), card, Sealer(OUT), Opener(BACK), RATE)


@pytest.mark.parametrize("mode, options", (("emulated", {}), ("split", {}), ("passthrough", {})))
def test_over_each_kind_of_card_frames_come_as_they_were_sent_and_are_noise_on_the_wire(mode, options):
    rig = NetRig(mode, **options)
    ours, theirs = Opener(OUT), Sealer(BACK)
    answers = [PEER + US + TYPE for _ in range(3)]
    got = []

    def program(cpu, driver):
        card = SealedNet(cpu, driver, Sealer(OUT), Opener(BACK), cpu.costs.gcm_rate)
        for n in range(5):
            while not card.send(letter(n), more=n < 4):
                yield from card.wait()
        while card.pending:
            yield from card.wait()
        rig.station.say(*[US + PEER + TYPE + theirs.seal(letter(n)[12:]) for n in range(len(answers))])
        while len(got) < len(answers):
            yield from card.wait()
            got.extend(card.reap())
        assert card.refused is None and card.dropped == 0 and card.address == US
        return card.crypt_ns

    spent = rig.run(program)
    assert got == [letter(n, US, PEER) for n in range(3)]
    wire = rig.station.heard
    assert len(wire) == 5 and not any(MARK in each for each in wire)
    assert [each[:12] + ours.open(each[14:]) for each in wire] == [letter(n) for n in range(5)]
    assert spent == sum((len(each) - 14) * 10**9 // RATE for each in wire) + 3 * ((len(letter(0)) - 12 + 22) * 10**9 // RATE) > 0


def test_a_card_without_room_gets_each_record_once_and_in_order():
    card = Card(places=2)
    net = sealed(card)
    taken = [net.send(letter(n)) for n in range(4)]
    assert taken == [True, True, True, False] and net.pending == 1
    for _ in net.wait():
        pass
    assert net.pending == 0 and net.send(letter(3), more=True) and card.more == [False, False, False, True]
    opener = Opener(OUT)
    assert [each[:12] + opener.open(each[14:]) for each in card.sent] == [letter(n) for n in range(4)]


def test_the_longest_frame_fits_and_a_longer_one_is_refused():
    net = sealed(Card())
    assert net.send(frame(length=MAX_INNER)) and len(net.card.sent[0]) == 1514
    with pytest.raises(ValueError, match="^a frame of 1,491 bytes: a record adds 24, so at most 1,490$"):
        net.send(frame(length=MAX_INNER + 1))


WAYS = {        # what the network makes of three records: [what arrives], frames that the guest gets
    "nothing": (lambda one, two, three: [one, two, three], 3),
    "a bit is flipped in the second": (lambda one, two, three: [one, two[:40] + bytes([two[40] ^ 1]) + two[41:], three], 1),
    "the first comes twice": (lambda one, two, three: [one, one, two, three], 1),
    "two change places": (lambda one, two, three: [one, three, two], 1),
    "the first is lost": (lambda one, two, three: [two, three], 0),
    "a frame in clear comes between": (lambda one, two, three: [one, letter(7, US, PEER), two, three], 3),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_changes_repeats_reorders_or_takes_away_a_record_is_noticed(way):
    sealer, card = Sealer(BACK), Card()
    net = sealed(card)
    made, expected = WAYS[way]
    card.come = made(*[US + PEER + TYPE + sealer.seal(letter(n)[12:]) for n in range(3)])
    arrived = len(card.come)
    assert net.reap() == [letter(n, US, PEER) for n in range(expected)]
    if expected == 3:
        assert net.refused is None and net.dropped == arrived - 3
    else:
        assert isinstance(net.refused, RecordRefused) and net.refused.number == expected and net.dropped == arrived - expected - 1
    assert net.send(letter(9)) and Opener(OUT).open(card.sent[0][14:]) == letter(9)[12:]      # the other direction lives


# Over a socket.

LONG = bytes(range(256)) * 80               # more than one record has, and than a ring has


def answered(answer):
    """A program of the host's that keeps what comes, and at the end of it sends `answer(what came)`, in small pieces."""
    def listening(kept):
        def accepted(socket):
            came = bytearray()
            kept.append(came)

            def look():
                came.extend(socket.read())
                if socket.ended and socket.over is None:
                    socket.on_change = None
                    answers = answer(bytes(came))
                    for at in range(0, len(answers), 700):
                        socket.send(answers[at:at + 700])
                    socket.finish()
            socket.on_change = look
        return accepted
    return listening


def talk(answer):
    """A guest says `MARK` and `LONG` and listens; returns (what it received, its socket, what the host had in its hands)."""
    got = []

    def script(sockets, service, kept):
        socket = SealedSocket((yield from sockets.connect(PORT)), Sealer(OUT), Opener(BACK), RATE)
        yield from socket.send(MARK)
        yield from socket.send(LONG)
        yield from socket.socket.shutdown()
        while (content := (yield from socket.receive())):
            got.append(content)
        return socket, bytes(kept[0])
    (socket, came), *_ = driven(script, answered(answer))
    return got, socket, came


def back(came):
    """What the guest's friend behind the host answers: what the guest has said, joined, as two records."""
    opener, sealer = Opener(OUT), Sealer(BACK)
    said = b"".join(opener.take(bytearray(came)))
    return sealer.seal(said[:100]) + sealer.seal(said[100:MAX_PLAIN])


def test_over_a_socket_bytes_come_as_they_were_sent_and_the_host_has_records():
    got, socket, came = talk(back)
    assert got == [(MARK + LONG)[:100], (MARK + LONG)[100:MAX_PLAIN]]
    assert MARK not in came and len(came) == len(MARK + LONG) + 3 * OVERHEAD         # the long one as two records
    lengths = [len(MARK) + OVERHEAD, MAX_PLAIN + OVERHEAD, len(LONG) - MAX_PLAIN + OVERHEAD, 100 + OVERHEAD, MAX_PLAIN - 100 + OVERHEAD]
    assert socket.crypt_ns == sum(length * 10**9 // RATE for length in lengths)


@pytest.mark.parametrize("change, received, said", (
    (lambda records: records[:200] + bytes([records[200] ^ 1]) + records[201:], 1, "^socket: record 1: it is not what was sealed as this one"),
    (lambda records: records[:122] * 2, 1, "^socket: record 1: it is not what was sealed"),
    (lambda records: records[122:], 0, "^socket: record 0: it is not what was sealed"),
    (lambda records: b"\x17\x03\x03\xff\xff" + records, 0, "^socket: record 0: .* bytes after a header that says 65,535"),
    (lambda records: records[:-1], 1, "^socket: it ends with 16,305 bytes of a record that has more$")))
def test_what_a_host_does_to_the_bytes_of_a_socket_is_noticed(change, received, said):
    got = []

    def script(sockets, service, kept):
        socket = SealedSocket((yield from sockets.connect(PORT)), Sealer(OUT), Opener(BACK), RATE)
        yield from socket.send(LONG)
        yield from socket.socket.shutdown()
        for _ in range(2):                  # it stays so
            with pytest.raises(DriverError, match=said):
                while True:
                    got.append((yield from socket.receive()))
    driven(script, answered(lambda came: change(back(came))))
    assert len(got) == received
