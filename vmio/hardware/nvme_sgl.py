"""Where a command's data lies in memory: scatter gather lists.

A descriptor is 16 bytes: an address, a length, and a type.  The command holds
one; if it names a segment, that is a list of further ones, and its last may
name another segment.  Source: NVMe 1.4, 4.4 "Scatter Gather List".
"""

import struct

from vmio.hardware.nvme_wire import (
    DATA_TRANSFER_ERROR, DNR, FAULTS, INVALID_FIELD, INVALID_SGL_LENGTH, INVALID_SGL_TYPE, Failed)

DESCRIPTOR = struct.Struct("<QI3xB")
DATA, SEGMENT, LAST_SEGMENT = 0, 2, 3     # bits 7:4 of the type
INVALID_COUNT, INVALID_SEGMENT = 0x00D, 0x00E
MOST_SEGMENTS = 256    # of one command: a list that runs in a circle ends too


def segments(memory, command, length):
    """[(address, bytes), ...] of `length` bytes; `Failed` for a list that is too short or can't be read."""
    if command[1] & 0xC0 == 0xC0:
        raise Failed(INVALID_FIELD | DNR)
    descriptors = [DESCRIPTOR.unpack_from(command, 24)]
    if descriptors[0][2] >> 4 not in (DATA, SEGMENT, LAST_SEGMENT):
        raise Failed(INVALID_SGL_TYPE | DNR)
    found = []
    for _ in range(MOST_SEGMENTS):
        *plain, (address, size, kind) = descriptors
        follows = kind >> 4 in (SEGMENT, LAST_SEGMENT)
        for descriptor in plain if follows else descriptors:
            length -= _add(found, descriptor, length)
        if not follows:
            break
        if not length:
            return found
        if not size or size & 15 or size > 4096:
            raise Failed(INVALID_SEGMENT | DNR)
        try:
            descriptors = list(DESCRIPTOR.iter_unpack(memory.read(address, size)))
        except FAULTS:
            raise Failed(DATA_TRANSFER_ERROR) from None
    if length:
        raise Failed(INVALID_SGL_LENGTH | DNR)
    return found


def _add(found, descriptor, left):
    address, size, kind = descriptor
    if kind >> 4 != DATA:
        raise Failed((INVALID_COUNT if kind >> 4 in (SEGMENT, LAST_SEGMENT) else INVALID_SGL_TYPE) | DNR)
    size = min(size, left)
    if size:
        found.append((address, size))
    return size
