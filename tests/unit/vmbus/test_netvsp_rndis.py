"""RNDIS requests about the card, as a guest packs them by hand; and who answers what can't be."""

import struct

import pytest

from tests.netvsp_rig import MAC, OTHER, V5, Rig, frame, parsed
from vmio.vmbus.net.rss import Scaling, parameters, toeplitz

KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
# Microsoft, "Verifying the RSS Hash Calculation": (source, its port, destination, its port, hash of the addresses, with the ports)
IPV4 = [("66.9.149.187", 2794, "161.142.100.80", 1766, 0x323E8FC2, 0x51CCC178),
        ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xD718262A, 0xC626B0EA),
        ("24.19.198.95", 12898, "12.22.207.184", 38024, 0xD2D0A5DE, 0x5C2B394A),
        ("38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xAFC7327F),
        ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x5D1809C5, 0x10E828A2)]
IPV6 = [("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2CC18CD5, 0x40207D3D),
        ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0F0C461C, 0xDDE51BBF),
        ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4B61E985, 0x02D1FEEF)]


def test_initialize_says_eight_packets_aligned_to_8():
    said = Rig().ready(initialize=False).control(2, 77, 1, 0, 0x4000)
    assert said == (0x80000002, 52, 77, 0, 1, 0, 1, 0, 8, 1 << 17, 3, 0, 0)


def test_another_major_version_is_refused_and_nothing_else_answers_before():
    rig = Rig().ready(initialize=False)
    assert rig.control(2, 1, 2, 0, 0x4000)[3] == 0xC0010004
    assert rig.query(0x10106)[0] == 0xC0010015 and rig.set(0x1010E, struct.pack("<I", 1)) == 0xC0010015
    assert rig.vsp.control.filter == 0 and rig.control(8, 5)[:4] == (0x80000008, 16, 5, 0)


@pytest.mark.parametrize("oid, data", [
    (0x10106, struct.pack("<I", 1500)), (0x10107, struct.pack("<I", 100_000_000)), (0x1010C, struct.pack("<I", 0x155D)),
    (0x10114, bytes(4)), (0x1010E, struct.pack("<I", 13)), (0x1010101, MAC), (0x1010102, MAC),
    (0x10216, "vmio network adapter".encode("utf-16-le") + bytes(2))])
def test_what_the_card_says_of_itself(oid, data):
    assert Rig().ready().query(oid) == (0, data)


def test_a_cable_that_is_pulled_is_disconnected():
    rig = Rig()
    rig.cable.link(False)
    assert rig.ready().query(0x10114) == (0, struct.pack("<I", 1))


@pytest.mark.parametrize("oid", [0, 0x10101, 0xFFFFFFFF])
def test_an_oid_that_nobody_knows_has_a_status(oid):
    rig = Rig().ready()
    assert rig.query(oid) == (0xC0010017, b"") and rig.set(oid, bytes(4)) == 0xC0010017


@pytest.mark.parametrize("size, length", [(156, 156), (148, 148), (112, 112), (500, 156), (111, None)])
def test_offloads_are_told_as_far_as_the_guest_knows_them(size, length):
    status, data = Rig().ready().query(0xFC01020D, struct.pack("<BBH", 0xA7, 3, size).ljust(156, b"\0"))
    if length is None:
        assert (status, data) == (0xC0010016, b"")
    else:
        assert status == 0 and len(data) == length and struct.unpack_from("<BBH8I", data) == (0xA7, 3, length, 2, 0x155, 2, 0x155, 2, 0x55, 2, 0x55)
        assert struct.unpack_from("<7I", data, 4 + 32 + 16 + 28) == (2, 65535, 2, 2, 65535, 2, 5)


@pytest.mark.parametrize("oid, data, status", [
    (0x1010E, b"\1\0\0", 0xC0010014), (0xFC01020C, bytes(14), 0xC0010014), (0xFC01020C, bytes(28), 0xC0010015),
    (0xFC01020C, b"\x80\3\x1c\0" + b"\5" + bytes(23), 0xC0010015), (0xFC01020C, b"\x80\3\x16\0" + b"\1\4\4\4\4\0\0\2\2\0\0".ljust(18, b"\0"), 0),
    (0x10204, bytes(40), 0xC0010015), (0x1021B, bytes(19), 0xC0010014), (0x1021B, bytes(20), 0xC0010015)])
def test_what_is_set_has_the_length_and_the_values_that_it_may_have(oid, data, status):
    rig = Rig().ready()
    assert rig.set(oid, data) == status and not rig.errors


def address(text, name="NetworkAddress", kind=2):
    name, value = name.encode("utf-16-le"), text.encode("utf-16-le")
    return struct.pack("<5I", 20, len(name), kind, 20 + len(name), len(value)) + name + value


@pytest.mark.parametrize("data, good", [
    (address("020304050607"), True), (address("030304050607"), False), (address("0203040506"), False), (address("0203040506zz"), False),
    (address("020304050607", "Other"), False), (address("020304050607", kind=0), False), (address("020304050607")[:-2], False),
    (struct.pack("<5I", 0xFFFFFFF0, 28, 2, 0xFFFFFFF0, 24).ljust(80, b"\0"), False)])
