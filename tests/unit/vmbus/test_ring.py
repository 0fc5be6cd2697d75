"""The ring, byte by byte: layout, wrapping, fullness, signals, and a peer that lies."""

import struct

import pytest

from tests.ring_rig import PAYLOAD, RANGE, make, paged
from vmio.machine.probes import watch
from vmio.vmbus.bus.packets import (
    COMPLETION,
    COMPLETION_REQUESTED,
    DESCRIPTOR,
    GPA_DIRECT,
    INBAND,
    MAX_RECORD,
    TRANSFER_PAGES,
    GpaRange,
    Packet,
    TransferPages,
)
from vmio.vmbus.bus.ring import (
    CONTROL,
    DATA,
    FEATURES,
    MASK,
    PENDING,
    READ,
    WRITE,
    RingFull,
    RingReader,
    RingWriter,
    format_ring,
)
from vmio.vmbus.bus.ringmemory import FlatMemory


def test_the_control_page():
    assert CONTROL.size == 4096
    assert (WRITE, READ, MASK, PENDING, FEATURES) == (0, 4, 8, 12, 64)


def test_a_record_to_the_byte():
    memory, writer, _ = make(start=0x58)
    writer.send(INBAND, struct.pack("<III", 7, 1, 0) + bytes(52), 0xFFFFFFFFFFFFFFFD, COMPLETION_REQUESTED)
    data = memory.read(DATA + 0x58, 88)
    assert data[:16].hex(" ") == "06 00 02 00 0a 00 01 00 fd ff ff ff ff ff ff ff"
    assert data[80:].hex(" ") == "00 00 00 00 58 00 00 00"
    assert memory.load32(WRITE) == 0x58 + 88


def test_a_read_request_to_the_byte():
    payload = bytes.fromhex("030000000100000000000000 34000000 00000000 0a140100 00200000 2800"
                            "00000080000010 00000000000000 00000000 0000ff20 4a010000 3c000000 00000000")
    memory, writer, reader = make()
    writer.send(GPA_DIRECT, payload, 6, COMPLETION_REQUESTED, [GpaRange(8192, 0, (0x1234, 0x1235))])
    assert memory.read(DATA, 48).hex() == ("090006000e000100" "0600000000000000" "0000000001000000" "0020000000000000"
                                           "3412000000000000" "3512000000000000")
    assert memory.load32(WRITE) == 120
    assert reader.receive() == Packet(GPA_DIRECT, 1, 6, payload, (GpaRange(8192, 0, (0x1234, 0x1235)),))


@pytest.mark.parametrize("memory", [FlatMemory(3), paged(3)], ids=["flat", "paged"])
def test_records_wrap_at_every_position(memory):
    """At each start the record is the same; from 4096 - 88 on it is split: trailer, payload, ranges, descriptor."""
    size = memory.size - 4096
    for start in range(0, size, 8):
        format_ring(memory)
        memory.store32(WRITE, start)
        memory.store32(READ, start)
        writer, reader = RingWriter(memory), RingReader(memory)
        writer.send(GPA_DIRECT, PAYLOAD + b"odd", start, 0, [RANGE])
        flat = memory.read(DATA, size)
        record = (flat + flat)[start:start + 136]
        assert record[128:] == struct.pack("<II", 0, start)
        assert DESCRIPTOR.parse(record) == (GPA_DIRECT, 7, 16, 0, start)
        assert reader.receive() == Packet(GPA_DIRECT, 0, start, PAYLOAD + b"odd" + bytes(5), (RANGE,))
        assert reader.receive() is None
        assert not reader.commit()
        assert writer.available() == size
        assert reader.state()["read"] == (start + 136) % size


def test_long_records_and_every_kind():
    _, writer, reader = make(pages=200)
    long = bytes(100_000)
    writer.send(COMPLETION, long, 1)
    sections = TransferPages(0xCAFE, ((1514, 0), (60, 1728)))
    writer.send(TRANSFER_PAGES, PAYLOAD, 2, 1, sections)
    writer.send(GPA_DIRECT, PAYLOAD, 3, 1, [RANGE, GpaRange(1, 0xFFF, (4,))])
    assert reader.receive() == Packet(COMPLETION, 0, 1, long, ())
    assert reader.receive() == Packet(TRANSFER_PAGES, 1, 2, PAYLOAD, sections)
    assert reader.receive().ranges == (RANGE, GpaRange(1, 0xFFF, (4,)))
    with pytest.raises(ValueError, match="never fits"):
        writer.send(INBAND, bytes(MAX_RECORD), 4)


