"""Where a command's data lies in memory: physical region pages.

PRP 1 may start within a page.  What is left after that page is described by
PRP 2: one page, or a list of pages; the last entry of a full list page points
to the next list page.  Source: NVMe 1.4, 4.3 "Physical Region Page Entry and List".
"""

import struct
from collections.abc import Sequence

from vmio.hardware.nvme.wire import DATA_TRANSFER_ERROR, DNR, FAULTS, INVALID_PRP_OFFSET, Failed
from vmio.machine.contracts import Buffer, Memory


def segments(memory: Memory, page: int, prp1: int, prp2: int, length: int) -> list[tuple[int, int]]:
    """[(address, bytes), ...] of `length` bytes; `page` is the memory page size.

    Raises `Failed` for a page that does not start at a page's start, or a list that can't be read.
    """
    first = page - (prp1 & page - 1)
    if length <= first:
        return [(prp1, length)]
    left = length - first
    if left <= page:
        if prp2 & page - 1:
            raise Failed(INVALID_PRP_OFFSET | DNR)
        return [(prp1, first), (prp2, left)]
    found = [(prp1, first)]
    entries = _entries(memory, prp2, min((page - (prp2 & page - 1)) // 8, -(-left // page)))
    at = 0
    while left:
        entry = entries[at] if at < len(entries) else 0
        if entry & page - 1:
            raise Failed(INVALID_PRP_OFFSET | DNR)
        if at + 1 >= len(entries) and left > page:   # the list goes on elsewhere
            entries, at = _entries(memory, entry, min(-(-left // page), page // 8)), 0
            entry = entries[0]
            if entry & page - 1:
                raise Failed(INVALID_PRP_OFFSET | DNR)
        size = min(left, page)
        found.append((entry, size))
        left -= size
        at += 1
    return found


def _entries(memory: Memory, address: int, count: int) -> tuple[int, ...]:
    try:
        return struct.unpack(f"<{count}Q", memory.read(address, 8 * count))
    except FAULTS:
        raise Failed(DATA_TRANSFER_ERROR) from None


def fetch(memory: Memory, pieces: Sequence[tuple[int, int]]) -> bytes:
    """Return the bytes that `pieces` describe; `Failed` where memory says no."""
    try:
        if len(pieces) == 1:
            return memory.read(*pieces[0])
        return b"".join([memory.read(address, length) for address, length in pieces])
    except FAULTS:
        raise Failed(DATA_TRANSFER_ERROR) from None


def store(memory: Memory, pieces: Sequence[tuple[int, int]], data: Buffer) -> None:
    """Spread `data` over `pieces`; `Failed` where memory says no (what came before it is stored)."""
    try:
        if len(pieces) == 1:
            memory.write(pieces[0][0], data)
            return
        at = 0
        for address, length in pieces:
            memory.write(address, data[at:at + length])
            at += length
    except FAULTS:
        raise Failed(DATA_TRANSFER_ERROR) from None
