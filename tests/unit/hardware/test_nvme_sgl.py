"""Scatter gather lists: which are followed, and with what status the others are refused."""

import struct

import pytest

from vmio.hardware.nvme import sgl as nvme_sgl
from vmio.hardware.nvme.wire import Failed
from vmio.machine.memory import HostMemory

DATA, BUCKET, SEGMENT, LAST = 0, 1, 2, 3
AT = 0x10000
BAD_SEGMENT, BAD_COUNT, BAD_LENGTH, BAD_TYPE = 0x400D, 0x400E, 0x400F, 0x4011


def descriptor(address, length, kind):
    return struct.pack("<QI3xB", address, length, kind << 4)


@pytest.fixture
def memory():
    return HostMemory(4 << 20)


def follow(memory, first, length, lists=(), flags=0x40):
    """What `segments` makes of a command whose descriptor is `first`, with `lists` [(address, descriptors), ...] in memory."""
    for address, descriptors in lists:
        memory.write(address, b"".join(descriptor(*each) for each in descriptors))
    return nvme_sgl.segments(memory, bytes([2, flags]).ljust(24, b"\0") + descriptor(*first) + bytes(24), length)


def refused(memory, *arguments, **options):
    with pytest.raises(Failed) as caught:
        follow(memory, *arguments, **options)
    return caught.value.status


def test_one_descriptor_is_the_whole_list(memory):
    assert follow(memory, (0x5004, 512, DATA), 512) == [(0x5004, 512)]
    assert follow(memory, (0x5004, 512, DATA), 512, flags=0x80) == [(0x5004, 512)]
    assert refused(memory, (0x5004, 512, DATA), 512, flags=0xC0) == 0x4002
    assert refused(memory, (0x5004, 511, DATA), 512) == refused(memory, (0x5004, 0, DATA), 512) == BAD_LENGTH
    for kind in (BUCKET, 4, 5, 15):
        assert refused(memory, (0x5004, 512, kind), 512) == BAD_SEGMENT


def test_segments_one_after_the_other(memory):
    lists = [(AT, [(0x1000, 100, DATA), (0x2000, 0, DATA), (0x3000, 28, DATA), (AT + 0x400, 32, SEGMENT)]),
             (AT + 0x400, [(0x4000, 128, DATA), (AT + 0x800, 16, LAST)]), (AT + 0x800, [(0x5000, 256, DATA)])]
    assert follow(memory, (AT, 64, SEGMENT), 512, lists) == [(0x1000, 100), (0x3000, 28), (0x4000, 128), (0x5000, 256)]


def test_a_last_segment_has_no_successor(memory):
    lists = [(AT, [(0x1000, 512, DATA), (AT + 0x400, 16, LAST)]), (AT + 0x400, [(0x2000, 0, DATA)])]
    assert follow(memory, (AT, 32, SEGMENT), 512, lists) == [(0x1000, 512)]
    assert refused(memory, (AT, 32, LAST), 512, lists) == BAD_SEGMENT


@pytest.mark.parametrize("size", [0, 8, 15, 17])
def test_a_segment_is_whole_descriptors(memory, size):
    assert refused(memory, (AT, size, LAST), 512, [(AT, [(0x1000, 512, DATA)] * 2)]) == BAD_SEGMENT


@pytest.mark.parametrize("descriptors, status", [
    ([(0x1000, 256, DATA), (0x2000, 255, DATA)], BAD_LENGTH), ([(0x1000, 512, DATA), (0x2000, 1, DATA)], BAD_LENGTH),
    ([(AT, 16, LAST), (0x1000, 512, DATA)], BAD_COUNT), ([(AT, 16, SEGMENT), (0x1000, 512, DATA)], BAD_COUNT),
    ([(0, 4, 4), (0x1000, 512, DATA)], BAD_TYPE), ([(0, 512, BUCKET)], BAD_TYPE), ([(0, 0, 15)], BAD_SEGMENT)])
def test_lists_that_say_something_else(memory, descriptors, status):
    assert refused(memory, (AT, 16 * len(descriptors), LAST), 512, [(AT, descriptors)]) == status


@pytest.mark.parametrize("extra", [-1, 0, 1, 256])
def test_long_segments_are_read_page_by_page(memory, extra):
    """A segment may be longer than a page: 256 descriptors and some more."""
    number = 256 + extra
    blocks = [(0x4000 * n, 4, DATA) for n in range(1, number + 1)]
    assert follow(memory, (AT, 16 * number, LAST), 4 * number, [(AT, blocks)]) == [(at, 4) for at, _, _ in blocks]
    assert refused(memory, (AT, 16 * number, LAST), 4 * number - 4, [(AT, blocks)]) == BAD_LENGTH


def test_a_list_in_a_circle_and_one_beyond_memory_end(memory):
    assert refused(memory, (AT, 32, SEGMENT), 512, [(AT, [(0x1000, 0, DATA), (AT, 32, SEGMENT)])]) == BAD_COUNT
    assert refused(memory, (AT, 0xFFFF_FFF0, LAST), 512) == BAD_COUNT
    assert refused(memory, (memory.size - 16, 32, LAST), 512) == 0x0004
    assert refused(memory, (0x10_0000, 16 << 16, LAST), 512) == BAD_LENGTH      # as many as may be, all empty
