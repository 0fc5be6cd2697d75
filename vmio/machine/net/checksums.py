"""Internet checksums: filled in and checked for a frame, and one large TCP segment cut into many that fit the wire.

Source: RFC 1071 (the sum), RFC 9293, 3.1 (TCP's pseudo header), RFC 768 (UDP: 0 means none), RFC 8200, 8.1 (IPv6).
"""

from vmio.machine.net import headers
from vmio.machine.net.headers import IPV4, IPV6, IS_TCP, IS_UDP, TCP, UDP, Headers

_FIN_PSH, _CWR = 0x009, 0x080
_CHECKSUM_AT = {IS_TCP: TCP.by_name["checksum"].offset, IS_UDP: UDP.by_name["checksum"].offset}
_SMALLEST = {IS_TCP: TCP.size, IS_UDP: UDP.size}


def total(data: bytes) -> int:
    """Return the ones' complement sum of 16-bit words; an odd last byte is a word's upper half."""
    number = int.from_bytes(data + b"\0" if len(data) & 1 else data, "big")
    return number % 0xFFFF or (0xFFFF if number else 0)


def _pseudo(found: Headers, protocol: int, length: int) -> bytes:
    """The pseudo header of a segment of `length` bytes."""
    size = length.to_bytes(4, "big") if len(found.source) == 16 else length.to_bytes(2, "big")
    kind = protocol.to_bytes(4, "big") if len(found.source) == 16 else protocol.to_bytes(2, "big")
    return found.source + found.destination + size + kind


def _segment(frame: bytes, found: Headers, transport: int) -> bytes | None:
    """The bytes from the TCP or UDP header on, without what pads the frame; None if the IP header's length is wrong."""
    at = found.ip or 0
    whole = IPV4.parse(frame, at).length if len(found.source) == 4 else IPV6.size + IPV6.parse(frame, at).length
    return frame[transport:at + whole] if transport < at + whole <= len(frame) else None


def fill_ip(frame: bytes, found: Headers) -> bytes:
    """Return the frame with the checksum of its IPv4 header; the same frame if it has none."""
    if found.ip is None or found.transport is None or len(found.source) != 4:
        return frame
    at = found.ip + IPV4.by_name["checksum"].offset
    head = frame[found.ip:at] + b"\0\0" + frame[at + 2:found.transport]
    return frame[:at] + (0xFFFF - total(head)).to_bytes(2, "big") + frame[at + 2:]


def fill(frame: bytes, found: Headers, protocol: int, transport: int) -> bytes | None:
    """Return the frame with the checksum of the TCP or UDP header at `transport`; None if there is no such header whole."""
    if found.ip is None or found.transport is None or transport < found.transport:
        return None
    segment = _segment(frame, found, transport)
    if segment is None or len(segment) < _SMALLEST[protocol]:
        return None
    at = _CHECKSUM_AT[protocol]
    zeroed = segment[:at] + b"\0\0" + segment[at + 2:]
    value = 0xFFFF - total(_pseudo(found, protocol, len(segment)) + zeroed)
    at += transport
    return frame[:at] + (value or 0xFFFF if protocol == IS_UDP else value).to_bytes(2, "big") + frame[at + 2:]


def good(frame: bytes, found: Headers) -> tuple[bool | None, bool | None]:
    """Return whether the checksums of the IPv4 header and of TCP or UDP are right; None for one that isn't there to be checked."""
    if found.ip is None or found.transport is None:
        return None, None
    ip = total(frame[found.ip:found.transport]) == 0xFFFF if len(found.source) == 4 else None
    segment = _segment(frame, found, found.transport)
    if found.protocol not in _SMALLEST or found.fragment or segment is None or len(segment) < _SMALLEST[found.protocol]:
        return ip, None
    if found.protocol == IS_UDP and len(found.source) == 4 and segment[6:8] == b"\0\0":
        return ip, None
    return ip, total(_pseudo(found, found.protocol, len(segment)) + segment) == 0xFFFF


def cut(frame: bytes, transport: int, mss: int) -> list[bytes] | None:
    """Return a large TCP segment as frames of at most `mss` bytes of data each, with all their checksums.

    The IP header's length and checksum may be anything before.  None if there is no TCP header at `transport`.
    """
    found = headers.parse(frame)
    if found.ip is None or found.transport is None or not found.transport <= transport <= len(frame) - TCP.size:
        return None
    tcp = TCP.parse(frame, transport)
    data_at = transport + 4 * (tcp.flags >> 12)
    if data_at < transport + TCP.size or data_at >= len(frame):
        return None
    cut_off = []
    for n, at in enumerate(range(data_at, len(frame), mss)):
        last = at + mss >= len(frame)
        flags = tcp.flags & ~(0 if last else _FIN_PSH) & ~(_CWR if n else 0)
        head = tcp._replace(sequence=tcp.sequence + at - data_at & 0xFFFF_FFFF, flags=flags)
        piece = TCP.struct.pack(*head) + frame[transport + TCP.size:data_at] + frame[at:at + mss]
        whole = _ip_head(frame, found, transport, len(piece), n) + piece
        filled = fill(fill_ip(whole, found), found, IS_TCP, transport)
        if filled is None:
            return None
        cut_off.append(filled)
    return cut_off


def _ip_head(frame: bytes, found: Headers, transport: int, length: int, n: int) -> bytes:
    """All before the TCP header of the n-th segment: the IP header says its length, and an id of its own."""
    at = found.ip or 0
    if len(found.source) == 4:
        old = IPV4.parse(frame, at)
        head = old._replace(length=transport - at + length, id=old.id + n & 0xFFFF)
        return frame[:at] + IPV4.struct.pack(*head) + frame[at + IPV4.size:transport]
    head = IPV6.parse(frame, at)._replace(length=transport - at - IPV6.size + length)
    return frame[:at] + IPV6.struct.pack(*head) + frame[at + IPV6.size:transport]
