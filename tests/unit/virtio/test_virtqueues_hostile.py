"""What no honest driver does: the queue latches one sentence, gives nothing more, and raises nothing.

Loops, lengths, jumps, tables in tables, directions, addresses outside; what QEMU answers with `virtio_error`.
"""

import random
import struct

import pytest

from tests.virtio_rig import BUFFERS, DEVICE, DRIVER, TABLE, TABLES, available, descriptors, device, packed
from tests.virtio_rig import Memory as Flat
from vmio.virtio.queue.wire import AVAIL, INDIRECT, NEXT, USED, WRITE

MIB = 1 << 20
OUTSIDE = 0xFFFF_FFFF_0000
SPLIT = {
    "head outside of the table": ([], [8], "descriptor 8 in a table of 8"),
    "next outside of the table": ([(BUFFERS, 1, NEXT, 0xFFFF)], [0], "descriptor 65535 in a table of 8"),
    "a loop": ([(BUFFERS, 1, NEXT, 1), (BUFFERS, 1, NEXT, 0)], [0], "goes round in a loop"),
    "a loop of one": ([(BUFFERS, 1, NEXT, 0)], [0], "goes round in a loop"),
    "no bytes": ([(BUFFERS, 0, 0, 0)], [0], "a descriptor of 0 bytes at 0x80000"),
    "readable behind writable": ([(BUFFERS, 1, WRITE | NEXT, 1), (BUFFERS, 1, 0, 0)], [0], "a readable descriptor at 0x80000 behind a writable one"),
    "more than 2^32 bytes": ([(BUFFERS, 0xFFFF_FFFF, NEXT, 1), (BUFFERS, 2, 0, 0)], [0], "a chain of 4,294,967,297 bytes"),
    "table and next": ([(TABLES, 16, INDIRECT | NEXT, 1)], [0], "indirect and has a next one"),
    "a table of no descriptor": ([(TABLES, 0, INDIRECT, 0)], [0], "an indirect table of 0 bytes"),
    "a table of half a descriptor": ([(TABLES, 24, INDIRECT, 0)], [0], "an indirect table of 24 bytes"),
    "a table of too many": ([(TABLES, 16 * 1025, INDIRECT, 0)], [0], "for 1 to 1,024 descriptors"),
    "a table of 4 GiB": ([(TABLES, 0xFFFF_FFF0, INDIRECT, 0)], [0], "an indirect table of 4294967280 bytes"),
    "a table outside": ([(OUTSIDE, 16, INDIRECT, 0)], [0], "memory ends at"),
    "a table at the end": ([(MIB - 16, 32, INDIRECT, 0)], [0], "memory ends at"),
}


def broken(queue, text):
    """The queue says so once, and stays so."""
    assert queue.take() is None
    assert queue.broken is not None and text in queue.broken and queue.said == [queue.broken]
    before = bytes(queue.memory.bytes)
    assert queue.take() is None and not queue.must_interrupt() and not queue.rest()
    queue.awake()
    assert queue.said == [queue.broken] and queue.memory.bytes == before


@pytest.mark.parametrize("rows, heads, text", SPLIT.values(), ids=SPLIT)
def test_split(rows, heads, text):
    memory = Flat()
    descriptors(memory, *rows)
    available(memory, *heads)
    broken(device("split", memory, indirect=True), text)


TABLE_ROWS = {
    "a table in a table": ([(BUFFERS, 16, INDIRECT, 0)], "an indirect table inside an indirect table"),
    "next outside": ([(BUFFERS, 16, NEXT, 2), (BUFFERS, 16, 0, 0)], "descriptor 2 in an indirect table of 2"),
    "a loop": ([(BUFFERS, 16, NEXT, 1), (BUFFERS, 16, NEXT, 0)], "indirect table of 2 goes round in a loop"),
    "readable behind writable": ([(BUFFERS, 16, NEXT | WRITE, 1), (BUFFERS, 16, 0, 0)], "behind a writable one"),
    "no bytes": ([(BUFFERS, 0, 0, 0)], "a descriptor of 0 bytes"),
}


