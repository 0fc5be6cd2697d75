"""Checksums and large segments that a guest leaves to the host, checked by a sum of our own; and what the host says of a frame's."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.netvsp_rig import MAC, OTHER, Rig, frame, info, packet, parsed
from vmio.machine.net import checksums, headers

V4, V6 = (b"\x0a\0\0\1", b"\x0a\0\0\x09"), (b"\xfe\x80" + bytes(13) + b"\1", b"\xfe\x80" + bytes(13) + b"\2")


def plain_sum(data):
    """RFC 1071, word by word."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at:at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


def segment(ips, protocol, payload, sequence=1000, flags=0x5018, options=b"", checksum=0, source=1234, to=80):
    """An Ethernet frame with TCP (6) or UDP (17)."""
    if protocol == 6:
        flags = flags & 0x0FFF | (20 + len(options)) // 4 << 12
        body = struct.pack(">HHIIHHHH", source, to, sequence, 7, flags, 512, checksum, 0) + options + payload
    else:
        body = struct.pack(">HHHH", source, to, 8 + len(payload), checksum) + payload
    if len(ips[0]) == 4:
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 5, 0x4000, 64, protocol, 0, *ips)
        return frame(rest=head + body)
    return frame(kind=b"\x86\xdd", rest=struct.pack(">IHBB16s16s", 6 << 28, len(body), protocol, 64, *ips) + body)


def right(made, ips, protocol):
    """Are the checksums of this frame right?"""
    at = 14 + (20 if len(ips[0]) == 4 else 40)
    whole = int.from_bytes(made[16:18], "big") + 14 if len(ips[0]) == 4 else int.from_bytes(made[18:20], "big") + 54
    body = made[at:whole]
    pseudo = ips[0] + ips[1] + struct.pack(">II", len(body), protocol)
    ip = plain_sum(made[14:34]) == 0xFFFF if len(ips[0]) == 4 else True
    return ip, plain_sum(pseudo + body) == 0xFFFF


@pytest.mark.parametrize("ips", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("protocol, bit", [(6, 4), (17, 8)])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
@pytest.mark.parametrize("pad", [0, 18])
def test_checksums_are_filled_in(ips, protocol, bit, size, pad):
    rig, transport = Rig().ready(), 34 if len(ips[0]) == 4 else 54
    one = segment(ips, protocol, bytes(range(256)) * 4)[:transport + (20 if protocol == 6 else 8) + size]
    one = segment(ips, protocol, one[transport + (20 if protocol == 6 else 8):], checksum=0xBEEF) + bytes(pad)
    assert rig.rndis(packet(one, info(0, 1 | bit | 16 | transport << 16)))[0] == 1
    (made,) = rig.peer.got
    assert right(made, ips, protocol) == (True, True) and len(made) == len(one) and made[:14] == one[:14]
    assert rig.rndis(packet(one))[0] == 1 and rig.peer.got[1] == one                  # not asked: not touched


@pytest.mark.parametrize("ips", [V4, V6], ids=["IPv4", "IPv6"])
def test_a_large_segment_is_cut_into_frames_that_fit(ips):
    rig, transport = Rig(send_pages=32).ready(), 34 if len(ips[0]) == 4 else 54
    payload = bytes(n * 7 & 0xFF for n in range(20_000))
    large = segment(ips, 6, payload, flags=0x5089, options=b"\1" * 12)                # FIN, PSH, CWR
    assert rig.rndis(packet(large, info(2, 1400 | transport << 20 | 1 << 30 | (len(ips[0]) == 16) << 31)))[0] == 1
    got = rig.peer.got
    head = transport + 32
    assert len(got) == 15 and b"".join(each[head:] for each in got) == payload and {len(each) for each in got[:-1]} == {head + 1400}
    assert all(right(each, ips, 6) == (True, True) for each in got)
    fields = [struct.unpack_from(">HHIIHHHH", each, transport) for each in got]
    assert [each[2] for each in fields] == [1000 + 1400 * n for n in range(15)]
    assert [each[4] & 0xFFF for each in fields] == [0x80, *[0] * 13, 0x009]
    if len(ips[0]) == 4:
        assert [int.from_bytes(each[18:20], "big") for each in got] == list(range(5, 20))


@pytest.mark.parametrize("mss, transport, cut", [(0, 34, 0), (87, 34, 0), (1461, 34, 0), (1400, 33, 0), (1400, 1023, 0), (1400, 0, 0), (1400, 34, 40)])
def test_a_large_segment_that_cant_be_cut_is_no_packet(mss, transport, cut):
    rig = Rig().ready()
    large = segment(V4, 6, bytes(5000))
    assert rig.rndis(packet(large[:cut] if cut else large, info(2, mss | transport << 20 | 1 << 30)))[0] == 5 and rig.peer.got == []


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=120), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x08\x06"]), st.integers(0, 140), st.integers(0, 3000))
def test_any_bytes_are_parsed_filled_and_cut_without_an_error(rest, kind, transport, mss):
    one = frame(kind=kind, rest=rest)
    found = headers.parse(one)
    for protocol in (6, 17):
        made = checksums.fill(one, found, protocol, transport)
        assert made is None or len(made) == len(one)
    assert len(checksums.fill_ip(one, found)) == len(one)
    checksums.good(one, found)
    for each in checksums.cut(one, transport, max(mss, 88)) or []:
        assert len(each) <= len(one) + 40


@pytest.mark.parametrize("ips", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("protocol", [6, 17])
def test_the_host_says_whether_checksums_of_a_frame_are_right(ips, protocol):
    rig, four = Rig().ready(), len(ips[0]) == 4
    assert rig.set(0xFC01020C, b"\x80\3\x1c\0" + b"\1\4\4\4\4\0\0\2\2\0\0".ljust(24, b"\0")) == 0
    one = segment(ips, protocol, b"hello, world")
    one = MAC + OTHER + one[12:]
    good = checksums.fill(checksums.fill_ip(one, headers.parse(one)), headers.parse(one), protocol, 34 if four else 54)
    name = {6: (8, 1), 17: (16, 2)}[protocol]
    for sent, said in ((good, (32 if four else 0) | name[0]), (good[:-1] + b"!", (32 if four else 0) | name[1]),
                       (good[:22] + bytes([good[22] ^ 1]) + good[23:], 4 | name[0]) if four else (good, name[0])):
        rig.peer.end.send(sent)
        assert parsed(*rig.received(rig.run())) == (sent, {0: said})


def test_of_a_frame_without_ip_nothing_is_said_and_udp_without_a_checksum_has_none():
    rig = Rig().ready()
    rig.set(0xFC01020C, b"\x80\3\x1c\0" + b"\1\4\4\4\4\0\0\2\2\0\0".ljust(24, b"\0"))
    udp = segment(V4, 17, b"x")
    for one, said in ((frame(MAC, OTHER, b"\x08\x06"), {}), (MAC + OTHER + checksums.fill_ip(udp, headers.parse(udp))[12:], {0: 32})):
        rig.peer.end.send(one)
        assert parsed(*rig.received(rig.run()))[1] == said
