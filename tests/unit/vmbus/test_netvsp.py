"""NetVSP beside a guest whose bytes are packed by hand: versions, buffers, frames both ways, and what ends a channel."""

import struct

import pytest

from tests.netvsp_rig import MAC, OTHER, RECEIVE, SECTION, SEND, V1, V2, V4, V5, V6, V6_1, Rig, frame, info, packet, parsed
from vmio.machine.probes import watch


def words(*numbers):
    return struct.pack(f"<{len(numbers)}I", *numbers).ljust(40, b"\0")


# The protocol.

@pytest.mark.parametrize("version, size", [(V6_1, 40), (V6, 32), (V5, 32), (V4, 32), (V2, 32), (V1, 32)])
def test_versions_and_the_size_of_answers(version, size):
    """28 bytes in a record whose payload is padded to a multiple of 8, or 40."""
    rig = Rig()
    answer = rig.ask(1, version, version)
    assert rig.words(answer)[:4] == (2, 2 if version == V1 else 0, 34, 1) and len(answer) == size
    assert rig.vsp.version == version and not rig.errors


def test_a_guest_falls_back_until_the_host_knows_the_version():
    rig = Rig(versions=(V4, V2, V1))
    assert [rig.words(rig.ask(1, version, version))[3] for version in (V6_1, V6, V5, V4)] == [2, 2, 2, 1]


