"""What a real QEMU and a real Linux have said to another back end, said to ours: the same messages, requests and ends.

The recordings (data/vhost-user) have each message, and of the requests the first forty; those that are not there are made up to the
number that the recording tells.
"""

import json
import os
import struct

import pytest

from tests.vhost_user_rig import FrontEnd, PackedRing, SplitRing, image, pair, table, u64
from vmio import data
from vmio.oracle.vhost_user.served.disk import Disk

NUMBERS = {"GET_FEATURES": 1, "SET_FEATURES": 2, "SET_OWNER": 3, "SET_MEM_TABLE": 5, "SET_VRING_NUM": 8, "SET_VRING_ADDR": 9, "SET_VRING_BASE": 10,
           "GET_VRING_BASE": 11, "SET_VRING_KICK": 12, "SET_VRING_CALL": 13, "SET_VRING_ERR": 14, "GET_PROTOCOL_FEATURES": 15,
           "SET_PROTOCOL_FEATURES": 16, "GET_QUEUE_NUM": 17, "SET_VRING_ENABLE": 18, "GET_CONFIG": 24}
BLK = ("linux", "noev", "noind", "plain", "packed", "packednoev")
MIB = 1 << 20


def rows(name):
    """The lines of a recording."""
    return [json.loads(line) for line in data.path(f"vhost-user/{name}.jsonl").read_text().splitlines()]


class Replay(FrontEnd):
    """Sends what was recorded; the guest's memory is as large as the recorded one, a file with holes."""

    def __init__(self, device):
        super().__init__(device)
        os.close(self.memory)
        self.memory = os.memfd_create("guest")
        self.guest = self.offset = 0
        self.user, self.ring, self.size, self.features = 0, None, 0, 0

    def message(self, row):
        """Send one; the payload of its reply, if it has one."""
        name, index = row["msg"], row.get("index", 0)
        number, payload, fds = NUMBERS[name], b"", []
        if "value" in row and isinstance(row["value"], str):
            payload = u64(int(row["value"], 16))
        if name == "SET_MEM_TABLE":
            regions = [tuple(int(one[field], 16) for field in ("gpa", "size", "user", "offset")) for one in row["regions"]]
            os.ftruncate(self.memory, max(size + offset for _, size, _, offset in regions))
            payload, fds, self.user = table(*regions), [self.memory] * len(regions), regions[0][2]
        elif name == "SET_VRING_ADDR":
            places = [int(row[field], 16) for field in ("desc", "used", "avail")]
            payload = struct.pack("<II4Q", index, row["ring_flags"], *places, int(row["log"], 16))
            kind = PackedRing if self.features >> 34 & 1 else SplitRing
            self.ring = kind(self, index, self.size, 0)
            self.ring.places, self.ring.free = [place - self.user for place in places], 1 * MIB
        elif name in ("SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ENABLE", "GET_VRING_BASE"):
            payload = pair(index, row["value"] if name != "GET_VRING_BASE" else 0)
            self.size = row["value"] if name == "SET_VRING_NUM" else self.size
        elif name in ("SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR"):
            what = {"SET_VRING_KICK": "kick", "SET_VRING_CALL": "call", "SET_VRING_ERR": "err"}[name]
            fd = getattr(self.ring, what) if self.ring else self.event()
            payload, fds = u64(index), [fd]
        elif name == "GET_CONFIG":
            payload = struct.pack("<III", row["offset"], row["length"], 0) + bytes(row["length"])
        if name == "SET_FEATURES":
            self.features = int(row["value"], 16)
        assert (len(payload), len(fds)) == (row["size"], row["fds"]), row
        self.send(number, payload, fds, row["flags"])
        self.work()
        if name.startswith("GET_") or row["flags"] & 8:
            said, reply = self.answer()
            assert said == number
            return reply
        assert self.quiet()
        return None


def lengths(row):
    """The pieces of a request: bytes that the device reads, or how many it writes."""
    found = [bytes(int(one[1:])) if one[0] == "r" else int(one[1:]) for one in row["lens"]]
    found[0] = struct.pack("<IIQ", row["kind"], 0, row["sector"])
    return found


@pytest.mark.parametrize("name", BLK)
def test_a_disk_s_conversation(name):
    said = rows(f"blk_{name}")
    front, done, base, indirect = Replay(Disk(image(64 * 2048))), 0, None, False
    try:
        for at, row in enumerate(said):
            if "msg" in row:
                if row["msg"] == "SET_VRING_ENABLE" and not row["value"]:      # the last moment before its ring is stopped
                    while done < said[at + 1]["requests"]:
                        assert front.ring.request(0, done, 512, indirect=indirect)[::2] == (0, 513)
                        done += 1
                reply = front.message(row)
                if row["msg"] == "GET_VRING_BASE":
                    assert struct.unpack("<II", reply) == (0, expected(front, row)), row
                    base = row["value"]
                elif row["flags"] & 8:
                    assert reply == u64(0)
            elif "req" in row and row["req"] == done + 1:
                front.ring.free = 1 * MIB               # buffers of the requests before are free again
                indirect = row["indirect"]
                status, _, used = request(front.ring, row)
                assert (status, used) == (row["status"], row["used_len"]), row
                done += 1
        assert base is not None and not front.said and front.open
        assert done == said[-1]["requests"]
        assert front.session.rings[0].requests == done
    finally:
        front.close()


def request(ring, row):
    """Serve a recorded request at its place: its slots are those that were recorded."""
    before = ring.next
    found = ring.request(row["kind"], row["sector"], *lengths(row)[1:-1], indirect=row["indirect"])
    if "slots" in row:
        assert (ring.next - before) % ring.size == row["slots"]
    return found


def expected(front, row):
    """The base that a recording tells; without indirect tables a packed ring's also depends on pieces that it doesn't list."""
    if front.features >> 34 & 1 and not front.features >> 28 & 1:
        return (front.ring.next | front.ring.wrap << 15) * 0x10001
    return row["value"]
