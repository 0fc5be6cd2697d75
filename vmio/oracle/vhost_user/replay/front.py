"""The front end of a replay: it and the back end take turns in one thread, so that nothing depends on time."""

import array
import os
import socket
from collections.abc import Sequence

from vmio.machine.contracts import Json
from vmio.oracle.vhost_user import wire
from vmio.oracle.vhost_user.ring import EVENT_BYTES
from vmio.oracle.vhost_user.session import Session
from vmio.oracle.vhost_user.sharing.file import SharedFile, anonymous
from vmio.oracle.vhost_user.sharing.memory import GuestMemory, Region
from vmio.oracle.vhost_user.wire import HEADER, NEED_REPLY, NUMBER, Request
from vmio.virtio import features
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue import PackedDriver, SplitDriver
from vmio.virtio.queue.chain import Piece
from vmio.virtio.queue.wire import EVENT, PACKED, split_sizes

MIB = 1 << 20
USER = 0x7F00_0000_0000         # where the front end says that it has the guest's memory
ROOM = 16 * MIB                 # of each ring: its indirect tables, then the buffers of one request


class FrontRing:
    """The guest's half of one ring, once it is known where it lies: `fresh` begins it anew."""

    def __init__(self, memory: GuestMemory, number: int, size: int, places: Sequence[int], agreed: int) -> None:
        self.memory, self.size, self.places = memory, size, places
        self.packed, self.event_idx = bool(agreed & features.RING_PACKED), bool(agreed & features.EVENT_IDX)
        self.indirect = bool(agreed & features.INDIRECT_DESC)
        self.room = ROOM * (number + 1)
        while any(self.room - MIB < place < self.room + ROOM for place in places):
            self.room += ROOM                   # the ring lies there itself
        for place, length in zip(places, (size * PACKED.size, EVENT.size, EVENT.size) if self.packed else split_sizes(size)):
            memory.write(place, bytes(length))
        kind = PackedDriver if self.packed else SplitDriver
        self.driver = kind(memory, size, *places, tables=self.room, event_idx=self.event_idx)
        self.buffers = self.room + self.driver.TABLE_BYTES * size
        self.slots = self.served = 0            # entries that were taken, and chains, since it began

    def lend(self, out: Sequence[bytes], into: Sequence[int], indirect: bool) -> list[Piece]:
        """Make a chain available, in a table if `indirect`; return the pieces that the device writes."""
        at, driver = self.buffers, self.driver
        readable, writable = [], []
        for data in out:
            self.memory.write(at, data)
            readable.append((at, len(data)))
            at += len(data)
        for length in into:
            self.memory.write(at, bytes(length))
            writable.append((at, length))
            at += length
        driver.tables = self.room if indirect else None
        self.slots += driver.slots(len(readable) + len(writable))
        self.served += 1
        driver.add(readable, writable, self.served)
        driver.publish()
        return writable

    @property
    def base(self) -> int:
        """What the back end answers when this ring is stopped: an index, or a place and its wrap counter in both halves."""
        if not self.packed:
            return self.served & 0xFFFF
        turns, place = divmod(self.slots, self.size)
        return (place | (0 if turns % 2 else 1 << 15)) * 0x1_0001


class FrontEnd:
    """Says messages to a back end of `device`; `said` has the sentences of the back end's."""

    def __init__(self, device: VirtioDevice) -> None:
        self.said: list[str] = []
        self.device, self.memory, self.user = device, GuestMemory(), USER
        self._socket, self._theirs = socket.socketpair(socket.AF_UNIX)
        self.session = Session(self._theirs, device, self.said.append)
        self.open = True
        self._events: dict[tuple[str, int], int] = {}
        self._file = -1

    def event(self, what: str, index: int) -> int:
        """Return the event descriptor of this kind that ring `index` has."""
        if (what, index) not in self._events:
            self._events[what, index] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return self._events[what, index]

    def share(self, regions: Sequence[Json]) -> list[int]:
        """Have memory as large as these regions, zeros, and return a descriptor for each of them."""
        sizes = [(int(one["gpa"], 16), int(one["size"], 16), int(one["offset"], 16)) for one in regions]
        if self._file >= 0:
            os.close(self._file)
        self._file = anonymous("vmio-replay", max(size + offset for _, size, offset in sizes))
        self.memory.replace([Region(guest, self.user + guest, SharedFile(os.dup(self._file), offset, size, "memory")) for guest, size, offset in sizes])
        return [self._file] * len(sizes)

    def send(self, request: int, payload: bytes, fds: Sequence[int], flags: int) -> bytes | None:
        """Send a message, let the back end act on it, and return the payload of its reply, None if there is none.  EOFError: it has ended the conversation."""
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._socket.sendmsg([HEADER.pack(request=request, flags=flags, size=len(payload)) + payload], beside)
        self.open = self.session.turn()
        self.work()
        if not self.open:
            raise EOFError
        if not (flags & NEED_REPLY or Request(request).name.startswith("GET_")):
            return None
        answer = self._socket.recv(wire.MAX_PAYLOAD + HEADER.size, socket.MSG_DONTWAIT)
        return answer[HEADER.size:]

    def kick(self, index: int) -> None:
        """Kick a ring that runs, and let the back end serve it."""
        if self.session.rings[index].kick >= 0:
            os.write(self.event("kick", index), NUMBER.pack(value=1).ljust(EVENT_BYTES, b"\0"))
            self.session.turn()
            self.work()

    def work(self) -> None:
        """Let the back end go on as long as it has something to do without us."""
        while self.session.more:
            self.session.turn()

    def close(self) -> None:
        """Let go of everything."""
        self._socket.close()
        self.session.close()
        self._theirs.close()
        self.memory.close()
        for fd in (*self._events.values(), *((self._file,) if self._file >= 0 else ())):
            os.close(fd)
