"""What was under way when a back end ended is served by the next one: no request twice for the guest, none lost."""

import os
import struct

import pytest

from tests.vhost_user_rig import (ADDR, BASE, CALL, ENABLE, INDIRECT_DESC, KICK, NUM, PACKED, USER, USUAL, FrontEnd, image, pair,
                                  u64)
from vmio.oracle.vhost_user.served.disk import Disk

READ, WRITE = 0, 1
GET_INFLIGHT, SET_INFLIGHT = 31, 32
KINDS = {"split": USUAL | INDIRECT_DESC, "packed": USUAL | INDIRECT_DESC | PACKED}


class Dying(Disk):
    """A disk whose process ends at its request number `last`, before it is carried out, or behind it and before it is answered."""

    def __init__(self, medium, last, behind):
        super().__init__(medium)
        self.last, self.behind, self.served = last, behind, 0

    def handle(self, number, chain):
        self.served += 1
        if self.served == self.last and not self.behind:
            raise SystemExit
        super().handle(number, chain)

    def done(self, number, chain, written):
        if self.served == self.last:
            raise SystemExit
        super().done(number, chain, written)


@pytest.fixture(params=KINDS)
def features(request):
    return KINDS[request.param]


def begin(front, features, size=16):
    """Agree, get memory for what is under way, and give it back, as QEMU does; returns its descriptor."""
    front.begin(features)
    found = []
    front.send(GET_INFLIGHT, struct.pack("<QQHHI", 0, 0, 1, size, 0))
    number, said = front.answer(found)
    length, at, queues, entries = struct.unpack_from("<QQHH", said)
    assert (number, len(said), at, queues, entries) == (GET_INFLIGHT, 24, 0, 1, size) and length == os.fstat(found[0]).st_size
    assert length % 64 == 0 and length >= (32 if features & PACKED else 16) * (size + 1)
    front.fds.append(found[0])
    assert front.acknowledged(SET_INFLIGHT, said, [found[0]])
    return found[0], said


def again(front, other, features, area, ring, base):
    """The same guest at a new back end: its memory, its ring, what was under way."""
    os.close(other.memory)
    other.memory = os.dup(front.memory)
    other.begin(features)
    fd, said = area
    assert other.acknowledged(SET_INFLIGHT, said, [fd])
    assert other.acknowledged(NUM, pair(0, ring.size)) and other.acknowledged(BASE, pair(0, base))
    assert other.acknowledged(ADDR, struct.pack("<II4Q", 0, 0, *(USER + place for place in ring.places), 0))
    assert other.acknowledged(CALL, u64(0), [ring.call])
    assert other.acknowledged(KICK, u64(0), [ring.kick])
    other.send(ENABLE, pair(0, 1))
    other.work()


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("last", [1, 4, 6])
def test_another_back_end_goes_on(features, last, behind):
    medium = image()
    front, other = FrontEnd(Dying(medium, last, behind)), FrontEnd(Disk(medium))
    try:
        area = begin(front, features)
        ring = front.ring()
        numbers = [ring.add([struct.pack("<IIQ", WRITE, 0, n), bytes([n + 1]) * 512, 1], indirect=n == 3) for n in range(4)]
        ring.publish()
        for turn in range(2):
            try:
                ring.run()
            except SystemExit:
                break
            for number, _ in ring.reap():
                numbers.remove(number)
            numbers += [ring.add([struct.pack("<IIQ", WRITE, 0, n), bytes([n + 1]) * 512, 1]) for n in range(4, 8)]
            ring.publish()
        done = [number for number, _ in ring.reap()]
        again(front, other, features, area, ring, 0x8000_8000 if features & PACKED else ring.used)
        done += [number for number, _ in ring.reap()]
        assert sorted(done) == sorted(numbers)
        assert other.session.rings[0].requests == (4 if last < 5 else 8) - (last - 1)
        for n in range(4 if last < 5 else 8):
            assert medium.read(n) == bytes([n + 1]) * 512
        assert not other.said
        ring.front = other
        assert ring.request(READ, 2, 512)[1] == b"\3" * 512
    finally:
        front.close()
        other.close()


