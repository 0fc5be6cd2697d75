"""From an RNDIS PACKET message, our own copy of what the host wrote, to the frame in it: every offset and length is the host's word, and checked.

Sums are Python's, which don't wrap; in C they do, and "offset + length <= size" has to be said the other way round.
Linux: drivers/net/hyperv/rndis_filter.c (rndis_filter_receive_data, rndis_get_ppi).
"""

from collections.abc import Iterator

from vmio.machine.net import frames, headers
from vmio.vmbus.net import rndis as r


def frame(message: bytes) -> bytes | None:
    """Return the frame, with the tag that came beside it back in its place; None if what is said about it doesn't fit together."""
    about = r.PACKET.parse(message)
    start, whole = r.BODY + about.data_offset, min(about.length, len(message))
    if about.data_offset < r.FIRST_PPI or about.data_length < frames.HEADER or start + about.data_length > whole:
        return None
    found = message[start:start + about.data_length]
    if about.ppi_length:
        first = r.BODY + about.ppi_offset
        if about.ppi_offset < r.FIRST_PPI or first + about.ppi_length > whole:
            return None
        for kind, data in beside(message[first:first + about.ppi_length]):
            if kind < 0:
                return None
            if kind == r.VLAN:
                tag = r.VLAN_TAG.take(data)
                found = headers.tag(found, tag.vlan, tag.priority)
    return found


def beside(blocks: bytes) -> Iterator[tuple[int, int]]:
    """Yield (type, first word of its data) of each block of per-packet information; (-1, 0), and no more, for one that can't be."""
    at = 0
    while at < len(blocks):
        if len(blocks) - at < r.PPI.size:
            yield -1, 0
            return
        size, kind, offset, *_ = r.PPI.parse(blocks[at:at + r.PPI.size])
        if not r.PPI.size <= offset <= size - 4 or size > len(blocks) - at:      # with a size of 0 this would go on for ever
            yield -1, 0
            return
        yield kind, int.from_bytes(blocks[at + offset:at + offset + 4], "little")
        at += size
