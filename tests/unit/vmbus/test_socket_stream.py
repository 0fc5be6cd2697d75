"""The bytes of a socket in its ring: against a writer and a reader that know nothing of our classes, and FIN at every fill level."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ring_rig import make
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import COMPLETION, INBAND, PIPE, RingCorrupt
from vmio.vmbus.bus.ring import DATA, READ, WRITE, RingReader
from vmio.vmbus.socket import wire
from vmio.vmbus.socket.stream import SocketStream
from vmio.vmbus.socket.wire import FIN_BYTES, LINUX_PAYLOAD, MAX_PAYLOAD, OFFER, port_of, record_bytes, service_of


def ends(pages=2, start=0, limit=MAX_PAYLOAD):
    """(the stream that writes, the ring's memory, its reader)."""
    memory, writer, reader = make(pages, start)
    return SocketStream(ChannelEnd(writer, make()[2], lambda: None), limit), memory, reader


def as_linux_reads(memory, size):
    """Yield (payload size, payload) of each record in a ring, by hand (struct vmpacket_descriptor, struct vmpipe_proto_header)."""
    data = bytes(memory.bytes[DATA:]) * 2
    at, end = memory.load32(READ), memory.load32(WRITE)
    while at != end:
        kind, offset8, length8, flags, number = struct.unpack_from("<HHHHQ", data, at)
        pipe, count = struct.unpack_from("<II", data, at + 8 * offset8)
        assert (kind, offset8, flags, number, pipe) == (6, 2, 0, 0, 1)
        assert 8 * length8 == 16 + 8 + -(-count // 8) * 8
        assert struct.unpack_from("<II", data, at + 8 * length8) == (0, at)
        yield count, data[at + 24:at + 24 + count]
        at = (at + 8 * length8 + 8) % size


def as_linux_writes(memory, payload, size=None, kind=6, pipe=1):
    """Put one record there, by hand; `size` is what its header says."""
    total = memory.size - DATA
    at = memory.load32(WRITE)
    padded = payload + bytes(-len(payload) % 8)
    record = struct.pack("<HHHHQII", kind, 2, (24 + len(padded)) // 8, 0, 0, pipe, len(payload) if size is None else size) + padded + struct.pack("<II", 0, at)
    for n, byte in enumerate(record):
        memory.bytes[DATA + (at + n) % total] = byte
    memory.store32(WRITE, (at + len(record)) % total)


def test_an_address_and_an_offer_to_the_byte():
    assert service_of(0x4000_0000).hex() == "00000040" "cbfae611" "bd5864006a7986d3"
    assert [port_of(service_of(port)) for port in (0, 109, 0xFFFF_FFFF)] == [0, 109, 0xFFFF_FFFF]
    assert port_of(wire.PARENT) is None
    for port in (-1, 1 << 32):
        with pytest.raises(ValueError, match="0 to 0xffffffff"):
            service_of(port)
    assert OFFER.pack(from_host=1) == bytes((0, 0, 0, 0, 1, 0, 1, 0, 0, 0)) + bytes(18) and OFFER.at("from_host") == (4, 1)
    assert (record_bytes(0), record_bytes(1), record_bytes(8), record_bytes(4088)) == (32, 40, 40, 4120) and LINUX_PAYLOAD == 4088


@pytest.mark.parametrize("limit", [LINUX_PAYLOAD, MAX_PAYLOAD])
@pytest.mark.parametrize("start", [0, 8, 4088])
def test_what_we_write_is_read_by_hand(start, limit):
    stream, memory, _ = ends(6, start, limit)
    data = bytes(n % 251 for n in range(100_000))
    taken = stream.send(data)
    read = list(as_linux_reads(memory, memory.size - DATA))
    assert b"".join(payload for _, payload in read) == data[:taken] and max(count for count, _ in read) <= limit
    assert 5 * 4096 - 1200 < taken < 5 * 4096 and stream.send(data) == 0 == stream.writable
    stream.finish()
    assert list(as_linux_reads(memory, memory.size - DATA))[-1] == (0, b"")


def linux_writable(memory):
    """hvs_channel_writable_bytes, by hand."""
    size = memory.size - DATA
    used = (memory.load32(WRITE) - memory.load32(READ)) % size
    free = size - used
    return 0 if free <= 40 + 32 else (free - 40 - 32) & ~7


@pytest.mark.parametrize("to_the_brim", [False, True])
def test_there_is_room_for_the_end_at_every_fill_level(to_the_brim):
    """Each number of bytes from an empty ring to a full one, wherever the record comes to lie; also when all that fits was sent behind it."""
    for filled in range(0, 4096, 8):
        stream, memory, _ = ends(start=(filled * 3) % 4096 & ~7)
        assert stream.writable == min(linux_writable(memory), MAX_PAYLOAD)
        stream.send(bytes(filled))
        while to_the_brim and stream.send(b"x" * (filled % 160 + 1)):
            assert linux_writable(memory) == stream.writable
        stream.finish()
        read = list(as_linux_reads(memory, 4096))
        assert sum(count for count, _ in read) == stream.sent and read[-1] == (0, b"") and all(count for count, _ in read[:-1])
        stream.finish()
        assert len(list(as_linux_reads(memory, 4096))) == len(read) and stream.writable == 0 == stream.send(b"more")


def test_the_end_finds_room_where_one_more_byte_would_not():
    """A ring filled to where Linux would write nothing more has room for FIN; without what is kept it would not."""
    stream, memory, _ = ends()
    stream.send(bytes(10_000))
    free = 4096 - (memory.load32(WRITE) - memory.load32(READ)) % 4096
    assert FIN_BYTES < free <= 72 and stream.send(b"x") == 0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 6)), max_size=30), st.integers(0, 511), st.sampled_from([2, 3, 6]))
