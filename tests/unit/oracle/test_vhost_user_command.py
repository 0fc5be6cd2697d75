"""`vmio vhost-user`: one front end after the other, a socket that is somebody's file, an image that stays whole."""

import json
import os
import signal
import socket
import struct
import subprocess
import time

import pytest

from tests.command_rig import command, refused, vmio
from tests.vhost_user_rig import GET_FEATURES

SECTORS = 64


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"".join(struct.pack("<Q", n) * 64 for n in range(SECTORS)))
    return path


def started(path, disk, *options):
    """A back end that listens at `path`, of the image `disk` if there is one."""
    process = subprocess.Popen(command("vhost-user", "--socket", path, *(("--image", disk) if disk else ()), *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    while process.poll() is None and not os.path.exists(path):
        time.sleep(0.01)
    return process


def connected(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(os.fspath(path))
    return peer


def asked(peer):
    """The features that it offers."""
    peer.sendall(struct.pack("<III", GET_FEATURES, 1, 0))
    return struct.unpack("<IIIQ", peer.recv(20))[3]


def test_one_front_end_after_the_other_and_what_each_did(tmp_path, disk):
    process = started(tmp_path / "s", disk)
    before = disk.read_bytes()
    with connected(tmp_path / "s") as first:
        assert asked(first) >> 32 & 1
        first.sendall(struct.pack("<III", 77, 1, 0))
        assert first.recv(1) == b""                     # it has ended the conversation
    with connected(tmp_path / "s") as second:
        second.sendall(b"half a message"[:7])
    with connected(tmp_path / "s") as third:
        assert asked(third) >> 32 & 1
    process.send_signal(signal.SIGTERM)
    said, wrong = process.communicate()
    assert process.returncode == 143 and disk.read_bytes() == before and not (tmp_path / "s").exists()
    assert said.splitlines()[0].startswith("front end gone: 2 messages, 0 requests, 0 kicks, 0 calls, ")
    assert said.splitlines()[0].endswith("; 0.0 microseconds of our processor a request")
    assert "front end 1: message number 77: it is not known here; known are 1 GET_FEATURES, " in wrong
    assert "front end 2: the front end has gone in the middle of a message, after 7 bytes of it; the conversation ends" in wrong


def test_once_and_json(tmp_path, disk):
    process = started(tmp_path / "s", disk, "--once", "--json", "--queues", "2", "--readonly")
    with connected(tmp_path / "s") as peer:
        assert asked(peer) >> 5 & 1
    said, wrong = process.communicate()
    assert process.returncode == 0 and wrong == ""
    rings = [{"requests": 0, "kicks": 0, "calls": 0}] * 2
    assert json.loads(said) == {"schema": "vmio.vhost-user/1", "image": str(disk), "readonly": True, "front_ends": [
        {"messages": 1, "rings": rings, "own_ns_per_request": 0, "read_bytes": 0, "written_bytes": 0, "flushes": 0, "errors": 0}]}


def test_a_network_card_in_place_of_a_disk(tmp_path):
    process = started(tmp_path / "s", None, "--net", "--once", "--json")
    with connected(tmp_path / "s") as peer:
        assert asked(peer) >> 15 & 1 and not asked(peer) >> 9 & 1
    said, wrong = process.communicate()
    assert process.returncode == 0 and wrong == ""
    rings = [{"requests": 0, "kicks": 0, "calls": 0}] * 2
    assert json.loads(said) == {"schema": "vmio.vhost-user/1", "net": True, "front_ends": [
        {"messages": 2, "rings": rings, "own_ns_per_request": 0, "frames_in": 0, "frames_out": 0, "dropped": 0, "answered": {"arp": 0, "echo": 0}}]}


def test_what_is_no_card_s_is_refused(tmp_path, disk):
    for option in (("--queues", "2"), ("--readonly",)):
        refused(vmio("vhost-user", "--socket", tmp_path / "s", "--net", *option), "--queues and --readonly are for --image")
    both = vmio("vhost-user", "--socket", tmp_path / "s", "--net", "--image", disk)
    assert both.returncode == 2 and "argument --image: not allowed with argument --net" in both.stderr
    refused(vmio("vhost-user", "--net"), "--socket PATH is needed")
    assert not (tmp_path / "s").exists()


def test_it_connects_where_a_front_end_listens(tmp_path, disk):
    with socket.socket(socket.AF_UNIX) as front:
        front.bind(os.fspath(tmp_path / "s"))
        front.listen(1)
        process = subprocess.Popen(command("vhost-user", "--socket", tmp_path / "s", "--image", disk), stdout=subprocess.PIPE, text=True)
        with front.accept()[0] as peer:
            assert asked(peer) >> 32 & 1
        assert process.communicate()[0].startswith("front end gone: 1 messages") and process.returncode == 0
        assert (tmp_path / "s").exists()


def test_a_file_in_the_socket_s_place_stays(tmp_path, disk):
    letter = tmp_path / "letter"
    letter.write_text("mine")
    refused(vmio("vhost-user", "--socket", letter, "--image", disk), "an ordinary file; only a socket that nobody serves is replaced")
    refused(vmio("vhost-user", "--socket", tmp_path, "--image", disk), "a folder")
    refused(vmio("vhost-user", "--socket", tmp_path / "no" / "s", "--image", disk), "No such file")
    refused(vmio("vhost-user", "--socket", "", "--image", disk), "--socket: the name is empty")
    assert letter.read_text() == "mine"


def test_an_image_that_can_not_be_served_is_refused(tmp_path, disk):
    (tmp_path / "odd.img").write_bytes(bytes(100))
    refused(vmio("vhost-user", "--socket", tmp_path / "s", "--image", tmp_path / "odd.img"), "100 bytes")
    refused(vmio("vhost-user", "--socket", tmp_path / "s", "--image", tmp_path / "none.img"), "No such file")
    refused(vmio("vhost-user", "--socket", tmp_path / "s", "--image", disk, "--queues", "65"), "--queues 65: 1 to 64")
    assert not (tmp_path / "s").exists()
