"""From RNDIS PACKET messages, as a guest's private copy has them, to frames for the wire: nothing they say is believed unchecked."""

from vmio.machine.net import checksums, frames, headers
from vmio.machine.net.headers import IS_TCP, IS_UDP
from vmio.vmbus.net import rndis as r

MIN_MSS = 88               # Linux's least (include/net/tcp.h, TCP_MIN_MSS): a smaller one makes many frames of few bytes
MAX_LARGE = 65_535         # bytes of a segment that is cut here, as its offer says


def messages(data: bytes) -> list[bytes] | None:
    """Return the RNDIS messages that lie one after the other in `data`, each at a multiple of 8; None if they don't fit."""
    found, at = [], 0
    while len(data) - at >= r.HEAD.size:
        length = r.HEAD.parse(data, at).length
        if not r.HEAD.size <= length <= len(data) - at:
            return None
        found.append(data[at:at + length])
        at += length + 7 & ~7
    return found


def beside(message: bytes) -> dict[int, int] | None:
    """Return {type: first word} of a PACKET's per-packet information; None if a block lies."""
    packet = r.PACKET.parse(message)
    at = r.BODY + packet.ppi_offset
    end = at + packet.ppi_length
    if not packet.ppi_length:
        return {}
    if packet.ppi_offset < r.FIRST_PPI or end > len(message):
        return None
    found: dict[int, int] = {}
    while at < end:
        if end - at < r.PPI.size:
            return None
        block = r.PPI.struct.unpack_from(message, at)
        size, kind, offset = block
        if not r.PPI.size <= size <= end - at or not r.PPI.size <= offset <= size - 4:
            return None
        found.setdefault(kind, int.from_bytes(message[at + offset:at + offset + 4], "little"))
        at += size
    return found


def to_frames(message: bytes) -> list[bytes] | None:
    """Return the frames that a PACKET message stands for, unpadded: nobody needs that on a virtual wire; None if it makes no sense."""
    if len(message) < r.PACKET.size:
        return None
    packet = r.PACKET.parse(message)
    start = r.BODY + packet.data_offset
    frame = message[start:start + packet.data_length]
    about = beside(message)
    if about is None or packet.data_offset < r.FIRST_PPI or len(frame) != packet.data_length or len(frame) < frames.HEADER:
        return None
    made: list[bytes] | None
    if r.LARGE_SEND in about:
        large = r.LSO_V2.take(about[r.LARGE_SEND])
        if large.mss < MIN_MSS or len(frame) > MAX_LARGE + frames.HEADER:
            return None
        made = checksums.cut(frame, large.transport_offset, large.mss)
    else:
        made = _checked(frame, about.get(r.CHECKSUM, 0))
    if made is None or any(len(each) > frames.longest(each) for each in made):
        return None
    if r.VLAN in about:
        tag = r.VLAN_TAG.take(about[r.VLAN])
        if any(headers.untag(each)[1] is not None for each in made) or tag.vlan > headers.MAX_VLAN:
            return None
        made = [headers.tag(each, tag.vlan, tag.priority) for each in made]
    return made


def _checked(frame: bytes, asked: int) -> list[bytes] | None:
    """The frame with the checksums that were left to us."""
    want = r.TX_CHECKSUM.take(asked)
    if not (want.tcp or want.udp or want.ip_header):
        return [frame]
    found = headers.parse(frame)
    if found.transport is None:
        return None
    filled: bytes | None = frame
    if want.tcp or want.udp:
        filled = checksums.fill(frame, found, IS_TCP if want.tcp else IS_UDP, want.transport_offset or found.transport)
    if filled is None:
        return None
    return [checksums.fill_ip(filled, found) if want.ip_header else filled]
