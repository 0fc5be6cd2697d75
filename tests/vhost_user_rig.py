"""A front end, written without the back end's own words: it sends bytes, shares memory, and drives rings of its own.

Everything is in one thread: `send` gives the back end's session a turn, `kick` as many as it needs.
"""

import array
import os
import socket
import struct
from contextlib import contextmanager

from vmio.machine.storage import Image
from vmio.oracle.vhost_user.served.disk import Disk
from vmio.oracle.vhost_user.session import Session

GUEST, USER, OFFSET = 0x1000_0000, 0x7F12_3450_0000, 0x2000     # of the one memory region
SIZE = 8 << 20
NEXT, WRITE, INDIRECT = 1, 2, 4
GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_LOG_BASE = 1, 2, 3, 5, 6
NUM, ADDR, BASE, GET_BASE, KICK, CALL, ERR = 8, 9, 10, 11, 12, 13, 14
GET_PROTOCOL, SET_PROTOCOL, ENABLE = 15, 16, 18
VERSION_1, INDIRECT_DESC, EVENT_IDX, PROTOCOL, PACKED, LOG_ALL = 1 << 32, 1 << 28, 1 << 29, 1 << 30, 1 << 34, 1 << 26
USUAL = VERSION_1 | PROTOCOL


def u64(value):
    return struct.pack("<Q", value)


def pair(index, value):
    return struct.pack("<II", index, value)


def table(*regions):
    """The payload of SET_MEM_TABLE: (guest, size, user, offset) each."""
    return struct.pack("<II", len(regions), 0) + b"".join(struct.pack("<4Q", *region) for region in regions)