def test_the_receive_buffer_is_one_section_list_and_the_send_buffer_has_sections_of_6144():
    rig = Rig().agree()
    assert rig.words(rig.ask(101, 7, 0xCAFE))[:7] == (102, 1, 1, 0, SECTION, 32 * 4096 // SECTION, 32 * 4096 // SECTION * SECTION)
    assert rig.words(rig.ask(104, 8, 0))[:3] == (105, 1, 6144)


@pytest.mark.parametrize("change, handle", [
    (lambda rig: None, 99), (lambda rig: rig.lend(9, range(0x300, 0x310), relid=6), 9),
    (lambda rig: setattr(rig, "ring", rig.server.gpadls.by_handle[7]), 7), (lambda rig: rig.ask(104, 7, 0), 7),
    (lambda rig: rig.guest.enlightened.overlays.show("test", rig.guest.enlightened.overlays.page(), RECEIVE * 4096 + 4096), 7)],
    ids=["no such", "another channel's", "the ring", "the send buffer", "under an overlay"])
def test_a_buffer_that_is_not_the_guests_to_lend_is_refused(change, handle):
    rig = Rig().agree()
    change(rig)
    assert rig.words(rig.ask(101, handle, 0xCAFE))[:2] == (102, 2) and rig.vsp.receive_buffer is None
    assert rig.words(rig.ask(101, 7, 0xCAFE))[1] == (2 if handle == 7 else 1)


def test_a_buffer_twice_is_refused_and_after_a_revoke_taken():
    rig = Rig().agree().buffers()
    assert rig.words(rig.ask(101, 7, 0xCAFE))[1] == 2 and rig.words(rig.ask(104, 8, 0))[1] == 2
    for which in (103, 106):
        assert rig.tell(words(which, 0xCAFE), wanted=False) == []
    rig.buffers()
    assert not rig.errors


def test_what_the_data_path_switch_answers_is_nothing():
    rig = Rig().ready()
    assert rig.ask(129, 1) == b"" and not rig.errors


@pytest.mark.parametrize("steps, message", [
    ([], words(101, 7, 0xCAFE)), ([], words(107, 0, 0xFFFFFFFF)), ([], words(3)), ([], b"\1\0\0\0"), ([], b"\1"),
    (["agree"], words(1, V6_1, V6_1)), (["agree"], words(999)), (["agree"], words(107, 0, 0xFFFFFFFF)), (["agree"], words(102)),
    (["agree"], words(125, 14)), (["agree"], words(125, 1 << 20)),
    (["ready"], words(107, 0, 21, 100)), (["ready"], words(107, 0, 0, 6145)), (["ready"], words(107, 0, 0x80000000, 1))])
def test_what_no_honest_guest_sends_ends_its_channel(steps, message):
    rig = Rig(send_pages=16)
    for step in steps:
        getattr(rig, step)()
    rig.tell(message)
    assert len(rig.errors) == 1 and rig.vsp.corrupt == 1 and rig.vsp.worker is None and rig.vsp.receive_buffer is None


def test_messages_of_later_versions_are_none_in_earlier_ones():
    for version, which in ((V1, 125), (V2, 129), (V4, 133)):
        rig = Rig().agree(version).buffers()
        rig.tell(words(which, 1, 1))
        assert len(rig.errors) == 1, which


def test_a_guest_that_opens_the_channel_again_starts_anew():
    rig = Rig().ready()
    rig.vsp.closed()
    rig.open()
    assert not rig.peer.end.send(frame(to=MAC, source=OTHER)) and rig.vsp.dropped == {"not running": 1}
    rig.ready()
    assert rig.peer.end.send(frame(to=MAC, source=OTHER))


# What the guest sends.

def test_frames_go_out_by_pages_by_a_section_and_by_both():
    rig, one = Rig().ready(), packet(frame())
    assert rig.rndis(one) == (1, [])
    rig.guest.memory.write(SEND * 4096 + 6144 * 2, one)
    assert rig.rndis(b"", section=2, size=len(one)) == (1, [])
    rig.guest.memory.write(0x41_0000 - 16, one[50:])
    rig.guest.memory.write(SEND * 4096, one[:50])
    assert rig.rndis(b"", section=0, size=50, ranges=((16, 4080, (0x40F,)), (len(one) - 66, 0, (0x410,)))) == (1, [])
    assert rig.peer.got == [frame()] * 3 and rig.vsp.sent == [3, 180]


def test_eight_frames_lie_in_one_record_each_at_a_multiple_of_8():
    rig = Rig().ready()
    each = [packet(frame(rest=bytes([n]) * (46 + n))) for n in range(8)]
    data = b"".join(message.ljust(-(-len(message) // 8) * 8, b"\0") for message in each)
    assert rig.rndis(data) == (1, []) and [len(got) for got in rig.peer.got] == [60 + n for n in range(8)]
    assert rig.rndis(data + each[0])[0] == 5 and len(rig.peer.got) == 8


def word(at, value, message=None):
    """A good PACKET with another word at byte `at`."""
    message = message or packet(frame(), info(6, 0x70))
    return message[:at] + struct.pack("<I", value) + message[at + 4:]


@pytest.mark.parametrize("data", [
    b"", b"\1\0\0\0", word(4, 0), word(4, 7), word(4, 77), word(4, 0xFFFFFFFF), word(0, 99), word(8, 0), word(8, 35), word(8, 0xFFFFFFFF),
    word(8, 53), word(12, 0xFFFFFFFF), word(12, 13), word(12, 0), word(28, 35), word(28, 0xFFFFFFF0), word(32, 17), word(32, 0xFFFFFFFF), word(32, 8),
    word(44, 0), word(44, 8), word(44, 15), word(44, 17), word(44, 0xFFFFFFFF), word(52, 13), word(52, 0), word(52, 0xFFFFFFFF),
    word(56, 4095 << 4), packet(frame(rest=bytes(1501))), packet(frame(kind=b"\x81\x00", rest=bytes(1505))), packet(bytes(13)),
    packet(frame(kind=b"\x81\x00"), info(6, 0x70)), packet(frame(), info(0, 0b100)), packet(frame(), info(0, 0b1000 | 20 << 16)),
    packet(frame(), info(2, 1 << 30 | 34 << 20 | 100)), packet(frame()) + packet(frame())[:44]])
def test_lengths_and_offsets_that_lie_are_an_invalid_packet_and_nothing_else(data):
    rig = Rig().ready()
    status, came = rig.rndis(data)
    assert (status, came, rig.errors, rig.peer.got) == (5, [], [], [])
    assert rig.vsp.dropped["invalid RNDIS"] == 1
    assert rig.rndis(packet(frame()))[0] == 1 and len(rig.peer.got) == 1


@pytest.mark.parametrize("ranges", [
    ((60, 0, (0x800,)),), ((60, 0, (1 << 40,)),), ((60, 0, ((1 << 52) - 1,)),), ((4096 * 33, 0, tuple(range(33))),),
    ((5000, 0, (0x400, 0x800)),)])
def test_pages_that_are_not_the_guests_and_too_many_are_refused(ranges):
    rig = Rig().ready()
    assert rig.rndis(b"", ranges=ranges)[0] == 5 and not rig.errors


def test_nothing_goes_out_before_initialize_nor_by_a_cable_that_is_pulled():
    rig = Rig().ready(initialize=False)
    assert rig.rndis(packet(frame()))[0] == 5 and rig.peer.got == []
    rig.ready = None
    rig.control(2, 1, 1, 0, 0x4000)
    rig.cable.link(False)
    assert rig.rndis(packet(frame()))[0] == 1 and rig.vsp.dropped["not taken by the network"] == 1


def test_a_vlan_beside_the_frame_is_a_tag_on_the_wire():
    rig = Rig().ready()
    rig.rndis(packet(frame(), info(6, 5 | 7 << 4)))
    assert rig.peer.got == [frame()[:12] + b"\x81\x00\xa0\x07" + frame()[12:]]


# What the guest gets.

def test_a_frame_comes_in_a_section_with_its_tag_beside_it():
    rig = Rig().ready()
    assert rig.peer.end.send(frame(MAC, OTHER)) and rig.peer.end.send(frame(MAC, OTHER)[:12] + b"\x81\x00\x60\x07" + frame()[12:])
    got = [parsed(message) for message in rig.received(rig.run())]
    assert got == [(frame(MAC, OTHER), {}), (frame(MAC, OTHER), {6: 3 | 7 << 4})] and rig.vsp.received == [2, 124]


def test_without_the_capability_the_tag_stays_on_the_frame():
    rig = Rig().ready(V1)
    tagged = frame(MAC, OTHER)[:12] + b"\x81\x00\x60\x07" + bytes(1502)
    rig.peer.end.send(tagged)
    assert [parsed(message) for message in rig.received(rig.run())] == [(tagged, {})]


def test_what_waits_comes_in_one_record_and_its_completion_frees_all_sections():
    rig = Rig().ready()
    for n in range(5):
        rig.peer.end.send(frame(MAC, OTHER, rest=bytes([n]) * 46))
    (came,) = rig.run()
    assert len(came[3].ranges) == 5 and [parsed(each)[0][14] for each in rig.received([came], give_back=False)] == [0, 1, 2, 3, 4]
    free = len(rig.vsp.receive_buffer.free)
    rig.give_back(came[1])
    assert len(rig.vsp.receive_buffer.free) == free + 5 == 72 - 16


@pytest.mark.parametrize("wanted, seen", [(0, ""), (1, "d"), (4, "m"), (8, "b"), (0xD, "dbm"), (0x20, "dbmx"), (0x2, "m")])
def test_the_filter_says_what_is_wanted(wanted, seen):
    rig = Rig().ready(wanted=wanted)
    for mark, to in (("d", MAC), ("b", b"\xff" * 6), ("m", b"\x33\x33\0\0\0\1"), ("x", OTHER)):
        assert rig.peer.end.send(frame(to, OTHER, rest=mark.encode().ljust(46, b"\0")))
    assert "".join(chr(parsed(message)[0][14]) for message in rig.received(rig.run())) == seen


def test_a_guest_that_gives_nothing_back_loses_frames_and_keeps_its_control_channel():
    rig = Rig().ready()
    sent = [rig.peer.end.send(frame(MAC, OTHER)) for _ in range(100)]
    assert sent.count(True) == 72 - 16 and rig.vsp.dropped == {"no section": 44}
    rig.run()
    assert rig.query(0x10114)[0] == 0


def test_answers_that_find_no_section_wait_and_too_many_of_them_end_the_channel():
    rig = Rig().ready()
    ask = struct.pack("<7I", 4, 28, 1, 0x10114, 0, 0, 0)
    numbers = [came[1] for _ in range(20) for came in rig.rndis(ask, channel=1)[1]]
    assert len(numbers) == 16 and len(rig.vsp.waiting) == 4
    rig.give_back(numbers[0])
    assert len(rig.vsp.waiting) == 3 and len(rig.run()) == 1
    for _ in range(70):
        if not rig.errors:
            rig.rndis(ask, channel=1)
    assert rig.errors == ["64 answers wait for a section of the receive buffer"]


@pytest.mark.parametrize("number, payload", [(999, None), (0, None), (None, b""), (None, struct.pack("<II", 107, 1)), ("again", None)])
def test_a_completion_of_nothing_ends_the_channel(number, payload):
    rig = Rig().ready()
    rig.peer.end.send(frame(MAC, OTHER))
    (came,) = rig.run()
    if number == "again":
        rig.give_back(came[1])
    real = came[1] if number in (None, "again") else number
    rig.give_back(real, struct.pack("<II", 108, 1) if payload is None else payload)
    assert len(rig.errors) == 1


def test_a_torn_down_or_revoked_buffer_is_touched_no_more():
    for end in ("torn down", "revoked"):
        rig = Rig().ready()
        rig.peer.end.send(frame(MAC, OTHER))
        (came,) = rig.run()
        if end == "revoked":
            rig.tell(words(103, 0xCAFE), wanted=False)
        else:
            rig.vsp.torn_down(rig.server.gpadls.by_handle[7])
        rig.guest.memory.write(RECEIVE * 4096, bytes(32 * 4096))
        assert not rig.peer.end.send(frame(MAC, OTHER)) and rig.vsp.dropped == {"not running": 1}
        rig.give_back(came[1])
        assert rig.guest.memory.read(RECEIVE * 4096, 32 * 4096) == bytes(32 * 4096) and not rig.errors
    rig = Rig().ready()
    rig.vsp.torn_down(rig.server.gpadls.by_handle[8])
    rig.tell(words(107, 0, 0, 10))
    assert rig.errors == ["section 0 of no send buffer"]


def test_the_guest_hears_of_the_link():
    rig = Rig().ready()
    rig.cable.link(False)
    rig.cable.link(True)
    assert [rig.words(message) for message in rig.received(rig.run())] == [(7, 20, 0x4001000C, 0, 0), (7, 20, 0x4001000B, 0, 0)]


def test_what_passes_may_be_watched():
    rig, seen = Rig().ready(), []
    watch(rig.vsp, "transmitted", lambda each: seen.append(("out", each)))
    watch(rig.vsp, "delivered", lambda each: seen.append(("in", each)))
    rig.rndis(packet(frame()))
    rig.peer.end.send(frame(MAC, OTHER))
    assert seen == [("out", frame()), ("in", frame(MAC, OTHER))]


def test_a_record_has_at_most_375_frames_and_those_of_one_kind():
    rig = Rig(receive_pages=256).ready()
    for _ in range(400):
        assert rig.peer.end.send(frame(MAC, OTHER))
    rig.cable.link(False)
    came = rig.run()
    assert [(rig.words(payload)[1], len(pages.ranges)) for _, _, payload, pages in came] == [(0, 375), (0, 25), (1, 1)]


def test_a_second_send_buffer_is_refused_also_in_other_pages():
    rig = Rig().agree().buffers()
    rig.lend(10, range(0x300, 0x310))
    assert rig.words(rig.ask(104, 10, 0))[1] == 2 and rig.vsp.send_buffer.gpadl.handle == 8


@pytest.mark.parametrize("pages, status", [(32, 1), (33, 5)])
def test_a_record_moves_at_most_128_kib(pages, status):
    rig = Rig().ready()
    assert rig.rndis(packet(frame(), pad=4096 * pages - 104))[0] == status and len(rig.peer.got) == (status == 1)
