"""Where a command's data lies in memory: scatter gather lists.

A descriptor is 16 bytes: an address, a length, and a type.  The command holds
one; if it names a segment, that is a list of further ones, and its last may
name another segment.  Source: NVMe 1.4, 4.4 "Scatter Gather List".
"""

from typing import Any

from vmio.hardware.nvme.wire import (
    COMMAND,
    DATA_DESCRIPTOR,
    DATA_TRANSFER_ERROR,
    DNR,
    FAULTS,
    INVALID_FIELD,
    INVALID_SGL_LENGTH,
    INVALID_SGL_TYPE,
    Failed,
)
from vmio.machine.contracts import Memory

DESCRIPTOR = DATA_DESCRIPTOR.only("address", "length", "kind")
_FIRST = COMMAND.slice("prp1").start                    # a command has its descriptor where PRPs would be
DATA, BIT_BUCKET, SEGMENT, LAST_SEGMENT = 0, 1, 2, 3     # bits 7:4 of the type
INVALID_SEGMENT, INVALID_COUNT = 0x00D, 0x00E
AT_ONCE = 256                             # descriptors that are read at a time: a page of them
MAX_DESCRIPTORS = 1 << 16                # of one command: a list that runs in a circle ends too


def segments(memory: Memory, command: bytes, length: int) -> list[tuple[int, int]]:
    """[(address, bytes), ...] of `length` bytes; `Failed` for a list that has not just these, or can't be read.

    `SGLS` bits 18 and 16 are clear: no list may be longer than the data, and there are no bit buckets (5.15.2.2).
    """
    if command[1] & 0xC0 == 0xC0:
        raise Failed(INVALID_FIELD | DNR)
    found: list[tuple[int, int]] = []
    last: Any = DESCRIPTOR.unpack_from(command, _FIRST)
    if last[2] >> 4 == DATA:
        length -= _add(found, [last], length)
        last = None
    left = MAX_DESCRIPTORS
    while last is not None:
        address, size, kind = last
        number = size // DESCRIPTOR.size
        if kind >> 4 not in (SEGMENT, LAST_SEGMENT) or not size or size % DESCRIPTOR.size:
            raise Failed(INVALID_SEGMENT | DNR)
        left -= number
        if left < 0:
            raise Failed(INVALID_COUNT | DNR)
        for _ in range((number - 1) // AT_ONCE):
            length -= _add(found, _read(memory, address, AT_ONCE), length)
            address += DESCRIPTOR.size * AT_ONCE
        descriptors, last = _read(memory, address, (number - 1) % AT_ONCE + 1), None
        if descriptors[-1][2] >> 4 not in (DATA, BIT_BUCKET):     # then it is the next segment
            if kind >> 4 == LAST_SEGMENT:
                raise Failed(INVALID_SEGMENT | DNR)
            last = descriptors.pop()
        length -= _add(found, descriptors, length)
    if length:
        raise Failed(INVALID_SGL_LENGTH | DNR)
    return found


def _read(memory: Memory, address: int, number: int) -> list[tuple[int, int, int]]:
    try:
        return list(DESCRIPTOR.iter_unpack(memory.read(address, DESCRIPTOR.size * number)))
    except FAULTS:
        raise Failed(DATA_TRANSFER_ERROR) from None


def _add(found: list[tuple[int, int]], descriptors: list[tuple[int, int, int]], left: int) -> int:
    """Append data blocks, at most `left` bytes; how many they are."""
    added = 0
    for address, size, kind in descriptors:
        if kind >> 4 != DATA:
            raise Failed((INVALID_COUNT if kind >> 4 in (SEGMENT, LAST_SEGMENT) else INVALID_SGL_TYPE) | DNR)
        if size and added == left:
            raise Failed(INVALID_SGL_LENGTH | DNR)
        size = min(size, left - added)
        if size:
            found.append((address, size))
        added += size
    return added
