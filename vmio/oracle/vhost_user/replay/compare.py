"""Replays a recording and compares: each message is taken, each reply, each request's answer and each ring's end is the recorded one.

Of a disk's requests a recording has some; those between are made up to the number that it tells, and, where a packed ring has no indirect tables,
with as many pieces as its end tells.  How often it was kicked and called depended on time, and is not compared.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from vmio.machine.contracts import Json
from vmio.machine.net import frames
from vmio.machine.pagetable import TranslationFault
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR, Image
from vmio.oracle.vhost_user import wire
from vmio.oracle.vhost_user.replay.front import MIB, FrontEnd, FrontRing
from vmio.oracle.vhost_user.replay.recording import CARD, SIGNALS, Recording, payload, read
from vmio.oracle.vhost_user.served.card import Card
from vmio.oracle.vhost_user.served.disk import Disk
from vmio.oracle.vhost_user.wire import Request
from vmio.virtio.blk_wire import HEADER, IN, OK
from vmio.virtio.queue.chain import Piece
from vmio.virtio.queue.driver import QueueFull

DISK_BYTES = 64 * MIB           # of the disk that the recordings were made with
MOST = 64                       # pieces of data that a request which is made up has at most


class Verdict(NamedTuple):
    """What became of a recording; `differences` are sentences, each with its line."""

    name: str
    messages: int
    requests: int
    differences: list[str]

    def sentence(self) -> str:
        """Return it in words."""
        what = f"{self.messages} messages, {self.requests:,} requests"
        return f"{self.name}: equal, {what}" if not self.differences else "\n  ".join((f"{self.name}: {len(self.differences)} differences, {what}", *self.differences))


def replay(recording: Recording) -> Verdict:
    """Say a recording to a back end of ours."""
    made = _Replay(recording)
    try:
        for number, row in enumerate(recording.rows):
            made.step(number, row)
    except EOFError:
        made.differs("the back end ends the conversation here")
    except (LookupError, TypeError, ValueError, TranslationFault, QueueFull):
        made.differs("the line can't be replayed: it lacks what its kind needs, or it needs more than the ring or the memory that was shared")
    finally:
        made.front.close()
    for said in made.front.said:
        made.differences.append(f"the back end said: {said}")
    return Verdict(recording.name, made.messages, made.requests, made.differences)


def all_in(folder: Path, say: Callable[[str], object]) -> list[Verdict]:
    """Replay the recordings in a folder, or the one in a file; `say` is told of files that hold none.  ValueError where there is no recording at all."""
    if not folder.is_dir():
        return [replay(read(folder))]
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        try:
            found.append(replay(read(path)))
        except ValueError as error:
            say(f"{error}; it is passed over")
    if not found:
        raise ValueError(f"--replay {folder}: no file of the folder that ends in .jsonl is a recording")
    return found


class _Replay:
    """A replay under way."""

    def __init__(self, recording: Recording) -> None:
        self.rows, self.line = recording.rows, 0
        self.differences: list[str] = []
        self.messages = self.requests = self.agreed = 0
        self._sizes: dict[int, int] = {}
        self.rings: dict[int, FrontRing] = {}
        self._sent: list[bytes] = []
        if recording.kind == CARD:
            card = Card()
            watch(card, "sent", lambda frame, arrived: self._sent.append(frame))
            self.front = FrontEnd(card)
        else:
            self.front = FrontEnd(Disk(Image(bytearray(DISK_BYTES)), recording.rings, say=self.differs))

    def differs(self, what: str) -> None:
        """Note a difference at the line that is being replayed."""
        self.differences.append(f"line {self.line + 1}: {what}")

    def same(self, what: str, now: object, then: object) -> None:
        """Note a difference if there is one."""
        if now != then:
            self.differs(f"{what} is {now} now, and was {then}")

    def step(self, number: int, row: Json) -> None:
        """Do what one line tells."""
        self.line = number
        if "msg" in row:
            self._message(row)
        elif "req" in row:
            self._fill(row["req"] - 1, None)
            self._recorded(row)
        elif "tx" in row:
            self._frame(row)
        elif "kick" in row:
            self.front.kick(row["kick"])

    # -- messages --------------------------------------------------------------------------------

    def _message(self, row: Json) -> None:
        name, index = row["msg"], row.get("index", 0)
        if name == "GET_VRING_BASE" or name == "SET_VRING_ENABLE" and not row["value"]:
            self._to_the_end()                  # what the guest asked for before its ring stops
        fds, user = [], self.front.user
        if name == "SET_MEM_TABLE":
            self.front.user = user = int(row["regions"][0].get("user", hex(user)), 16)
            fds = self.front.share(row["regions"])
        elif name in SIGNALS and row["fds"]:
            fds = [self.front.event(SIGNALS[name], index)]
        try:
            said = self._place(row) if name == "SET_VRING_ADDR" else payload(row, user)
        except ValueError as error:
            self.differs(f"{error}; it is not sent")
            return
        self.same(f"the number of descriptors with {name}", len(fds), row["fds"])
        self.messages += 1
        reply = self.front.send(Request[name], said, fds, row["flags"])
        if name == "SET_VRING_NUM":
            self._sizes[index] = row["value"]
        elif name == "SET_FEATURES":
            self.agreed = int(row["value"], 16)
        elif name == "GET_VRING_BASE":
            ring = self.rings.pop(index, None)
            then = row.get("value", ring.base if ring is not None else 0)
            self.same(f"ring {index}'s base", wire.STATE.parse(reply or bytes(wire.STATE.size)).num, then)
        elif name == "GET_CONFIG":
            self.same("bytes of the configuration", len(reply or b""), row["size"])
        elif reply is not None and not name.startswith("GET_"):
            self.same(f"the answer to {name}", wire.NUMBER.parse(reply).value, 0)

    def _place(self, row: Json) -> bytes:
        """SET_VRING_ADDR: where the recording has the ring, or where there is room."""
        index, user = row.get("index", 0), self.front.user
        places = [int(row[name], 16) - user for name in ("desc", "avail", "used")] if "desc" in row else [MIB * (1 + 4 * index + n) for n in range(3)]
        self.rings[index] = FrontRing(self.front.memory, index, self._sizes[index], places, self.agreed)
        return wire.ADDRESSES.pack(index=index, flags=row["ring_flags"], descriptors=user + places[0], available=user + places[1], used=user + places[2],
                                   log=int(row.get("log", "0x0"), 16))

    # -- a disk's requests -------------------------------------------------------------------------

    def _request(self, index: int, kind: int, sector: int, lens: Sequence[str], indirect: bool) -> tuple[int, int]:
        """(status, used length) of one request; `lens` are its pieces, "r16" or "w512"."""
        sizes = [(one[0], int(one[1:])) for one in lens]
        out = [bytes(size) for way, size in sizes if way == "r"]
        if out:
            out[0] = HEADER.pack(type=kind, sector=sector).ljust(len(out[0]), b"\0")
        self.requests += 1
        writable, used = self._serve(index, out, [size for way, size in sizes if way == "w"], indirect)
        address, length = writable[-1]
        return self.front.memory.read(address + length - 1, 1)[0], used

    def _serve(self, index: int, out: Sequence[bytes], into: Sequence[int], indirect: bool) -> tuple[list[Piece], int]:
        """Lend a chain, kick, and take it back: (the pieces that were written, used length), -1 if it has not come back."""
        if index not in self.rings:
            raise LookupError(index)
        ring = self.rings[index]
        writable = ring.lend(out, into, indirect)
        self.front.kick(index)
        back = ring.driver.reap()
        return writable, back[1] if back is not None else -1

    def _recorded(self, row: Json) -> None:
        index = row.get("index", 0)
        before = self.rings[index].slots if index in self.rings else 0
        status, used = self._request(index, row["kind"], row["sector"], row["lens"], row["indirect"])
        self.same(f"request {row['req']}'s status", status, row["status"])
        self.same(f"request {row['req']}'s used length", used, row["used_len"])
        if "slots" in row:
            self.same(f"request {row['req']}'s entries of the ring", self.rings[index].slots - before, row["slots"])

    def _to_the_end(self) -> None:
        """Make up the requests up to the next end of a ring that the recording tells."""
        end = next((row for row in self.rows[self.line:] if row.get("msg") == "GET_VRING_BASE"), {})
        if "requests" in end:
            self._fill(end["requests"], end["value"])

    def _fill(self, requests: int, base: int | None) -> None:
        """Make requests up to so many; a packed ring without tables then ends at `base`."""
        ring = self.rings.get(0)
        if ring is None or self.requests >= requests:
            return
        count, more = requests - self.requests, 0
        if base is not None and ring.packed and not ring.indirect:
            end = (base & 0x7FFF) + (0 if base >> 15 & 1 else ring.size)
            more = (end - ring.slots - 3 * count) % (2 * ring.size)
        for n in range(count):
            data = 1 + min(more, MOST - 1)
            more -= data - 1
            found = self._request(0, IN, n, ["r16", *[f"w{SECTOR}"] * data, "w1"], ring.indirect)
            self.same(f"(status, used length) of request {self.requests}, which is made up,", found, (OK, SECTOR * data + 1))

    # -- a card's frames ----------------------------------------------------------------------------

    def _frame(self, row: Json) -> None:
        self.requests += 1
        size = sum(row["lens"])
        data = (bytes.fromhex(row["hdr"]) + bytes.fromhex(row["frame"])).ljust(size, b"\0")[:size]      # of a long one a recording has the beginning
        self._sent.clear()
        _, used = self._serve(1, [data], [], False)
        self.same(f"frame {row['tx']}'s used length", used, 0)
        self.same(f"what has left for frame {row['tx']}", [each.hex() for each in self._sent], [frames.padded(data[12:]).hex()])
