"""Frames, a cable with two stations, and captures: what is read back is what was written, and what can't be read says why."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio import data
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.net import frames, pcap
from vmio.machine.net.cable import Cable
from vmio.machine.probes import watch

ONE, TWO = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")
FRAME = ONE + TWO + b"\x08\x00" + bytes(range(100))


class Card:
    """A station that keeps what it gets, while it has a place."""

    def __init__(self, places=10):
        self.places, self.got, self.links = places, [], []

    def receive(self, frame):
        if len(self.got) == self.places:
            return False
        self.got.append(frame)
        return True

    def link_changed(self, up):
        self.links.append(up)


def test_a_cable_carries_frames_both_ways_and_counts_what_is_lost():
    cable, left, right, seen = Cable(), Card(), Card(places=1), []
    a, b = cable.ends
    assert not a.send(FRAME)                              # nobody there
    a.connect(left)
    b.connect(right)
    watch(cable, "passed", lambda end, frame, arrived: seen.append((end, len(frame), arrived)))
    assert a.send(FRAME) and b.send(FRAME[:60]) and not a.send(FRAME)
    assert (left.got, right.got) == ([FRAME[:60]], [FRAME])
    assert (vars(a.sent), vars(b.sent)) == ({"frames": 1, "bytes": 114, "lost": 2}, {"frames": 1, "bytes": 60, "lost": 0})
    assert seen == [(0, 114, True), (1, 60, True), (0, 114, False)]


def test_a_cable_that_is_pulled_tells_both_stations_once():
    cable, left, right = Cable(), Card(), Card()
    cable.ends[0].connect(left)
    cable.ends[1].connect(right)
    cable.link(True)
    cable.link(False)
    cable.link(False)
    assert not cable.ends[0].up and not cable.ends[1].send(FRAME) and left.got == []
    state = cable.save()
    cable.link(True)
    assert left.links == right.links == [False, True] and cable.ends[1].send(FRAME)
    cable.restore(state)
    assert (cable.up, cable.ends[1].sent.frames, cable.ends[1].sent.lost) == (False, 0, 1)
    with pytest.raises(CheckpointRefused, match="unknown entry 'color'"):
        cable.restore({**state, "color": 1})


def test_one_station_is_at_an_end():
    end, card = Cable().ends[0], Card()
    end.connect(card)
    end.connect(card)
    with pytest.raises(ValueError, match=r"^cable end 0: Card is plugged in; only one station is at an end$"):
        end.connect(Card())
    end.connect(None)
    end.connect(Card())


@pytest.mark.parametrize(("frame", "said"), [
    (b"", "a runt of 0 bytes; a header alone has 14"),
    (FRAME[:13], "a runt of 13 bytes; a header alone has 14"),
    (FRAME[:14] + bytes(1501), "a jumbo of 1,515 bytes; at most 1,514 without FCS"),
    (FRAME[:12] + b"\x81\x00" + bytes(1505), "a jumbo of 1,519 bytes; at most 1,518 without FCS"),
])
def test_what_is_no_frame_is_refused(frame, said):
    with pytest.raises(ValueError, match=f"^frame: {said}$"):
        Cable().ends[0].send(frame)


def test_the_shortest_and_the_longest_frames_are_taken():
    frames.check(FRAME[:14])
    frames.check(FRAME[:14] + bytes(1500))
    frames.check(FRAME[:12] + b"\x81\x00" + bytes(1504))
    assert len(frames.padded(FRAME[:14])) == 60 and frames.padded(FRAME) is FRAME
    assert frames.wire_ns(1514, 100) == 123_040 and frames.wire_ns(14, 10) == 67_200     # 812,744 and 14,880 frames in ten seconds


@pytest.mark.parametrize("text", ["", "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5g", "52:54:00:12:34:+5", "525400123456"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=f"address '{text.replace('+', '.')}': six bytes in hexadecimal, as in 52:54:00:12:34:56"):
        frames.parse_address(text)


def test_addresses():
    assert frames.parse_address("52-54-0-12-34-56") == ONE and frames.show_address(ONE) == "52:54:00:12:34:56"
    assert frames.station_address(ONE) == ONE
    for bad, said in ((b"\x53" + ONE[1:], "53:54:00:12:34:56: a group's"), (bytes(6), "all zeros"), (ONE[:5], "5 bytes")):
        with pytest.raises(ValueError, match=said):
            frames.station_address(bad)
    frames.all_different([ONE, TWO])
    with pytest.raises(ValueError, match="address 52:54:00:12:34:56: two cards have it"):
        frames.all_different([ONE, TWO, ONE])


def test_the_capture_of_a_download():
    found = pcap.load(data.path("http.pcap"))
    assert len(found) == 224 and sum(len(each.frame) for each in found) == 277_224
    assert sum(len(each.frame) >= 1400 for each in found) == 183
    assert pcap.build(found)[24:] == data.path("http.pcap").read_bytes()[24:]


@given(st.lists(st.tuples(st.integers(0, (1 << 32) * 10**9 - 1), st.integers(14, 1514))), st.booleans(), st.sampled_from("<>"))
def test_what_is_built_is_read_back(times, nanoseconds, order):
    captured = [(ns, bytes(range(14)) + bytes(length - 14)) for ns, length in times]
    built = pcap.build(captured, nanoseconds, order)
    if not captured:
        with pytest.raises(ValueError, match="^capture: it holds no frames$"):
            pcap.parse(built)
        return
    assert pcap.parse(built) == [(ns if nanoseconds else ns // 1000 * 1000, frame) for ns, frame in captured]


WHOLE = pcap.build([(5_000, FRAME), (6_000, FRAME)])


@pytest.mark.parametrize(("content", "said"), [
    (b"", "the file is empty; a capture begins with 24 bytes"),
    (WHOLE[:3], "it begins with d4 c3 b2; a pcap file with"),
    (WHOLE[:23], "the file ends after 23 of the 24 bytes of its header; it was cut"),
    (WHOLE[:24], "it holds no frames"),
    (WHOLE[:30], "frame 1: the file ends within its header, after 6 of 16 bytes; it was cut"),
    (WHOLE[:-1], "frame 2: the file ends after 113 of its 114 bytes; it was cut"),
    (b"\x0a\x0d\x0d\x0a" + bytes(40), r"this is pcapng; pcap is read: editcap -F pcap FILE OTHER"),
    (b"\x1f\x8b" + bytes(40), "this is gzip; pcap is read: gunzip FILE"),
    (b"time_us,op,lba,sectors\n", "it begins with 74 69 6d 65; a pcap file with"),
    (WHOLE[:4] + b"\x01\x00" + WHOLE[6:], "version 1.4; version 2.4 is read"),
    (WHOLE[:20] + struct.pack("<I", 113) + WHOLE[24:], r"link type 113 \(Linux cooked\); only frames of link type 1, Ethernet"),
    (WHOLE[:20] + struct.pack("<I", 250) + WHOLE[24:], "link type 250; only"),
    (WHOLE[:20] + struct.pack("<I", 0x24000001) + WHOLE[24:], "each frame ends in 4 bytes of FCS"),
    (WHOLE[:32] + struct.pack("<II", 0xFFFFFFFF, 114) + WHOLE[40:], "frame 1: 4,294,967,295 bytes kept; at most 262,144, so the file is damaged"),
    (WHOLE[:36] + struct.pack("<I", 1514) + WHOLE[40:], r"frame 1: only 114 of 1,514 bytes were captured; capture whole frames"),
    (WHOLE[:28] + struct.pack("<I", 1_000_000) + WHOLE[32:], "frame 1: 1,000,000 within a second of 1,000,000; the file is damaged"),
    (pcap.build([(0, FRAME[:13])]), "frame 1: a runt of 13 bytes"),
    (pcap.build([(0, FRAME), (0, FRAME + bytes(8900))]), "frame 2: a jumbo of 9,014 bytes; at most 1,514 without FCS"),
])
def test_what_can_not_be_read_says_why(tmp_path, content, said):
    path = tmp_path / "some.pcap"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^capture {path}(, |: ){said}") as error:
        pcap.load(path)
    assert "\n" not in str(error.value)


def test_a_capture_is_saved_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.pcap"
    pcap.save(path, [(1_500, FRAME)], nanoseconds=True)
    assert pcap.load(path) == [(1_500, FRAME)]
    with pytest.raises(ValueError, match="there is no folder"):
        pcap.save(tmp_path / "none" / "out.pcap", [(0, FRAME)])


def test_a_file_that_is_too_long_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(pcap, "MAX_FILE", 1 << 20)
    (tmp_path / "long.pcap").write_bytes(WHOLE + bytes(1 << 20))
    with pytest.raises(ValueError, match="long.pcap: more than 1 MiB; cut it with editcap -c$"):
        pcap.load(tmp_path / "long.pcap")


@given(st.binary(max_size=200))
def test_any_bytes_end_in_frames_or_in_one_sentence(tail):
    for content in (tail, WHOLE[:24] + tail, WHOLE[:100] + tail):
        try:
            assert pcap.parse(content)
        except ValueError as error:
            assert str(error).startswith("capture")
