"""The ring, byte by byte: layout, wrapping, fullness, signals, and a peer that lies."""

import struct

import pytest

from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import PageTable, TranslationFault
from vmio.machine.space import AddressSpace
from vmio.machine.probes import watch
from vmio.machine.window import Window
from vmio.vmbus.bus.channel import ChannelEnd
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
    RingCorrupt,
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

PAYLOAD = bytes(range(1, 65))
RANGE = GpaRange(8192, 0x10, (7, 8, 9))


def make(pages=2, start=0, **options):
    memory = FlatMemory(pages)
    format_ring(memory)
    memory.store32(WRITE, start)
    memory.store32(READ, start)
    return memory, RingWriter(memory, **options), RingReader(memory)


def paged(pages):
    """Guest pages, backwards, so that no two neighbours in the ring are neighbours in memory."""
    host = HostMemory(1 << 20)
    table = PageTable(host)
    table.map(0x10000, host.allocate(64), 64 * 4096, 3)
    return Window(AddressSpace(host, table), [0x10 + 2 * i for i in reversed(range(pages))])


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


# A peer that lies.

def record(kind=INBAND, offset8=2, length8=3, flags=0, body=bytes(8), published=None):
    """A hand-made record in a fresh ring, and the reader that must refuse it."""
    memory, _, reader = make()
    data = DESCRIPTOR.struct.pack(kind, offset8, length8, flags, 0) + body + bytes(8)
    memory.write(DATA, data)
    memory.store32(WRITE, len(data) if published is None else published)
    return reader


def gpa(number, count=1, offset=0, pages=1):
    body = struct.pack(f"<II II {pages}Q", 0, number, count, offset, *range(pages))
    return dict(kind=GPA_DIRECT, offset8=2 + len(body) // 8, length8=2 + len(body) // 8, body=body)


@pytest.mark.parametrize("lie", [
    dict(published=4096), dict(published=0xFFFFFFF8), dict(published=12), dict(published=8), dict(published=16),
    dict(offset8=1), dict(offset8=0), dict(offset8=4), dict(offset8=0xFFFF), dict(length8=4), dict(length8=0xFFFF),
    dict(length8=0, offset8=0), dict(length8=1), dict(flags=2), dict(flags=0x8000),
    dict(kind=0), dict(kind=8), dict(kind=0xA), dict(kind=0xFFFF),
    dict(kind=GPA_DIRECT), dict(kind=GPA_DIRECT, offset8=3),
    dict(kind=TRANSFER_PAGES), dict(kind=TRANSFER_PAGES, offset8=3),
    gpa(0), gpa(2), gpa(0xFFFFFFFF), gpa(1, count=0), gpa(1, offset=0x1000), gpa(1, count=0xFFFFFFFF),
    gpa(1, count=4096, offset=1), gpa(1, count=4097), gpa(1, count=1, pages=0), gpa(2, pages=2),
], ids=str)
def test_malformed_records_are_refused(lie):
    reader = record(**lie)
    for _ in range(2):  # refused for good, and nothing is consumed
        with pytest.raises(RingCorrupt):
            reader.receive()
    assert reader.received == 0


def test_the_hand_made_record_is_good_if_it_doesnt_lie():
    assert record().receive() == Packet(INBAND, 0, 0, bytes(8), ())
    assert record(**gpa(1, count=4096, offset=1, pages=2)).receive().ranges == (GpaRange(4096, 1, (0, 1)),)


@pytest.mark.parametrize("read", [4096, 0xFFFFFFF8, 4, 256])
def test_a_bad_read_index_is_refused(read):
    """Not in the data, unaligned, or beyond what was written."""
    memory, writer, _ = make()
    writer.send(INBAND, PAYLOAD)
    memory.store32(READ, read)
    with pytest.raises(RingCorrupt):
        writer.send(INBAND, PAYLOAD)
    with pytest.raises(RingCorrupt):
        writer.available()


def test_indices_dont_go_back():
    memory, writer, reader = make()
    writer.send(INBAND, PAYLOAD), writer.send(INBAND, PAYLOAD)
    reader.receive(), reader.commit()
    writer.available()
    memory.store32(READ, 0)
    with pytest.raises(RingCorrupt, match="read index 0x0 went back"):
        writer.available()
    memory.store32(WRITE, 88)
    with pytest.raises(RingCorrupt, match="write index 0x58 went back"):
        reader.available()


def test_ones_own_index_is_never_read_back():
    memory, writer, reader = make()
    writer.send(INBAND, PAYLOAD, 1)
    memory.store32(WRITE, 0x800)      # the consumer scribbles over the producer's word
    writer.send(INBAND, PAYLOAD, 2)
    reader.receive()
    memory.store32(READ, 0x800)       # and the other way round
    assert reader.receive().transaction_id == 2
    reader.commit()
    assert memory.load32(WRITE) == memory.load32(READ) == 176


def test_a_descriptor_changed_after_the_check_changes_nothing():
    class Changing(FlatMemory):
        """After each read of data, the peer writes nonsense over all of it."""

        def read(self, offset, length):
            data = super().read(offset, length)
            self.write(DATA, b"\xff" * (self.size - DATA))
            return data

    memory = Changing(2)
    writer, reader = RingWriter(memory), RingReader(memory)
    writer.send(GPA_DIRECT, PAYLOAD, 9, 1, [RANGE])
    assert reader.receive() == Packet(GPA_DIRECT, 1, 9, PAYLOAD, (RANGE,))


@pytest.mark.parametrize("pages", [0, 1])
def test_a_ring_has_two_pages_at_least(pages):
    with pytest.raises(ValueError, match="at least 2"):
        RingWriter(FlatMemory(pages))


def test_bad_indices_at_the_start_are_refused():
    memory = FlatMemory(2)
    memory.store32(WRITE, 4096)
    for end in (RingWriter, RingReader):
        with pytest.raises(RingCorrupt):
            end(memory)


def test_pages_that_arent_there_cant_be_a_ring():
    host = HostMemory(1 << 20)
    with pytest.raises(TranslationFault):
        Window(AddressSpace(host, PageTable(host)), [1, 2])


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