@pytest.mark.parametrize("rows, text", TABLE_ROWS.values(), ids=TABLE_ROWS)
def test_split_tables(rows, text):
    memory = Flat()
    descriptors(memory, (TABLES, 16 * len(rows), INDIRECT, 0))
    descriptors(memory, *rows, at=TABLES)
    available(memory, 0)
    broken(device("split", memory, indirect=True), text)


def test_a_table_that_was_not_agreed_on():
    memory = Flat()
    descriptors(memory, (TABLES, 16, INDIRECT, 0))
    available(memory, 0)
    broken(device("split", memory), "which was not agreed on")
    packed(memory, (TABLES, 16, 0, INDIRECT | AVAIL))
    broken(device("packed", memory), "which was not agreed on")


def test_a_table_may_come_last_in_a_chain():
    """2.7.5.3.2: the device handles normal descriptors followed by a single one that is indirect."""
    memory = Flat()
    descriptors(memory, (BUFFERS, 1, NEXT, 1), (TABLES, 32, INDIRECT, 0))
    descriptors(memory, (BUFFERS + 1, 1, NEXT, 1), (BUFFERS + 2, 1, WRITE, 0), at=TABLES)
    available(memory, 0)
    chain = device("split", memory, indirect=True).take()
    assert chain.readable == [(BUFFERS, 1), (BUFFERS + 1, 1)] and chain.writable == [(BUFFERS + 2, 1)]


@pytest.mark.parametrize("index", [9, 255, 0x7FFF, 0xFFFF])
def test_the_index_jumps(index):
    memory = Flat()
    available(memory, 0, 1, index=index)
    broken(device("split", memory), f"the available index went from 0 to {index}")
    assert not device("split", memory).rest()


def test_the_index_goes_back():
    memory = Flat()
    descriptors(memory, (BUFFERS, 1, 0, 0))
    available(memory, 0, 0)
    queue = device("split", memory)
    assert queue.take() is not None and queue.take() is not None
    memory.write(DRIVER + 2, b"\1\0")
    broken(queue, "the available index went from 2 to 1")


def test_more_chains_at_once_than_the_ring_has():
    """The same head again and again, and nothing given back."""
    memory = Flat()
    descriptors(memory, (BUFFERS, 1, 0, 0))
    queue = device("split", memory)
    for index in range(1, 9):
        available(memory, *[0] * 8, index=index)
        assert queue.take() is not None
    available(memory, *[0] * 8, index=9)
    broken(queue, "9 chains at once in a ring of 8")


@pytest.mark.parametrize("where, at, text", [("descriptors", OUTSIDE, "the ring, or a table"), ("driver", OUTSIDE, "the ring, or a table"),
                                             ("driver", MIB - 4, "the ring, or a table")])
def test_a_part_of_the_queue_lies_outside(where, at, text):
    memory = Flat()
    available(memory, 0)
    memory.write(MIB - 4, b"\0\0\1\0")
    queue = device("split", memory)
    setattr(queue, where, at)
    broken(queue, text)


def test_the_used_ring_lies_outside():
    memory = Flat()
    descriptors(memory, (BUFFERS, 1, 0, 0))
    available(memory, 0)
    queue = device("split", memory)
    queue.device = MIB - 8
    queue.put(queue.take(), 0)
    assert "the used ring" in queue.broken
    queue = device("split", memory)
    queue.device = OUTSIDE
    queue.awake()
    assert "the device's event area" in queue.broken
    queue = device("split", memory, event_idx=True)
    queue.driver = OUTSIDE
    assert not queue.must_interrupt() and "the driver's event area" in queue.broken


