"""Two rings back to back: one end of a channel, its packets, its signals, and how it closes for good."""

import pytest

from tests.ring_rig import PAYLOAD, RANGE
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import COMPLETION, INBAND, Packet, RingCorrupt
from vmio.vmbus.bus.ring import MASK, WRITE, RingFull, RingReader, RingWriter
from vmio.vmbus.bus.ringmemory import FlatMemory


# Two rings back to back.

def channel():
    signals = {"guest": 0, "host": 0}

    def signal(who):
        signals[who] += 1

    out, into = FlatMemory(2), FlatMemory(2)
    guest = ChannelEnd(RingWriter(out), RingReader(into), lambda: signal("host"))
    host = ChannelEnd(RingWriter(into), RingReader(out), lambda: signal("guest"))
    return guest, host, signals


def test_a_request_and_its_completion():
    guest, host, signals = channel()
    guest.send(PAYLOAD, 7, want_completion=True, ranges=[RANGE])
    host.interrupted()
    host.begin_read()
    request = host.receive()
    assert request.wants_completion and request.ranges == (RANGE,)
    host.send_completion(request.payload, request.transaction_id)
    assert host.receive() is None and not host.end_read()
    assert guest.receive() == Packet(COMPLETION, 0, 7, PAYLOAD, ())
    assert not guest.end_read()
    assert signals == {"guest": 1, "host": 1}
    assert guest.counters() == {"read_avail": 0, "write_avail": 4096, "interrupts": 0, "events": 1, "intr_in_full": 0,
                                "intr_out_empty": 1, "out_full_first": 0, "out_full_total": 0}
    assert host.counters()["interrupts"] == 1


def test_end_read_says_when_there_is_more():
    guest, host, signals = channel()
    guest.send(PAYLOAD)
    host.begin_read()
    host.receive()
    guest.send(PAYLOAD)       # masked: no signal
    assert host.end_read()    # so we are told, and stay masked
    assert host.incoming.memory.load32(MASK) == 1
    host.receive()
    assert not host.end_read()
    assert signals["host"] == 1


def test_the_consumer_signals_who_waits_for_room():
    guest, host, signals = channel()
    guest.send(bytes(4000))
    with pytest.raises(RingFull):
        guest.send(bytes(4000), wait=True)
    host.receive()
    host.commit()
    assert signals["guest"] == 1 and host.counters()["intr_in_full"] == 1
    guest.send(bytes(4000))


def test_a_corrupt_ring_closes_this_end_for_good():
    guest, host, _ = channel()
    guest.send(PAYLOAD)
    host.incoming.memory.store32(WRITE, 12)
    host.incoming._available = 0
    with pytest.raises(RingCorrupt):
        host.receive()
    host.incoming.memory.store32(WRITE, 88)  # mending it doesn't help
    assert isinstance(host.error, RingCorrupt)
    for call in (host.receive, host.commit, host.flush, host.end_read, lambda: host.send(b""),
                 lambda: host.send_completion(b"", 1)):
        with pytest.raises(RingCorrupt):
            call()
    assert host.counters()["events"] == 0


def test_a_batch_through_a_channel():
    guest, host, signals = channel()
    for i in range(4):
        guest.outgoing.write(INBAND, PAYLOAD, i)
    guest.flush()
    assert [host.receive().transaction_id for _ in range(4)] == [0, 1, 2, 3]
    assert signals["host"] == 1
