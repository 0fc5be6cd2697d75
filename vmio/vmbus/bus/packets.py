"""What lies in a ring: records, each a descriptor, perhaps ranges of guest memory, a payload, and a trailer.

    0        descriptor, 16 bytes: type, where the payload starts, length, flags, transaction id
    16       ranges (types 7 and 9 only)
    offset8  payload, padded with zeros to a multiple of 8; both offset8 and length8 count 8-byte units
    length8  trailer, 8 bytes: in its upper half the index at which the record began; not part of length8

Public sources: Linux include/linux/hyperv.h (struct vmpacket_descriptor and its
followers) and drivers/hv/channel.c; OpenVMM vm/devices/vmbus/vmbus_ring.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from vmio.machine.layout import Layout, u8, u16, u32, u64

INBAND = 6           # the payload is all there is
TRANSFER_PAGES = 7   # data lies in ranges of a buffer that both sides know (NetVSP receives this way)
GPA_DIRECT = 9       # data lies in pages of guest memory
COMPLETION = 0xB     # answer to the record with the same transaction id
KINDS = {INBAND: "INBAND", TRANSFER_PAGES: "TRANSFER_PAGES", GPA_DIRECT: "GPA_DIRECT", COMPLETION: "COMPLETION"}

COMPLETION_REQUESTED = 1  # the only flag

DESCRIPTOR = Layout(
    "DESCRIPTOR",
    u16("type", names=KINDS), u16("offset8", "payload starts here, in 8-byte units"),
    u16("length8", "whole record without its trailer, in 8-byte units"),
    u16("flags", "1 = completion requested"), u64("transaction_id", "comes back in the completion"))
TRAILER = Layout("TRAILER", u32("zero"), u32("start", "index at which the record began"))
GPA_HEADER = Layout("GPA_HEADER", u32("reserved"), u32("ranges"))
GPA_RANGE = Layout("GPA_RANGE", u32("byte_count"), u32("byte_offset", "in the first page"), tail="pages", each="Q")
TRANSFER_HEADER = Layout("TRANSFER_HEADER", u16("set_id"), u8("sender_owns_set"), u8("reserved"), u32("ranges"))
TRANSFER_RANGE = Layout("TRANSFER_RANGE", u32("byte_count"), u32("byte_offset", "in the set"))

# What a pipe, a channel that carries bytes or messages of any length, has before them in each record's payload.
PIPE_DATA = 1
PIPE = Layout("PIPE", u32("type", default=PIPE_DATA), u32("size", "of what follows; some guests leave a request's in their answer"))

_new = tuple.__new__  # a named tuple in half the time
MAX_RECORD = 0xFFFF * 8  # bytes: length8 has 16 bits
_ONE_RANGE = Layout("ONE_RANGE", *(u32(name) for name in ("reserved", "ranges", "byte_count", "byte_offset"))).struct
_unpack_one = _ONE_RANGE.unpack_from
_pages = lru_cache(64)(lambda number: struct.Struct(f"<{number}Q"))  # bounded: a peer chooses the number


class RingCorrupt(Exception):
    """The other side wrote something into the shared memory that no honest peer writes."""


class GpaRange(NamedTuple):
    """`byte_count` bytes of guest memory, from `byte_offset` of the first page on; `pages` are page numbers."""

    byte_count: int
    byte_offset: int
    pages: tuple


PageRanges: TypeAlias = Sequence[tuple[int, int, Sequence[int]]]     # of `GpaRange`, or plain tuples like it


class TransferPages(NamedTuple):
    """Ranges (byte count, byte offset) in the buffer called `set_id`."""

    set_id: int
    ranges: tuple


class Packet(NamedTuple):
    """One record as received.  The payload still has its padding: nothing on the wire says where it ended."""

    kind: int
    flags: int
    transaction_id: int
    payload: bytes
    ranges: tuple  # of `GpaRange`, or one `TransferPages`

    @property
    def wants_completion(self) -> bool:
        """Does the sender wait for an answer?"""
        return self.flags & COMPLETION_REQUESTED != 0


def build_ranges(kind: int, ranges: Any) -> bytes:
    """Return the bytes between descriptor and payload for `ranges`, as `Packet.ranges` has them."""
    if kind == GPA_DIRECT:
        if len(ranges) == 1:  # nearly always; worth a short cut
            (count, offset, pages), = ranges
            return _ONE_RANGE.pack(0, 1, count, offset) + _pages(len(pages)).pack(*pages)
        parts = [GPA_HEADER.struct.pack(0, len(ranges))]
        parts += [GPA_RANGE.struct.pack(count, offset) + _pages(len(pages)).pack(*pages)
                  for count, offset, pages in ranges]
    elif kind == TRANSFER_PAGES:
        parts = [TRANSFER_HEADER.struct.pack(ranges.set_id, 0, 0, len(ranges.ranges))]
        parts += [TRANSFER_RANGE.struct.pack(count, offset) for count, offset in ranges.ranges]
    else:
        raise ValueError(f"a record of type {kind} has no ranges")
    return b"".join(parts)


def parse_ranges(kind: int, data: bytes) -> "tuple[GpaRange, ...] | TransferPages":
    """`Packet.ranges` from a private copy of those bytes.  `RingCorrupt` unless they all fit in it.

    Each range is as long as its byte count says; room left over at the end is no
    error (storvsc reserves more page numbers than it uses).
    """
    if kind != GPA_DIRECT:
        return _parse_transfer(data)
    if len(data) >= 24:  # one range: nearly always, worth a short cut
        _, number, count, offset = _unpack_one(data)
        pages = offset + count + 0xFFF >> 12
        if number == 1 and count and offset <= 0xFFF and 16 + 8 * pages <= len(data):
            return (_new(GpaRange, (count, offset, _pages(pages).unpack_from(data, 16))),)
    ranges, at = [], 8
    for _ in range(_number(data, 16)):
        if at + 8 > len(data):
            raise RingCorrupt(f"GPA range at byte {at}: outside the {len(data)} bytes for ranges")
        count, offset = GPA_RANGE.struct.unpack_from(data, at)
        if count == 0 or offset > 0xFFF:
            raise RingCorrupt(f"GPA range of {count} bytes at offset {offset:#x}")
        pages = offset + count + 0xFFF >> 12
        at += 8
        if at + 8 * pages > len(data):
            raise RingCorrupt(f"GPA range of {count} bytes needs {pages} pages, {(len(data) - at) // 8} are there")
        ranges.append(GpaRange(count, offset, _pages(pages).unpack_from(data, at)))
        at += 8 * pages
    return tuple(ranges)


def _parse_transfer(data: bytes) -> TransferPages:
    number = _number(data, 8)
    set_id = TRANSFER_HEADER.struct.unpack_from(data)[0]
    return TransferPages(set_id, tuple(TRANSFER_RANGE.struct.iter_unpack(data[8:8 + 8 * number])))


def _number(data: bytes, least: int) -> int:
    """How many ranges there are; before any loop: can so many, of `least` bytes each, fit at all?"""
    if len(data) < 8:
        raise RingCorrupt(f"{len(data)} bytes for ranges, at least 8 needed")
    number = GPA_HEADER.struct.unpack_from(data)[1]  # both headers have it in the same place
    if not 1 <= number <= (len(data) - 8) // least:
        raise RingCorrupt(f"{number} ranges in {len(data)} bytes")
    return number
