"""A network card behind a vhost-user back end: what a guest sends is answered through the ring of what comes, and nothing that it lent is lost."""

import os
import struct

import pytest

from tests.vhost_user_rig import (ENABLE, EVENT_IDX, GET_BASE, GET_FEATURES, GET_PROTOCOL, INDIRECT_DESC, KICK, PACKED, USUAL, FrontEnd, pair,
                                  u64)
from vmio.machine.net import frames
from vmio.oracle.vhost_user.served.card import PEER, PEER_IP, Card
from vmio.virtio.net_wire import MRG_RXBUF

GET_QUEUES = 17
GUEST, GUEST_IP = bytes.fromhex("525400123456"), bytes((10, 0, 0, 2))
HEADER = 12
KINDS = {"split": USUAL | INDIRECT_DESC | MRG_RXBUF, "packed": USUAL | PACKED | MRG_RXBUF, "no merging": USUAL}
ASK = frames.BROADCAST + GUEST + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + GUEST + GUEST_IP + bytes(6) + PEER_IP
TOLD = GUEST + PEER + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 2) + PEER + PEER_IP + GUEST + GUEST_IP


class Guest(FrontEnd):
    """A front end with both rings of a card; `lend` gives it room for what comes."""

    def __init__(self, features):
        super().__init__(Card())
        self.begin(features)
        self.comes, self.goes = self.ring(0), self.ring(1, at=0x8000)

    def lend(self, *sizes):
        for size in sizes:
            self.comes.add([size])
        self.comes.publish()

    def sends(self, frame, header=bytes(HEADER)):
        """Send a frame; its used lengths."""
        self.goes.add([header + frame])
        self.goes.publish()
        self.goes.run()
        return [length for _, length in self.goes.reap()]

    def got(self):
        """What has come, chain by chain."""
        return [self.read(self.comes.buffers.pop(number)[0][0], length) for number, length in self.comes.reap()]

    @property
    def card(self):
        return self.session.device


@pytest.fixture(params=KINDS)
def guest(request):
    made = Guest(KINDS[request.param])
    yield made
    made.close()


def test_what_is_offered():
    front = FrontEnd(Card())
    try:
        offered, = struct.unpack("<Q", front.ask(GET_FEATURES))
        assert [bit for bit in range(64) if offered >> bit & 1] == [15, 26, 28, 29, 30, 32, 34]
        assert struct.unpack("<Q", front.ask(GET_PROTOCOL)) == (0x1A20B,)           # no INFLIGHT_SHMFD: what is lent is not under way
        assert struct.unpack("<Q", front.ask(GET_QUEUES)) == (1,)                   # pairs
        front.begin()
        assert not front.acknowledged(8, pair(2, 16)) and "ring 2: there are rings 0 to 1" in front.said[-1]
    finally:
        front.close()


def test_a_question_is_answered_in_a_buffer_that_was_lent(guest):
    guest.lend(2048, 2048)
    merged = guest.features & MRG_RXBUF
    assert guest.sends(ASK) == [0]
    assert guest.got() == [bytes(10) + struct.pack("<H", bool(merged)) + TOLD.ljust(frames.MIN, b"\0")]
    assert (guest.card.frames_out, guest.card.frames_in, guest.card.dropped, guest.card.peer.answered["arp"]) == (1, 1, 0, 1)
    assert [ring.requests for ring in guest.session.rings] == [1, 1] == [ring.calls for ring in guest.session.rings]
    assert guest.comes.calls() == guest.goes.calls() == 1 and not guest.said


def test_without_room_an_answer_is_lost_and_the_next_one_comes(guest):
    guest.sends(ASK)
    assert guest.card.dropped == 1 and guest.got() == []
    guest.lend(2048)
    guest.sends(ASK)
    assert len(guest.got()) == 1 and guest.card.dropped == 1


def test_a_ring_that_is_disabled_gets_nothing(guest):
    guest.lend(2048)
    guest.send(ENABLE, pair(0, 0))
    guest.sends(ASK)
    assert guest.got() == [] and guest.card.dropped == 1
    guest.send(ENABLE, pair(0, 1))
    guest.sends(ASK)
    assert len(guest.got()) == 1


def test_what_was_lent_and_not_used_is_lent_to_the_next_back_end(guest):
    """With MRG_RXBUF the card takes two chains for a frame of 72 bytes; without, it takes one that is large enough."""
    guest.lend(2048, 2048, 2048)
    guest.sends(ASK)
    guest.card._chains(guest.session.rings[0].queue, 4096)              # it holds all that was lent
    guest.got()
    base, = struct.unpack_from("<4xI", guest.ask(GET_BASE, pair(0, 0)))
    assert base == (1 if not guest.features & PACKED else (1 | 1 << 15) * 0x10001)
    guest.send(10, pair(0, base))
    guest.send(KICK, u64(0), [guest.comes.kick])
    guest.work()
    for left in (1, 1, 0):
        guest.sends(ASK)
        assert len(guest.got()) == left
    assert guest.session.rings[0].requests == 3


def test_a_frame_goes_on_in_the_next_buffer():
    guest = Guest(KINDS["split"])
    try:
        guest.lend(40, 40)
        guest.sends(ASK)
        first, second = guest.got()
        assert first[:HEADER] == bytes(10) + b"\2\0" and (first[HEADER:] + second) == TOLD.ljust(frames.MIN, b"\0")
    finally:
        guest.close()


@pytest.mark.parametrize("frame", [b"", b"\xff" * 13, bytes(1519)])
def test_what_is_no_frame_goes_nowhere(guest, frame):
    guest.lend(2048)
    assert guest.sends(frame) == [0]
    assert guest.card.dropped == 1 and guest.got() == [] and not guest.said


def test_a_frame_without_a_header_breaks_its_ring_and_not_the_other(guest):
    guest.lend(2048)
    guest.sends(b"", bytes(11))
    assert guest.said == ["ring 1: a frame of 11 bytes, its header has 12; it is served no more until it is started anew"]
    assert struct.unpack("<Q", os.read(guest.goes.err, 8)) == (1,)
    guest.ask(GET_BASE, pair(1, 0))
    guest.write(0x8000, bytes(0x6000))
    guest.goes = guest.ring(1, at=0x8000)
    guest.sends(ASK)
    assert len(guest.got()) == 1


def test_with_events_the_guest_is_told_when_it_asked():
    guest = Guest(USUAL | MRG_RXBUF | EVENT_IDX)
    try:
        guest.lend(*[2048] * 6)
        guest.comes.wants(3)
        called = []
        for _ in range(6):
            guest.sends(ASK)
            called.append(guest.comes.calls())
        assert called == [1, 0, 0, 1, 0, 0]             # the first is always told
    finally:
        guest.close()
