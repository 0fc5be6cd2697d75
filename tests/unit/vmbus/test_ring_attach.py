"""Rings that are not fresh, and ranges of records that end too soon."""

import struct

import pytest

from vmio.vmbus.bus.packets import GPA_DIRECT, INBAND, GpaRange, RingCorrupt, build_ranges, parse_ranges
from vmio.vmbus.bus.ring import READ, WRITE, RingFull, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory

SIZE = 4096                                # of the data of a ring of two pages


@pytest.mark.parametrize("write, read, used", [(0, 0, 0), (64, 32, 32), (32, 64, SIZE - 32), (4000, 8, 3992), (8, 4088, 16)])
def test_a_writer_attaches_where_the_indices_are(write, read, used):
    """It knows its room at once: the largest record that leaves 8 bytes free fits, the next doesn't."""
    memory = FlatMemory(2)
    format_ring(memory)
    memory.store32(WRITE, write)
    memory.store32(READ, read)
    writer = RingWriter(memory)
    assert writer.available() == SIZE - used and writer.state()["used"] == used
    most = SIZE - used - 24 - 8             # descriptor and trailer take 24, and a ring is never filled completely
    if most < 0 or used == 0:
        most = 0
    else:
        with pytest.raises(RingFull) as caught:
            writer.send(INBAND, bytes(most + 1))
        assert (caught.value.needed, caught.value.free) == (SIZE - used, SIZE - used) and memory.indices()[0] == write
    if used < SIZE - 32:
        writer.send(INBAND, b"\7" * most, 5)
        assert memory.indices()[:2] == ((write + most + 24) % SIZE, read)


def test_ranges_end_where_their_bytes_end():
    """Two are announced, and the first takes all the room: refused before anything is read behind it."""
    one = build_ranges(GPA_DIRECT, (GpaRange(3 * 4096, 0, (1, 2, 3)),))
    assert parse_ranges(GPA_DIRECT, one) == (GpaRange(3 * 4096, 0, (1, 2, 3)),)
    two = struct.pack("<II", 0, 2) + one[8:]
    assert len(two) == 40
    for extra in (0, 4, 7):
        with pytest.raises(RingCorrupt, match="GPA range at byte 40"):
            parse_ranges(GPA_DIRECT, two + bytes(extra))
    with pytest.raises(RingCorrupt, match="GPA range of 0 bytes"):
        parse_ranges(GPA_DIRECT, two + bytes(8))
    with pytest.raises(RingCorrupt, match="needs 1 pages, 0 are there"):
        parse_ranges(GPA_DIRECT, two + struct.pack("<II", 1, 0))
    assert parse_ranges(GPA_DIRECT, two + struct.pack("<IIQ", 1, 7, 9))[1] == GpaRange(1, 7, (9,))