class FrontEnd:
    """A front end of `device`; `said` has the back end's sentences."""

    def __init__(self, device, seals=True):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.said = []
        self.guest, self.offset = GUEST, OFFSET
        self.theirs = theirs
        self.session = Session(theirs, device, self.said.append)
        self.open = True
        self.memory = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.memory, OFFSET + SIZE)
        if seals:
            import fcntl
            fcntl.fcntl(self.memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self.fds = []

    def send(self, number, payload=b"", fds=(), flags=1, size=None):
        """Send one message and let the back end act on it."""
        head = struct.pack("<III", number, flags, len(payload) if size is None else size)
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([head + payload], beside)
        self.open = self.session.turn()

    def answer(self, fds=None):
        """The payload of the reply that has come, and its number."""
        room = 0 if fds is None else socket.CMSG_SPACE(4)
        data, beside, _, _ = self.socket.recvmsg(4096, room)
        number, flags, size = struct.unpack_from("<III", data)
        assert flags & 7 == 5 and size == len(data) - 12
        for _, _, rights in beside:
            fds += array.array("i", rights)
        return number, data[12:]

    def ask(self, number, payload=b"", fds=(), flags=1):
        """The payload of the reply to a message."""
        self.send(number, payload, fds, flags)
        said, data = self.answer()
        assert said == number
        return data

    def acknowledged(self, number, payload=b"", fds=()):
        """Whether a message was done, by its acknowledgement."""
        return self.ask(number, payload, fds, flags=9) == u64(0)

    def quiet(self):
        """Whether no reply waits."""
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(10)

    def event(self):
        """An event descriptor of ours."""
        self.fds.append(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        return self.fds[-1]

    def begin(self, features=USUAL, protocol=None):
        """Agree on features, and share memory."""
        offered, = struct.unpack("<Q", self.ask(GET_FEATURES))
        assert features & ~offered == 0
        wanted, = struct.unpack("<Q", self.ask(GET_PROTOCOL))
        self.send(SET_PROTOCOL, u64(wanted if protocol is None else protocol))
        self.send(SET_OWNER)
        self.send(SET_FEATURES, u64(features))
        self.features = features
        assert self.acknowledged(SET_MEM_TABLE, table((GUEST, SIZE, USER, OFFSET)), [self.memory])

    def ring(self, index=0, size=16, base=None, at=0, log=0, logged=0):
        """Start a ring; return our half of it."""
        kind = PackedRing if self.features & PACKED else SplitRing
        ring = kind(self, index, size, at)
        self.send(NUM, pair(index, size))
        self.send(BASE, pair(index, (0x8000_8000 if kind is PackedRing else 0) if base is None else base))
        self.send(ADDR, struct.pack("<II4Q", index, logged, *(USER + place for place in ring.places), log))
        self.send(CALL, u64(index), [ring.call])
        self.send(ERR, u64(index), [ring.err])
        self.send(KICK, u64(index), [ring.kick])
        self.send(ENABLE, pair(index, 1))
        self.work()
        return ring

    def work(self):
        """Let the back end go on as long as it has something to do without us."""
        while self.session.more:
            self.session.turn()

    def read(self, at, length):
        """Guest memory, by its place in the region."""
        return os.pread(self.memory, length, self.offset + at)

    def write(self, at, data):
        os.pwrite(self.memory, data, self.offset + at)

    def close(self):
        self.socket.close()
        self.session.close()
        self.theirs.close()
        for fd in (self.memory, *self.fds):
            os.close(fd)


class Ring:
    """What split and packed rings have in common: buffers, events, requests of a disk."""

    def __init__(self, front, index, size, at):
        self.front, self.index, self.size, self.at = front, index, size, at
        self.kick, self.call, self.err = front.event(), front.event(), front.event()
        self.free = 0x10_0000 + 0x10_0000 * index
        self.buffers, self.begun = {}, 0

    def room(self, length):
        """A place for a buffer, in the region."""
        place, self.free = self.free, self.free + (length + 15 & ~15)
        return place

    def pieces(self, parts):
        """(guest address, length, flags) of each part: bytes to be read, or a number of bytes to be written."""
        rows, places = [], []
        for part in parts:
            writable = isinstance(part, int)
            place = self.room(part if writable else len(part))
            if not writable:
                self.front.write(place, part)
            places.append((place, part if writable else len(part)))
            rows.append((self.front.guest + place, places[-1][1], WRITE if writable else 0))
        return rows, places

    def run(self):
        """Kick, and let the back end serve."""
        os.write(self.kick, u64(1))
        self.front.session.turn()
        self.front.work()

    def calls(self):
        """How often the back end has called since we last asked."""
        try:
            return struct.unpack("<Q", os.read(self.call, 8))[0]
        except BlockingIOError:
            return 0

    def request(self, kind, sector, *data, indirect=False):
        """One request of a disk: (status, what was written into it, used length)."""
        number = self.add([struct.pack("<IIQ", kind, 0, sector), *data, 1], indirect)
        self.publish()
        self.run()
        (used, length), = self.reap()
        assert used == number
        places = self.buffers.pop(number)[1:]
        written = [self.front.read(place, size) for part, (place, size) in zip((*data, 1), places) if isinstance(part, int)]
        return written[-1][0], b"".join(written[:-1]), length


class SplitRing(Ring):
    """The driver's half of a split ring."""

    def __init__(self, front, index, size, at):
        super().__init__(front, index, size, at)
        self.places = at, at + 0x4000, at + 0x2000      # descriptors, used, available
        self.next = self.published = self.seen = 0

    def add(self, parts, indirect=False):
        rows, places = self.pieces(parts)
        head = self.next % self.size
        if indirect:
            tail = self.room(16 * len(rows))
            self._chain(tail, 0, rows, len(rows))
            rows = [(self.front.guest + tail, 16 * len(rows), INDIRECT)]
        self._chain(self.places[0], head, rows, self.size)
        self.next += len(rows)
        self.front.write(self.places[2] + 4 + 2 * (self.begun % self.size), struct.pack("<H", head))
        self.begun += 1
        self.buffers[head] = places
        return head

    def _chain(self, table, first, rows, size):
        for n, (address, length, flags) in enumerate(rows):
            at, after = (first + n) % size, (first + n + 1) % size
            more = NEXT if n + 1 < len(rows) else 0
            self.front.write(table + 16 * at, struct.pack("<QIHH", address, length, flags | more, after))

    def publish(self):
        self.front.write(self.places[2] + 2, struct.pack("<H", self.begun & 0xFFFF))

    def wants(self, event):
        """The index behind which we want to be called."""
        self.front.write(self.places[2] + 4 + 2 * self.size, struct.pack("<H", event & 0xFFFF))

    @property
    def used(self):
        return struct.unpack("<H", self.front.read(self.places[1] + 2, 2))[0]

    def reap(self):
        found = []
        while self.seen != self.used:
            found.append(struct.unpack("<II", self.front.read(self.places[1] + 4 + 8 * (self.seen % self.size), 8)))
            self.seen = self.seen + 1 & 0xFFFF
        return found


class PackedRing(Ring):
    """The driver's half of a packed ring."""

    def __init__(self, front, index, size, at):
        super().__init__(front, index, size, at)
        self.places = at, at + 0x4000, at + 0x2000      # descriptors, the device's events, the driver's events
        self.next, self.wrap, self.seen, self.seen_wrap = 0, 1, 0, 1
        self.slots, self.heads = {}, []

    def add(self, parts, indirect=False):
        rows, places = self.pieces(parts)
        number = self.begun
        if indirect:
            tail = self.room(16 * len(rows))
            for n, (address, length, flags) in enumerate(rows):
                self.front.write(tail + 16 * n, struct.pack("<QIHH", address, length, 0, flags))
            rows = [(self.front.guest + tail, 16 * len(rows), INDIRECT)]
        for n, (address, length, flags) in enumerate(rows):
            flags |= (NEXT if n + 1 < len(rows) else 0) | (0x80 if self.wrap else 0x8000)
            at = self.places[0] + 16 * self.next
            self.front.write(at, struct.pack("<QIH", address, length, number))
            if n:
                self.front.write(at + 14, struct.pack("<H", flags))
            else:
                self.heads.append((at + 14, flags))
            self.next += 1
            if self.next == self.size:
                self.next, self.wrap = 0, self.wrap ^ 1
        self.slots[number], self.buffers[number] = len(rows), places
        self.begun += 1
        return number

    def publish(self):
        for at, flags in self.heads:
            self.front.write(at, struct.pack("<H", flags))
        self.heads.clear()

    def wants(self, place, wrap, flags=2):
        """The place behind which we want to be called."""
        self.front.write(self.places[2], struct.pack("<HH", place | wrap << 15, flags))

    def reap(self):
        found = []
        while True:
            length, number, flags = struct.unpack("<IHH", self.front.read(self.places[0] + 16 * self.seen + 8, 8))
            if not (flags >> 7 & 1 == flags >> 15 & 1 == self.seen_wrap):
                return found
            found.append((number, length))
            self.seen += self.slots.pop(number)
            if self.seen >= self.size:
                self.seen, self.seen_wrap = self.seen - self.size, self.seen_wrap ^ 1


def image(sectors=2048):
    """A disk whose every sector says its number."""
    return Image(bytearray(b"".join(struct.pack("<Q", n) * 64 for n in range(sectors))))


@contextmanager
def front_end(medium=None, seals=True, **options):
    """A front end of a disk."""
    said = []
    disk = Disk(image() if medium is None else medium, say=said.append, **options)
    front = FrontEnd(disk, seals)
    front.disk_said = said
    try:
        yield front
    finally:
        front.close()
