"""What a frame says of itself behind its addresses: its VLAN tag, the IP header, the ports.  Nothing here trusts a length.

Source: IEEE 802.1Q-2022, 9.6 (tag); RFC 791, 3.1 (IPv4); RFC 8200, section 3 (IPv6); RFC 9293, 3.1 (TCP);
RFC 768 (UDP); RFC 826 (ARP); RFC 792 and RFC 4443 (ICMP).
"""

from typing import NamedTuple

from vmio.machine.layout import Layout, raw, u8, u16, u32
from vmio.machine.net import frames

ETHERNET = Layout("ETHERNET", raw("destination", 6), raw("source", 6), u16("type"), order=">")
VLAN = Layout("VLAN_TAG", u16("tpid", default=0x8100), u16("tci", "15:13 priority, 12 drop eligible, 11:0 VLAN"), order=">")
IPV4 = Layout("IPV4", u8("version_length", "version, header length in words", default=0x45), u8("service"), u16("length", "with this header"),
              u16("id"), u16("fragment", "13 more fragments, 12:0 offset in 8 bytes"), u8("ttl", default=64), u8("protocol"), u16("checksum"),
              raw("source", 4), raw("destination", 4), order=">")
IPV6 = Layout("IPV6", u32("flow", "version, class, label", default=6 << 28), u16("length", "behind this header"), u8("protocol"),
              u8("hops", default=64), raw("source", 16), raw("destination", 16), order=">")
TCP = Layout("TCP", u16("source"), u16("destination"), u32("sequence"), u32("acknowledged"), u16("flags", "15:12 header length in words"),
             u16("window"), u16("checksum"), u16("urgent"), order=">")
UDP = Layout("UDP", u16("source"), u16("destination"), u16("length"), u16("checksum"), order=">")
ICMP = Layout("ICMP", u8("type"), u8("code"), u16("checksum"), u32("rest"), order=">")
ARP = Layout("ARP", u16("hardware", default=1), u16("protocol", default=0x0800), u8("hardware_bytes", default=6), u8("protocol_bytes", default=4),
             u16("operation", "1 request, 2 reply"), raw("sender", 6), raw("sender_ip", 4), raw("target", 6), raw("target_ip", 4), order=">")

IS_IPV4, IS_IPV6, IS_ARP = 0x0800, 0x86DD, 0x0806       # of an Ethernet header's type
IS_ICMP, IS_TCP, IS_UDP, IS_ICMPV6 = 1, 6, 17, 58       # of an IP header's protocol
MAX_VLAN = 4094


class Headers(NamedTuple):
    """What was found; `ip` and `transport` are offsets in the frame, None where there is no such header, or not all of it.

    `source` and `destination` are IP addresses (b"" without an IP header), ports those of TCP and UDP (0 without).
    """

    type: int
    ip: int | None = None
    transport: int | None = None
    source: bytes = b""
    destination: bytes = b""
    protocol: int = -1
    source_port: int = 0
    destination_port: int = 0
    fragment: bool = False


def parse(frame: bytes) -> Headers:
    """Return what a frame of at least `frames.HEADER` bytes says; a tag before the IP header is passed over."""
    at = 2 * frames.ADDRESS
    while frame[at:at + 2] in frames.TAGGED and len(frame) >= at + frames.TAG + 2:
        at += frames.TAG
    kind, at = int.from_bytes(frame[at:at + 2], "big"), at + 2
    if kind == IS_IPV4 and len(frame) >= at + IPV4.size:
        head = IPV4.parse(frame, at)
        transport = at + 4 * (head.version_length & 0xF)
        if head.version_length >> 4 != 4 or transport < at + IPV4.size or transport > len(frame):
            return Headers(kind)
        fragment = bool(head.fragment & 0x3FFF)
        return _ports(frame, Headers(kind, at, transport, head.source, head.destination, head.protocol, fragment=fragment))
    if kind == IS_IPV6 and len(frame) >= at + IPV6.size:
        head = IPV6.parse(frame, at)
        if head.flow >> 28 != 6:
            return Headers(kind)
        return _ports(frame, Headers(kind, at, at + IPV6.size, head.source, head.destination, head.protocol))
    return Headers(kind)


def _ports(frame: bytes, found: Headers) -> Headers:
    """The same with the ports, if they are in this frame."""
    at = found.transport
    if at is None or found.protocol not in (IS_TCP, IS_UDP) or found.fragment or len(frame) < at + 4:
        return found
    return found._replace(source_port=int.from_bytes(frame[at:at + 2], "big"), destination_port=int.from_bytes(frame[at + 2:at + 4], "big"))


def tag(frame: bytes, vlan: int, priority: int = 0) -> bytes:
    """Return an untagged frame with a tag of this VLAN (0: of a priority alone)."""
    at = 2 * frames.ADDRESS
    return frame[:at] + VLAN.pack(tci=priority << 13 | vlan) + frame[at:]


def untag(frame: bytes) -> tuple[bytes, int | None, int]:
    """Return (frame without its outer tag, VLAN or None without one, priority)."""
    at = 2 * frames.ADDRESS
    if frame[at:at + 2] not in frames.TAGGED or len(frame) < at + frames.TAG + 2:
        return frame, None, 0
    tci = VLAN.parse(frame, at).tci
    return frame[:at] + frame[at + frames.TAG:], tci & 0xFFF, tci >> 13
