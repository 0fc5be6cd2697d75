"""Requests through a vhost-user back end's rings: split and packed, direct and indirect, called when it was asked for, noted in the log."""

import os
import struct

import pytest

from tests.vhost_user_rig import (BASE, CALL, ENABLE, EVENT_IDX, GET_BASE, GUEST, INDIRECT_DESC, KICK, LOG_ALL, OFFSET, PACKED, SET_FEATURES,
                                  SET_LOG_BASE, SET_MEM_TABLE, SIZE, USER, USUAL, front_end, image, pair, table, u64)
from vmio.machine.storage import Image

READ, WRITE, FLUSH, GET_ID, DISCARD, ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
KINDS = {"split": USUAL | INDIRECT_DESC, "packed": USUAL | INDIRECT_DESC | PACKED}


@pytest.fixture(params=KINDS)
def features(request):
    return KINDS[request.param]


@pytest.fixture(params=[True, False], ids=["mapped", "by position"])
def seals(request):
    return request.param


def sector(number):
    return struct.pack("<Q", number) * 64


@pytest.mark.parametrize("indirect", [False, True])
def test_reads_and_writes(features, indirect, seals):
    with front_end(seals=seals) as front:
        front.begin(features)
        assert front.session.answers.memory.regions[0].file.mapped is seals
        ring = front.ring()
        status, data, used = ring.request(READ, 7, 512, 1024, indirect=indirect)
        assert (status, data, used) == (OK, b"".join(map(sector, range(7, 10))), 1537)
        assert ring.request(WRITE, 100, b"a" * 512, b"b" * 512, indirect=indirect) == (OK, b"", 1)
        assert ring.request(READ, 99, 2048)[1] == sector(99) + b"a" * 512 + b"b" * 512 + sector(102)
        assert ring.request(FLUSH, 0, indirect=indirect) == (OK, b"", 1)
        assert ring.request(GET_ID, 0, 20, indirect=indirect) == (OK, b"vmio".ljust(20, b"\0"), 21)
        disk = front.session.device
        assert (disk.store.read_bytes, disk.store.written_bytes, disk.store.flushes, disk.failures) == (3584, 1024, 1, 0)


def test_what_a_disk_refuses(features):
    with front_end() as front:
        front.begin(features)
        ring = front.ring(size=64)
        assert ring.request(READ, 2047, 512)[0] == OK
        assert ring.request(READ, 2047, 1024)[::2] == (IOERR, 1025)      # as QEMU's: all of a chain counts as written
        assert ring.request(READ, 1 << 63, 512)[0] == IOERR
        assert ring.request(READ, 0, 100)[0] == IOERR
        assert ring.request(WRITE, 2048, bytes(512))[0] == IOERR
        assert ring.request(WRITE, 0, bytes(511))[0] == IOERR
        assert ring.request(77, 0, 512)[0] == UNSUPP
        assert front.session.device.failures == 6 and not front.said


def test_discard_and_write_zeroes(features):
    with front_end() as front:
        front.begin(features)
        ring = front.ring(size=64)

        def ranges(*rows):
            return b"".join(struct.pack("<QII", *row) for row in rows)
        assert ring.request(DISCARD, 0, ranges((10, 2, 0)))[0] == ring.request(DISCARD, 0, ranges((20, 1, 0)))[0] == OK
        assert ring.request(ZEROES, 0, ranges((30, 1, 1)))[0] == OK
        assert [n for n in range(8, 33) if not any(front.session.device.store.medium.read(n))] == [10, 11, 20, 30]
        assert ring.request(DISCARD, 0, ranges((40, 1, 1)))[0] == UNSUPP
        assert ring.request(ZEROES, 0, ranges((40, 1, 2)))[0] == UNSUPP
        assert ring.request(DISCARD, 0, ranges((2047, 2, 0)))[0] == IOERR
        assert ring.request(DISCARD, 0, ranges((41, 1, 0), (42, 1, 0)))[0] == IOERR        # max_discard_seg is 1
        assert ring.request(DISCARD, 0, bytes(15))[0] == IOERR
        assert ring.request(DISCARD, 0, ranges(*[(n, 1, 0) for n in range(50, 67)]))[0] == IOERR
        assert front.session.device.store.medium.read(41) == sector(41)


def test_a_disk_that_is_only_read_stays_as_it_is(features):
    with front_end(readonly=True) as front:
        front.begin(features)
        ring = front.ring(size=64)
        before = front.session.device.store.medium.read(0, 64)
        assert ring.request(WRITE, 0, bytes(512))[0] == IOERR
        for kind in (DISCARD, ZEROES):                  # are not offered
            assert ring.request(kind, 0, struct.pack("<QII", 0, 8, 0))[0] == UNSUPP
        assert ring.request(READ, 3, 512)[1] == sector(3)
        assert front.session.device.store.medium.read(0, 64) == before


