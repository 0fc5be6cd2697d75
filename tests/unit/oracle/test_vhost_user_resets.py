"""A guest that resets, and a front end that dies, while requests are under way: what was kicked is whole on the image, the rest was never there."""

import os
import struct

import pytest

from tests.vhost_user_rig import ENABLE, GET_BASE, INDIRECT_DESC, KICK, PACKED, USUAL, FrontEnd, image, pair, u64
from vmio.oracle.vhost_user.served.disk import Disk

WRITE, READ = 1, 0
RESET_OWNER, RESET_DEVICE, SET_STATUS = 4, 34, 39
KINDS = {"split": USUAL | INDIRECT_DESC, "packed": USUAL | INDIRECT_DESC | PACKED}
RESETS = {"RESET_DEVICE": [(RESET_DEVICE, b"")], "RESET_OWNER": [(RESET_OWNER, b"")], "status 0": [(SET_STATUS, u64(0))],
          "as QEMU does": [(ENABLE, pair(0, 0)), (GET_BASE, pair(0, 0))]}


@pytest.fixture(params=KINDS)
def features(request):
    return KINDS[request.param]


def write(ring, sector, byte):
    ring.add([struct.pack("<IIQ", WRITE, 0, sector), bytes([byte]) * 4096, 1])


def begun(medium, features):
    """A front end of a disk with one write done, three that were made available, and no kick for them."""
    front = FrontEnd(Disk(medium))
    front.begin(features)
    ring = front.ring()
    write(ring, 0, 1)
    ring.publish()
    ring.run()
    for n in range(3):
        write(ring, 8 * (n + 1), 2)
    ring.publish()
    return front, ring


@pytest.mark.parametrize("how", RESETS)
def test_what_was_not_kicked_before_a_reset_is_never_served(features, how):
    medium = image(64)
    before = medium.read(8, 56)
    front, ring = begun(medium, features)
    try:
        for number, payload in RESETS[how]:
            if number == GET_BASE:
                front.ask(number, payload)
            else:
                assert front.acknowledged(number, payload)
        assert not front.session.rings[0].running and front.session.device.queues == front.session.device.servers == {}
        os.write(ring.kick, u64(1))                     # of the guest as it was before: nobody listens
        front.session.more.clear()
        assert front.acknowledged(ENABLE, pair(0, 1))
        front.work()
        assert medium.read(8, 56) == before and medium.read(0, 8) == b"\1" * 4096
        front.write(0, bytes(0x6000))                   # the next kernel's ring
        ring = front.ring()
        assert ring.request(READ, 0, 4096)[1] == b"\1" * 4096 and not front.said
    finally:
        front.close()


def test_a_front_end_that_dies_is_followed_by_another_and_the_image_is_whole(features):
    medium = image(64)
    before = medium.read(8, 56)
    front, _ = begun(medium, features)
    front.socket.close()
    assert not front.session.turn() and not front.said
    front.close()
    assert medium.read(0, 8) == b"\1" * 4096 and medium.read(8, 56) == before
    other = FrontEnd(Disk(medium))
    try:
        other.begin(features)
        assert other.ring().request(READ, 0, 4096)[1] == b"\1" * 4096
    finally:
        other.close()


def test_its_last_kick_is_heard_though_it_dies_behind_it(features):
    medium = image(64)
    front, ring = begun(medium, features)
    os.write(ring.kick, u64(1))
    front.socket.close()
    front.session.run()
    front.close()
    assert medium.read(8, 24) == b"\2" * 3 * 4096


def test_a_kick_descriptor_that_is_given_anew_in_mid_flight_loses_nothing(features):
    medium = image(64)
    front, ring = begun(medium, features)
    try:
        ring.kick = front.event()
        front.send(KICK, u64(0), [ring.kick])
        front.work()
        assert len(ring.reap()) == 4 and medium.read(8, 24) == b"\2" * 3 * 4096
    finally:
        front.close()
