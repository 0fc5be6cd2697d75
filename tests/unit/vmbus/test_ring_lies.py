"""A ring whose other side lies: records, indices and pages that cannot be are refused."""

import struct

import pytest

from tests.ring_rig import PAYLOAD, RANGE, make
from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import AddressSpace, PageTable, TranslationFault
from vmio.machine.window import Window
from vmio.vmbus.bus.packets import DESCRIPTOR, GPA_DIRECT, INBAND, TRANSFER_PAGES, GpaRange, Packet, RingCorrupt
from vmio.vmbus.bus.ring import DATA, READ, WRITE, RingReader, RingWriter
from vmio.vmbus.bus.ringmemory import FlatMemory


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