def test_a_ring_goes_round_and_on_where_it_was(features):
    with front_end() as front:
        front.begin(features)
        ring = front.ring(size=8)
        for n in range(50):
            assert ring.request(READ, n, 512)[1] == sector(n)
        base, = struct.unpack_from("<4xI", front.ask(GET_BASE, pair(0, 0)))
        assert base == (50 if not features & PACKED else (6 | 1 << 15) * 0x10001)           # 150 = 18 x 8 + 6: the 18th turn's counter is 1
        assert not front.session.rings[0].running
        os.write(ring.kick, u64(1))                     # nobody listens any more
        assert front.acknowledged(BASE, pair(0, base))
        assert front.acknowledged(KICK, u64(0), [ring.kick])
        front.work()
        for n in range(5):
            assert ring.request(READ, n, 512)[1] == sector(n)


def test_8000_8000_is_where_a_packed_ring_begins_and_0_is_in_its_second_turn():
    with front_end() as front:
        front.begin(KINDS["packed"])
        ring = front.ring(size=4, base=0)
        ring.add([struct.pack("<IIQ", READ, 0, 0), 512, 1])
        ring.publish()
        ring.run()
        assert ring.reap() == [] and front.session.rings[0].requests == 0
        assert front.ask(GET_BASE, pair(0, 0)) == pair(0, 0)


def test_the_guest_is_called_unless_it_says_no(features):
    with front_end() as front:
        front.begin(features)
        ring = front.ring()
        ring.calls()
        ring.request(READ, 0, 512)
        assert ring.calls() == 1
        ring.front.write(ring.places[2] if not features & PACKED else ring.places[2] + 2, struct.pack("<H", 1))
        ring.request(READ, 0, 512)
        assert ring.calls() == 0
        os.write(ring.kick, u64(1))                     # for nothing
        front.session.turn()
        assert ring.calls() == 0 and front.session.rings[0].calls == 1 and front.session.rings[0].kicks == 3


def test_with_events_it_is_called_behind_the_one_it_named():
    with front_end() as front:
        front.begin(USUAL | EVENT_IDX)
        ring = front.ring()
        ring.request(READ, 0, 512)                      # the first is always told
        ring.calls()
        ring.wants(3)
        called = []
        for _ in range(5):
            ring.request(READ, 0, 512)
            called.append(ring.calls())
        assert called == [0, 0, 1, 0, 0]


def test_with_events_a_packed_ring_counts_through_its_turn():
    with front_end() as front:
        front.begin(USUAL | EVENT_IDX | PACKED)
        ring = front.ring(size=8)
        ring.request(READ, 0, 512)                      # three entries a request: 3 of 8
        ring.calls()
        ring.wants(1, wrap=0)                           # behind entry 1 of the next turn
        called = []
        for _ in range(4):
            ring.request(READ, 0, 512)
            called.append(ring.calls())
        assert called == [0, 0, 1, 0]                   # answers go to 0, 3, 6 and then 1 of the next turn


def test_several_rings_are_served_each_by_its_own_kick():
    with front_end(queues=4) as front:
        front.begin(KINDS["split"])
        rings = [front.ring(index, at=0x8000 * index) for index in range(4)]
        for n in (2, 0, 3, 2, 1):
            assert rings[n].request(READ, n, 512)[1] == sector(n)
        assert [ring.requests for ring in front.session.rings] == [1, 1, 2, 1]
        assert [ring.kicks for ring in front.session.rings] == [1, 1, 2, 1]
        front.ask(GET_BASE, pair(2, 0))
        assert rings[3].request(READ, 9, 512)[1] == sector(9)


def test_a_disabled_ring_waits():
    with front_end() as front:
        front.begin()
        ring = front.ring()
        front.send(ENABLE, pair(0, 0))
        ring.add([struct.pack("<IIQ", READ, 0, 5), 512, 1])
        ring.publish()
        ring.run()
        assert ring.reap() == []
        front.send(ENABLE, pair(0, 1))
        front.work()
        assert len(ring.reap()) == 1


def test_a_ring_without_a_kick_descriptor_is_looked_at():
    with front_end() as front:
        front.begin()
        ring = front.ring()
        front.send(KICK, u64(0x100))
        ring.add([struct.pack("<IIQ", READ, 0, 5), 512, 1])
        ring.publish()
        front.session.turn()
        assert len(ring.reap()) == 1