def test_what_was_taken_is_served_in_the_order_in_which_it_was_taken():
    """The memory as another back end has left it, that answers in any order: heads 4, 1 and 7 are under way, taken in this order."""
    front = FrontEnd(Disk(image()))
    try:
        fd, said = begin(front, KINDS["split"])
        served = []
        ring = Recorded(front, served)
        entry = struct.Struct("<B5xHQ")
        os.pwrite(fd, struct.pack("<QHHHH", 0, 1, 16, 0, 0), 0)
        for head, counter in ((4, 10), (1, 12), (7, 13)):
            os.pwrite(fd, entry.pack(1, 0, counter), 16 + 16 * head)
        front.write(ring.places[2] + 2, struct.pack("<H", 3))
        ring.start()
        assert [number for number, _ in ring.reap()] == [4, 1, 7]
    finally:
        front.close()


def Recorded(front, served):
    """A ring whose descriptors 1, 4 and 7 are requests of one read each by indirect tables; it is started later."""
    from tests.vhost_user_rig import GUEST, INDIRECT, NEXT, SplitRing
    ring = SplitRing(front, 0, 16, 0)
    for head in (1, 4, 7):
        rows, _ = ring.pieces([struct.pack("<IIQ", READ, 0, head), 512, 1])
        tail = ring.room(48)
        for n, (address, length, flags) in enumerate(rows):
            front.write(tail + 16 * n, struct.pack("<QIHH", address, length, flags | (NEXT if n < 2 else 0), n + 1))
        front.write(16 * head, struct.pack("<QIHH", GUEST + tail, 48, INDIRECT, 0))

    def start():
        for number, payload in ((NUM, pair(0, 16)), (BASE, pair(0, 0)), (ADDR, struct.pack("<II4Q", 0, 0, *(USER + at for at in ring.places), 0))):
            assert front.acknowledged(number, payload)
        assert front.acknowledged(KICK, u64(0), [ring.kick])
        front.send(ENABLE, pair(0, 1))
        front.work()
    ring.start = start
    return ring


def test_an_answer_that_the_guest_has_is_not_given_again():
    """It was cut off between the used ring's index and the note that the chain is answered."""
    front = FrontEnd(Disk(image()))
    try:
        fd, said = begin(front, KINDS["split"])
        ring = Recorded(front, [])
        entry = struct.Struct("<B5xHQ")
        os.pwrite(fd, struct.pack("<QHHHH", 0, 1, 16, 4, 0), 0)            # the last batch begins with head 4; the used index was 0 before it
        for head, counter in ((4, 1), (1, 2)):
            os.pwrite(fd, entry.pack(1, 0, counter), 16 + 16 * head)
        front.write(ring.places[1] + 2, struct.pack("<HII", 1, 4, 513))
        front.write(ring.places[2] + 2, struct.pack("<H", 2))
        ring.start()
        assert [number for number, _ in ring.reap()] == [4, 1]
        assert front.session.rings[0].requests == 1
        assert struct.unpack_from("<H", os.pread(fd, 16, 0), 14) == (2,)
    finally:
        front.close()


def test_memory_of_another_size_is_refused(features):
    front = FrontEnd(Disk(image()))
    try:
        fd, said = begin(front, features)
        assert not front.acknowledged(SET_INFLIGHT, struct.pack("<QQHH", 64, 0, 1, 16), [fd])
        assert "64 bytes for what is under way in 1 rings of 16" in front.said[-1]
        front.ring()
        front.ask(11, pair(0, 0))
        assert front.acknowledged(NUM, pair(0, 8))
        assert not front.acknowledged(KICK, u64(0), [front.event()])
        assert "ring 0 has 8 entries; what is under way was noted for 16" in front.said[-1]
    finally:
        front.close()