def test_the_payload_is_where_offset8_says():
    """storvsc reserves more page slots than it uses: what stands between is no payload."""
    memory, _, reader = make()
    record = struct.pack("<HHHHQ II II 5Q 8s Q", GPA_DIRECT, 9, 10, 0, 1,
                         0xDEAD, 1, 100, 0, 5, 0, 0, 0, 0, b"payload!", 0)
    memory.write(DATA, record)
    memory.store32(WRITE, len(record))
    assert reader.receive() == Packet(GPA_DIRECT, 0, 1, b"payload!", (GpaRange(100, 0, (5,)),))


def test_never_quite_full():
    memory, writer, reader = make()
    with pytest.raises(ValueError, match="never fits"):
        writer.send(INBAND, bytes(4096 - 24))
    writer.send(INBAND, bytes(4096 - 24 - 8))  # all but 8 bytes
    assert writer.available() == 8
    before = bytes(memory.bytes)
    with pytest.raises(RingFull) as full:
        writer.send(INBAND, b"")
    assert (full.value.needed, full.value.free) == (24, 8)
    assert bytes(memory.bytes) == before
    assert len(reader.receive().payload) == 4064 and reader.receive() is None
    reader.commit()
    writer.send(INBAND, b"")


def test_signal_only_when_it_was_empty_and_not_masked():
    memory, writer, reader = make()
    assert writer.send(INBAND, PAYLOAD)          # empty
    assert not writer.send(INBAND, PAYLOAD)      # there was one
    reader.receive(), reader.receive(), reader.commit()
    assert writer.send(INBAND, PAYLOAD)          # empty again
    reader.mask()
    reader.receive(), reader.commit()
    assert not writer.send(INBAND, PAYLOAD)      # masked
    assert reader.unmask()                       # ... and therefore: look again
    reader.receive(), reader.commit()
    assert not reader.unmask()
    assert writer.intr_out_empty == 2


def test_a_batch_is_signalled_once_by_the_index_before_it():
    _, writer, reader = make()
    for _ in range(3):
        writer.write(INBAND, PAYLOAD)
    assert reader.receive() is None              # not published yet
    assert writer.publish()
    assert not writer.publish()                  # nothing new
    assert [reader.receive().payload for _ in range(3)] == [PAYLOAD] * 3


def test_room_that_a_producer_waits_for_is_signalled_once():
    memory, writer, reader = make()
    for _ in range(46):
        writer.send(INBAND, PAYLOAD)             # 46 x 88 = 4048 of 4096
    with pytest.raises(RingFull):
        writer.send(INBAND, bytes(200))
    assert memory.load32(PENDING) == 0           # nobody asked
    for _ in range(2):
        with pytest.raises(RingFull):
            writer.send(INBAND, bytes(200), wait=True)
    assert memory.load32(PENDING) == 224
    assert (writer.out_full_first, writer.out_full_total) == (1, 3)
    signals = []
    for _ in range(6):
        reader.receive()
        signals.append(reader.commit())
    assert signals == [False, False, True, False, False, False]  # 48 + 88 and + 176 are too little, + 264 is enough
    assert reader.intr_in_full == 1
    writer.send(INBAND, bytes(200))
    assert memory.load32(PENDING) == 0


def test_exactly_enough_is_not_enough():
    """Free must exceed what is needed, in the producer's test and in the consumer's alike."""
    _, writer, reader = make()
    for size in (64, 64, 4096 - 2 * 88 - 8 - 24):
        writer.send(INBAND, bytes(size))         # 8 free
    with pytest.raises(RingFull):
        writer.send(INBAND, bytes(72), wait=True)  # 96 needed
    reader.receive()
    assert not reader.commit()                   # 96 free
    with pytest.raises(RingFull):
        writer.send(INBAND, bytes(72), wait=True)
    reader.receive()
    assert reader.commit()                       # 184 free
    writer.send(INBAND, bytes(72))


def test_without_the_feature_bit_pending_means_nothing():
    memory, _, reader = make()
    writer = RingWriter(memory)
    memory.store32(FEATURES, 0)
    writer.send(INBAND, bytes(4000))
    memory.store32(PENDING, 3000)
    reader.receive()
    assert not reader.commit()


def test_occupancy_is_recorded():
    seen = []
    memory = FlatMemory(2)
    writer, reader = RingWriter(memory), RingReader(memory)
    watch(writer, "moved", seen.append), watch(reader, "moved", seen.append)
    writer.send(INBAND, PAYLOAD), writer.send(INBAND, PAYLOAD)
    reader.receive(), reader.commit()
    assert seen == [88, 176, 88]
    assert reader.state() == {"write": 176, "read": 88, "mask": 0, "pending": 0, "size": 4096, "used": 88, "free": 4008}


def test_the_rule_can_be_replaced():
    _, writer, _ = make(should_signal=lambda old_write, new_write, read, mask: True)
    assert writer.send(INBAND, b"") and writer.send(INBAND, b"")