def test_a_kick_by_a_pipe_that_is_closed_is_said_once():
    with front_end() as front:
        front.begin()
        ring = front.ring()
        ours, theirs = os.pipe()
        front.send(KICK, u64(0), [ours])
        os.close(ours)
        os.write(theirs, u64(1))
        front.session.turn()
        os.close(theirs)
        front.session.turn()
        assert front.said == ["ring 0: its kick descriptor gives no more kicks"]
        front.send(CALL, u64(0), [ring.call])           # nothing spins: this is what wakes it
        assert front.open


def test_the_log_has_a_bit_for_each_page_that_was_written():
    with front_end(image(65536)) as front:
        front.begin(USUAL | LOG_ALL)
        log = os.memfd_create("log")
        front.fds.append(log)
        os.ftruncate(log, 0x8000)
        ring = front.ring(logged=1, log=0x7000)

        def dirty():
            bits = os.pread(log, 0x8000 - 64, 64)
            os.pwrite(log, bytes(len(bits)), 64)
            return {8 * at + bit for at, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1}
        ring.request(READ, 0, 512)
        assert dirty() == set()
        assert front.ask(SET_LOG_BASE, struct.pack("<QQ", 0x7000, 64), [log]) == u64(0)
        number = ring.add([struct.pack("<IIQ", READ, 0, 0), 3 * 4096, 1])
        ring.publish()
        ring.run()
        assert [length for _, length in ring.reap()] == [3 * 4096 + 1]
        pages = {(GUEST + place + n) >> 12 for place, size in ring.buffers[number][1:] for n in (*range(0, size, 4096), size - 1)}
        assert dirty() == pages | {7}                   # the used ring is noted where the front end has said
        assert ring.request(WRITE, 0, bytes(512))[0] == OK
        assert len(dirty()) == 2                        # the status, the used ring: what was read is not dirty
        front.send(SET_FEATURES, u64(USUAL))
        ring.request(READ, 0, 512)
        assert dirty() == set()
        assert front.ask(SET_LOG_BASE, struct.pack("<QQ", 0x40, 0), [log]) == u64(0)       # too short for this guest: nothing is noted, nothing breaks
        front.send(SET_FEATURES, u64(USUAL | LOG_ALL))
        assert ring.request(READ, 0, 512)[0] == OK and front.said == []


def test_memory_that_is_cut_short_under_us_ends_the_ring_and_not_the_host():
    with front_end(seals=False) as front:
        front.begin()
        ring = front.ring()
        number = ring.add([struct.pack("<IIQ", READ, 0, 0), 4096, 1])
        ring.publish()
        os.ftruncate(front.memory, OFFSET + ring.buffers[number][1][0])
        ring.run()
        assert front.said[-1].startswith("ring 0: ") and front.said[-1].endswith("served no more until it is started anew")
        assert struct.unpack("<Q", os.read(ring.err, 8)) == (1,)
        assert os.fstat(front.memory).st_size == OFFSET + ring.buffers[number][1][0]       # nobody has made it longer again
        os.ftruncate(front.memory, OFFSET)
        ring.run()
        assert front.open
        os.ftruncate(front.memory, OFFSET + SIZE)
        front.ask(GET_BASE, pair(0, 0))
        assert front.acknowledged(SET_MEM_TABLE, table((GUEST, SIZE, USER, OFFSET)), [front.memory])
        assert front.ring().request(READ, 4, 512)[1] == sector(4)


def test_a_ring_that_is_broken_starts_anew_and_the_others_go_on(features):
    with front_end(queues=2) as front:
        front.begin(features)
        ring, other = front.ring(0), front.ring(1, at=0x8000)
        ring.add([b"too short", 1])
        ring.publish()
        ring.run()
        assert "ring 0: a request of 9 readable and 1 writable bytes; a header takes 16, the status 1; " in front.said[-1]
        assert ring.calls() == 0 and struct.unpack("<Q", os.read(ring.err, 8)) == (1,)
        assert other.request(READ, 1, 512)[1] == sector(1)
        front.ask(GET_BASE, pair(0, 0))
        front.write(0, bytes(0x6000))
        assert front.ring(0).request(READ, 2, 512)[1] == sector(2)


def test_what_the_host_can_not_do_is_an_error_of_the_request_and_said():
    class Full(Image):
        def write(self, lba, data):
            raise OSError("no space left on device")
    with front_end(Full(bytearray(2048 * 512))) as front:
        front.begin()
        ring = front.ring()
        assert ring.request(WRITE, 7, bytes(512))[0] == IOERR and ring.request(READ, 7, 512)[0] == OK
        assert front.disk_said == ["write at sector 7: no space left on device"]
        assert (front.session.device.store.written_bytes, front.session.device.store.read_bytes) == (0, 512)
