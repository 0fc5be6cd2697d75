"""What a real QEMU and a real Linux have said to another back end, said to ours: equal; and a replay tells what is not.

The recordings (data/vhost-user) have each message, and of the requests the first forty; those that are not there are made up to the
number that the recording tells.
"""

import json

import pytest

from tests.command_rig import refused, vmio
from vmio import data
from vmio.oracle.vhost_user.replay.compare import replay
from vmio.oracle.vhost_user.replay.recording import CARD, DISK, Recording, read
from vmio.oracle.vhost_user.served.disk import Disk

FOLDER = data.path("vhost-user")
DISKS = ("linux", "noev", "noind", "plain", "packed", "packednoev", "packednoind")
CARDS = {"qemu7": 2, "qemu10": 3}           # {QEMU: frames}


@pytest.mark.parametrize("name", DISKS)
def test_a_disk_s_conversation(name):
    recording = read(FOLDER / f"blk_{name}.jsonl")
    assert recording.kind == DISK and recording.rings == 1
    assert replay(recording) == (f"blk_{name}", 31, 535, [])


@pytest.mark.parametrize("name", CARDS)
def test_a_card_s_conversation(name):
    recording = read(FOLDER / f"net_{name}.jsonl")
    assert recording.kind == CARD and recording.rings == 2
    assert replay(recording) == (f"net_{name}", 36, CARDS[name], [])


def changed(name, which, **change):
    """What a replay says of a recording in which the first line that `which` picks is another."""
    rows = read(FOLDER / f"{name}.jsonl").rows
    at = next(number for number, row in enumerate(rows) if which(row))
    rows[at] = {**rows[at], **change}
    verdict = replay(Recording(name, rows))
    return at + 1, verdict.differences


@pytest.mark.parametrize("change, what", [
    ({"status": 1}, "request 2's status is 0 now, and was 1"),
    ({"used_len": 4096}, "request 2's used length is 4097 now, and was 4096"),
    ({"slots": 2}, "request 2's entries of the ring is 1 now, and was 2"),
    ({"sector": 1 << 40}, "request 2's status is 1 now, and was 0"),
    ({"lens": ["r16", "w4096"] + ["w512"] * 300}, "the line can't be replayed: it lacks what its kind needs, or it needs more than"),
    ({"lens": None}, "the line can't be replayed: it lacks what its kind needs"),
])
def test_a_request_that_was_answered_otherwise_is_found(change, what):
    line, differences = changed("blk_packed", lambda row: row.get("req") == 2, **change)
    assert differences[0].startswith(f"line {line}: {what}")


def test_a_ring_that_ends_elsewhere_is_found():
    line, differences = changed("blk_plain", lambda row: row.get("requests") == 535, value=533)
    assert differences == [f"line {line}: ring 0's base is 534 now, and was 533"]


def test_a_feature_that_is_not_offered_ends_the_conversation():
    line, (first, said) = changed("net_qemu7", lambda row: row.get("msg") == "SET_FEATURES", value="0x170008001")
    assert first == f"line {line}: the back end ends the conversation here"
    assert said.startswith("the back end said: message SET_FEATURES: features 0x170008001: 0x1 of them were not offered")


@pytest.mark.parametrize("change, what", [
    ({"msg": "SET_INFLIGHT_FD", "size": 24}, "message SET_INFLIGHT_FD has 24 bytes, and the recording doesn't tell what they say; it is not sent"),
    ({"msg": 77}, "message 77 has 0 bytes, and the recording doesn't tell what they say; it is not sent"),
    ({"fds": 1}, "the number of descriptors with SET_OWNER is 0 now, and was 1"),
])
def test_a_message_that_can_not_be_said_is_told(change, what):
    line, differences = changed("net_qemu7", lambda row: row.get("msg") == "SET_OWNER", **change)
    assert differences == [f"line {line}: {what}"]


def test_a_frame_that_has_not_left_is_found():
    line, differences = changed("net_qemu7", lambda row: "tx" in row, lens=[20])       # a frame of 8 bytes is none
    assert differences == [f"line {line}: what has left for frame 1 is [] now, and was ['{'ff' * 6}5254{'00' * 52}']"]


def test_a_back_end_that_answers_otherwise_is_found(monkeypatch):
    done = Disk.done
    monkeypatch.setattr(Disk, "done", lambda disk, number, chain, written: done(disk, number, chain, written - (disk.requests == 3)))
    assert replay(read(FOLDER / "blk_noev.jsonl")).differences == ["line 32: request 3's used length is 4096 now, and was 4097"]


def test_on_the_command_line(tmp_path):
    (tmp_path / "one.jsonl").write_bytes((FOLDER / "net_qemu7.jsonl").read_bytes())
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    done = vmio("vhost-user", "--replay", tmp_path)
    assert (done.returncode, done.stdout) == (0, "one: equal, 36 messages, 2 requests\n")
    assert "other.jsonl: no line of it has a message" in done.stderr
    rows = (FOLDER / "net_qemu7.jsonl").read_text().replace('"lens": [54]', '"lens": [11]', 1)
    (tmp_path / "one.jsonl").write_text(rows)
    done = vmio("vhost-user", "--replay", tmp_path, "--json")
    found, = json.loads(done.stdout)["recordings"]
    assert done.returncode == 1 and found["name"] == "one" and "frame 1's used length is -1 now, and was 0" in found["differences"][0]
    refused(vmio("vhost-user", "--replay", tmp_path / "other.jsonl"), "no line of it has a message")
    refused(vmio("vhost-user", "--replay", tmp_path, "--once"), "--replay serves nobody")
    (tmp_path / "empty").mkdir()
    refused(vmio("vhost-user", "--replay", tmp_path / "empty"), "is a recording")