def test_a_guest_gives_itself_another_address(data, good):
    rig = Rig().ready()
    assert (rig.set(0x1021B, data) == 0) is good
    assert rig.query(0x1010102)[1] == (bytes.fromhex("020304050607") if good else MAC) and rig.query(0x1010101)[1] == MAC
    rig.peer.end.send(frame(bytes.fromhex("020304050607"), OTHER))
    assert len(rig.received(rig.run())) == good


@pytest.mark.parametrize("size, offset", [(4, 0), (4, 19), (4, 21), (5, 20), (0xFFFFFFFF, 20), (4, 0xFFFFFFF8)])
def test_data_that_lie_outside_of_the_message_are_not_read(size, offset):
    assert Rig().ready().control(5, 10, 0x1010E, size, offset, 0, data=struct.pack("<I", 0x20))[3] == 0xC0010014


@pytest.mark.parametrize("message", [struct.pack("<II", 2, 8), struct.pack("<III", 4, 12, 1), struct.pack("<II", 0x80000004, 8), struct.pack("<III", 3, 12, 1)])
def test_requests_that_are_too_short_or_have_no_answer_are_not_answered(message):
    rig = Rig().ready()
    assert rig.rndis(message, channel=1) == (1, []) and not rig.errors


def test_halt_and_reset_stop_reception():
    for kind in (3, 6):
        rig = Rig().ready()
        rig.rndis(struct.pack("<III", kind, 12, 1), channel=1)
        rig.peer.end.send(frame(MAC, OTHER))
        assert rig.vsp.received == [0, 0]


# Receive side scaling.

@pytest.mark.parametrize("source, source_port, destination, port, addresses, whole", IPV4 + IPV6)
def test_toeplitz_by_microsofts_vectors(source, source_port, destination, port, addresses, whole):
    import ipaddress
    both = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    assert toeplitz(KEY, both) == addresses and toeplitz(KEY, both + struct.pack(">HH", source_port, port)) == whole


def rss(table=(0, 1, 2, 1), kinds=0x1701, flags=0, key=KEY, table_offset=40, key_offset=None):
    data = struct.pack(f"<{len(table)}I", *table)
    key_offset = 40 + len(data) if key_offset is None else key_offset
    head = struct.pack("<BBHHHIHHIHHIIII", 0x89, 2, 40, flags, 0, kinds, len(data), 0, table_offset, len(key), 0, key_offset, 0, 0, 0)
    return head + data + key


def test_a_table_a_key_and_kinds_are_taken_and_what_is_unchanged_stays():
    made = parameters(rss(), Scaling(), 3)
    assert (made.kinds, made.key, made.table) == (0x1700, KEY, (0, 1, 2, 1))
    other = parameters(rss((1,), 0x101, flags=0x8), made, 3)
    assert (other.kinds, other.key, other.table) == (0x100, KEY, (1,))
    assert parameters(rss(flags=0x10), made, 3).table == () == parameters(rss(kinds=0x100), made, 3).table


@pytest.mark.parametrize("data", [
    b"", rss()[:39], b"\x88" + rss()[1:], rss((0, 3)), rss(()), rss((0,) * 129), rss(table_offset=41), rss(table_offset=0xFFFFFFF0),
    rss(key=KEY[:39]), rss(key=KEY + b"\0"), rss(key_offset=60), rss(key_offset=0xFFFFFFFF)])
def test_scaling_that_makes_no_sense_is_refused(data):
    assert parameters(data, Scaling(), 3) is None


def test_capabilities_name_the_channels_there_may_be():
    rig = Rig(max_subchannels=3).ready(V5)
    assert rig.query(0x10203) == (0, struct.pack("<BBHIIIH", 0x88, 2, 18, 0x03000300, 1, 4, 128) + b"\0\0")


def tcp(source, port, destination, to):
    import ipaddress
    ips = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    body = struct.pack(">HHIIHHHH", port, to, 0, 0, 0x5000, 0, 0, 0)
    if len(ips[0]) == 4:
        return frame(MAC, OTHER, rest=struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, *ips) + body)
    return frame(MAC, OTHER, b"\x86\xdd", struct.pack(">IHBB16s16s", 6 << 28, 20, 6, 64, *ips) + body)


@pytest.mark.parametrize("source, source_port, destination, port, addresses, whole", IPV4 + IPV6)
def test_the_hash_of_a_frame_is_told_beside_it(source, source_port, destination, port, addresses, whole):
    rig = Rig(max_subchannels=3).ready()
    assert rig.set(0x10204, rss((0,))) == 0
    one = tcp(source, source_port, destination, port)
    rig.peer.end.send(one)
    (message,) = rig.received(rig.run())
    assert parsed(message) == (one, {8: whole})
    assert rig.set(0x10204, rss((0,), kinds=0x501)) == 0
    rig.peer.end.send(one)
    assert parsed(*rig.received(rig.run()))[1] == {8: addresses}