def test_bytes_come_as_they_went_however_they_are_cut(steps, start, pages):
    stream, memory, reader = ends(pages, 8 * start)
    other = SocketStream(ChannelEnd(make()[1], reader, lambda: None), MAX_PAYLOAD)
    sent, got = bytearray(), bytearray()
    for size, reads in steps:
        data = bytes((len(sent) + n) % 256 for n in range(size))
        sent += data[:stream.send(data)]
        for _ in range(reads):
            packet = reader.receive()
            if packet is not None:
                got += other.data(packet)
        reader.commit()
    stream.finish()
    while (packet := reader.receive()) is not None:
        got += other.data(packet)
    assert got == sent and other.ended and (stream.sent, stream.records) == (len(sent), other.records)


def test_what_is_written_by_hand_is_read():
    memory, _, _ = make(6, 20_000)
    for payload in (b"a", b"12345678", bytes(range(256)) * 16, b""):
        as_linux_writes(memory, payload)
    reader = RingReader(memory)
    stream = SocketStream(ChannelEnd(make()[1], reader, lambda: None), MAX_PAYLOAD)
    assert [stream.data(reader.receive()) for _ in range(4)] == [b"a", b"12345678", bytes(range(256)) * 16, b""]
    assert stream.ended and stream.received == 1 + 8 + 4096 and reader.receive() is None


@pytest.mark.parametrize("record, said", [
    (dict(payload=b"12345678", size=9), "9 bytes said, 8 there; at most 16384"),
    (dict(payload=b"12345678", size=0xFFFF_FFFF), "4294967295 bytes said, 8 there"),
    (dict(payload=bytes(16392), size=16385), "16385 bytes said, 16392 there; at most 16384"),
    (dict(payload=b"x", pipe=2), "a pipe's packet of type 0x2; 1 is data"),
    (dict(payload=b"x", pipe=0), "a pipe's packet of type 0x0"),
    (dict(payload=b"x", kind=COMPLETION), "a record of type 0xb with 16 bytes; in-band")])
def test_a_record_that_lies_is_refused_with_one_sentence(record, said):
    memory, _, _ = make(6)
    as_linux_writes(memory, **record)
    reader = RingReader(memory)
    stream = SocketStream(ChannelEnd(make()[1], reader, lambda: None), MAX_PAYLOAD)
    with pytest.raises(RingCorrupt, match=said):
        stream.data(reader.receive())
    assert stream.received == 0 and not stream.ended


@pytest.mark.parametrize("payload", [b"", b"late"])
def test_nothing_comes_after_the_end(payload):
    memory, _, _ = make(6)
    as_linux_writes(memory, b"")
    as_linux_writes(memory, payload)
    reader = RingReader(memory)
    stream = SocketStream(ChannelEnd(make()[1], reader, lambda: None), MAX_PAYLOAD)
    assert stream.data(reader.receive()) == b""
    with pytest.raises(RingCorrupt, match=f"{len(payload)} bytes after the end of all"):
        stream.data(reader.receive())


def test_a_record_without_a_pipes_header_is_refused():
    memory, writer, reader = make()
    writer.send(INBAND, b"")
    stream = SocketStream(ChannelEnd(make()[1], reader, lambda: None), MAX_PAYLOAD)
    with pytest.raises(RingCorrupt, match=f"0 bytes; in-band, {PIPE.size} or more"):
        stream.data(reader.receive())


def test_who_waits_for_room_is_signalled_when_there_is():
    stream, memory, reader = ends(2)
    stream.send(bytes(10_000))
    assert not stream.ask_for_room()
    signalled = []
    while reader.receive() is not None:
        signalled.append(reader.commit())
    assert signalled == [True] and stream.ask_for_room()
