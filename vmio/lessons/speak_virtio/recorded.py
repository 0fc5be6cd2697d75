"""What Debian's kernel in QEMU said to a back end, one recording for each kind of ring (data/vhost-user), and its requests once more.

    of("split, indirect, event idx").kicks
    replay(recording, rule)         the recorded requests through our own queues
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from vmio import data
from vmio.lessons.speak_virtio.rings import Small
from vmio.virtio.queue import need_event

FILES = {"split, indirect, event idx": "linux", "split, indirect": "noev", "split, event idx": "noind", "split": "plain",
         "packed, indirect, event idx": "packed", "packed, indirect": "packednoev"}
INDIRECT, EVENT_IDX, PACKED = 1 << 28, 1 << 29, 1 << 34


@dataclass(frozen=True)
class Recording:
    """One conversation; `rows` are its lines."""

    name: str
    rows: list[dict[str, Any]]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, in their order."""
        return [row for row in self.rows if "msg" in row]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests that were kept: Linux's, without those of the firmware before it."""
        return [row for row in self.rows if "req" in row and row["req"] > 1]

    @property
    def end(self) -> dict[str, Any]:
        """How many requests, kicks and calls there were."""
        return self.rows[-1]

    @property
    def features(self) -> int:
        """What was agreed with Linux."""
        return int([row["value"] for row in self.messages if row["msg"] == "SET_FEATURES"][-1], 16)


@cache
def of(name: str) -> Recording:
    """Return the recording of a kind of ring."""
    text = data.path(f"vhost-user/blk_{FILES[name]}.jsonl").read_text(encoding="utf-8")
    return Recording(name, [json.loads(line) for line in text.splitlines()])


@dataclass(frozen=True)
class Replayed:
    """What became of recorded requests: how many, descriptors of the ring and interrupts that they took, answers that differ."""

    requests: int
    slots: int
    interrupts: int
    different: int


def replay(recording: Recording, rule: Callable[[int, int, int], bool] = need_event) -> Replayed:
    """Put the recorded requests through our own queues, one by one, both halves; `rule` decides with events who is told."""
    features = recording.features
    small = Small("packed" if features & PACKED else "split", 128, bool(features & INDIRECT), bool(features & EVENT_IDX))
    small.device.rule = rule
    slots = interrupts = different = 0
    for row in recording.requests:
        sizes = [(one[0], int(one[1:])) for one in row["lens"]]
        slots += small.add([size for way, size in sizes if way == "r"], [size for way, size in sizes if way == "w"], row["req"])
        small.driver.publish()
        small.driver.sleep()
        chain = small.serve(row["used_len"])
        interrupts += small.device.must_interrupt()
        small.driver.awake()
        token, written = small.driver.reap() or (None, 0)
        taken = chain is not None and len(chain.readable) + len(chain.writable) == len(sizes)
        different += not taken or (token, written) != (row["req"], row["used_len"])
    return Replayed(len(recording.requests), slots, interrupts, different)