@pytest.mark.parametrize("flags, text", [(0, "a buffer that the device reads"), (WRITE, "a buffer that the device writes")])
@pytest.mark.parametrize("address, length", [(OUTSIDE, 16), (MIB - 8, 16), ((1 << 64) - 8, 16)])
def test_a_buffer_lies_outside(flags, text, address, length):
    memory = Flat()
    descriptors(memory, (address, length, flags, 0))
    available(memory, 0)
    queue = device("split", memory)
    chain = queue.take()
    assert chain.store(0, bytes(16)) is False if flags else chain.fetch(0, 16) is None
    assert text in queue.broken


PACKED = {
    "readable behind writable": ([(BUFFERS, 1, 0, WRITE | NEXT | AVAIL), (BUFFERS, 1, 0, AVAIL)], "behind a writable one"),
    "no bytes": ([(BUFFERS, 0, 0, AVAIL)], "a descriptor of 0 bytes"),
    "no end": ([(BUFFERS, 1, 0, NEXT | AVAIL)] * 8, "a chain of more than 8 descriptors"),
    "table and next": ([(TABLES, 16, 0, NEXT | INDIRECT | AVAIL)], "indirect and has a next one"),
    "a table of half a descriptor": ([(TABLES, 8, 0, INDIRECT | AVAIL)], "an indirect table of 8 bytes"),
    "a table outside": ([(OUTSIDE, 16, 0, INDIRECT | AVAIL)], "memory ends at"),
    "more than 2^32 bytes": ([(BUFFERS, 0xFFFF_FFFF, 0, NEXT | AVAIL), (BUFFERS, 2, 0, AVAIL)], "a chain of 4,294,967,297 bytes"),
}


@pytest.mark.parametrize("rows, text", PACKED.values(), ids=PACKED)
def test_packed(rows, text):
    memory = Flat()
    packed(memory, *rows)
    broken(device("packed", memory, indirect=True), text)


def test_a_packed_table_in_a_table():
    memory = Flat()
    packed(memory, (TABLES, 16, 0, INDIRECT | AVAIL))
    packed(memory, (BUFFERS, 16, 0, INDIRECT), at=TABLES)
    broken(device("packed", memory, indirect=True), "an indirect table inside an indirect table")


def test_the_whole_ring_is_available_again_before_anything_came_back():
    memory = Flat()
    queue = device("packed", memory)
    packed(memory, *[(BUFFERS, 1, 0, AVAIL)] * 8)
    for _ in range(8):
        assert queue.take() is not None
    packed(memory, *[(BUFFERS, 1, 0, USED)] * 8)
    broken(queue, "9 descriptors at once in a ring of 8")


@pytest.mark.parametrize("kind", ["split", "packed"])
@pytest.mark.parametrize("event_idx", [False, True])
def test_nothing_that_memory_holds_raises(kind, event_idx):
    """Random rings, some of them nearly right, for which every call has an answer."""
    random_ = random.Random(f"{kind}{event_idx}")
    ends = set()
    for turn in range(400):
        memory = Flat()
        queue = device(kind, memory, random_.choice((1, 2, 8)), indirect=True, event_idx=event_idx)
        for at in range(TABLE, TABLE + 128, 16):
            address = random_.choice((BUFFERS, TABLES, TABLE, DEVICE, OUTSIDE, MIB - 5))
            length = random_.choice((0, 1, 16, 48, 1 << 20, 0xFFFF_FFFF))
            flags = random_.getrandbits(3) | random_.choice((0, AVAIL, USED))
            memory.write(at, struct.pack("<QI2H", address, length, *((random_.randrange(9), flags) if kind == "packed" else (flags, random_.randrange(9)))))
        memory.write(TABLES, random_.randbytes(64))
        memory.write(DRIVER, random_.randbytes(2) + bytes([random_.randrange(4), 0]) + bytes([random_.randrange(9), 0] * 8))
        for _ in range(6):
            chain = queue.take()
            if chain is not None:
                ends.add("chain")
                chain.fetch(0, 64)
                chain.store(0, bytes(64))
                queue.put(chain, random_.randrange(1 << 32))
            queue.must_interrupt()
            queue.rest()
            queue.awake()
        ends.add("broken" if queue.broken else "whole")
    assert ends == {"chain", "broken", "whole"}
