"""Both ends of the host's rings, in scattered pages, against a guest that writes into the shared memory."""

import struct

from tests.fuzz.engine import bruised, number
from vmio import modes
from vmio.machine.window import Window
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import KINDS as KINDS_OF_RECORD
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.ring import (
    DATA,
    FEATURES,
    MASK,
    PENDING,
    READ,
    WRITE,
    RingFull,
    RingReader,
    RingWriter,
    format_ring,
)

PAGES = 3                                   # of each ring, at every other guest page; between them canaries
OUT, BACK = range(0, 2 * PAGES, 2), range(2 * PAGES, 4 * PAGES, 2)
CANARY = b"ring canary!" * 341 + b"...."
WORDS = (WRITE, WRITE, READ, READ, MASK, PENDING, FEATURES)
KINDS = ("put", "put", "put", "honest", "store", "tear", "receive", "receive", "receive", "sleep", "answer", "answer", "read")


class Machine:
    """`out` carries the guest's records, `back` the host's."""

    def __init__(self, dice):
        host = modes.Machine(memory_mib=6).host
        self.guest = host.guest(ram_mib=2)
        for page in range(1, 4 * PAGES, 2):
            self.guest.memory.write(page << 12, CANARY)
        self.open()

    def open(self):
        self.out, self.back = (Window(self.guest.memory, pages) for pages in (OUT, BACK))
        format_ring(self.out), format_ring(self.back)
        self.signals = 0
        self.mine = ChannelEnd(RingWriter(self.out), RingReader(self.back), lambda: None)
        self.host = ChannelEnd(RingWriter(self.back), RingReader(self.out), self._signal)

    def _signal(self):
        self.signals += 1

    def record(self, dice):
        """A record, nearly right."""
        kind = dice.choice((6, 6, 9, 9, 7, 0xB, dice.randrange(16)))
        pages = dice.randrange(4)
        ranges = struct.pack("<IIII", 0, dice.choice((1, 1, 1, 2, number(dice, 32))), dice.choice((4096 * pages, 1, 0)),
                             dice.choice((0, 0, 8, 0xFFF, 0x1000))) + bytes(8 * pages) if kind in (7, 9) else b""
        payload = dice.randbytes(8 * dice.randrange(30))
        body = bruised(dice, ranges + payload, 0.1)
        body += bytes(-len(body) % 8)
        head, length = 16 + len(ranges), 16 + len(body)
        if dice.random() < 0.15:
            head = dice.choice((head + 8, 0, 8, number(dice, 19)))
        if dice.random() < 0.15:
            length = dice.choice((length + 8, length - 8, 16, number(dice, 19)))
        flags = dice.choice((0, 1, 1, 1, 2)) if dice.random() < 0.1 else 1
        return struct.pack("<HHHHQ", kind, head // 8 & 0xFFFF, length // 8 & 0xFFFF, flags, number(dice, 64)) + body

    def put(self, dice):
        """Write it where the ring is, and move the index by what it takes, or by something else."""
        record = self.record(dice) + bytes(8)
        size, at = self.out.size - DATA, self.out.load32(WRITE)
        at = at % size & ~7
        for n, offset in enumerate(range(at, at + len(record), 8)):
            self.out.write(DATA + offset % size, record[8 * n:8 * n + 8])
        step = len(record) if dice.random() < 0.9 else dice.choice((8, 16, 24, len(record) + 8, 4))
        self.out.store32(WRITE, (at + step) % size)


    def sleep(self):
        """The host looks again before it sleeps; an index that can't be, or went back, must not pass that look."""
        before = self.host.incoming._available
        more = self.host.end_read()
        assert legal(self.out, WRITE), "a write index that can't be was believed"
        assert self.host.incoming._available >= before, "what was published once was taken back"
        return "sleep", more

    def answer(self, dice):
        """The host's completion, of any length."""
        payload, outgoing = dice.randbytes(dice.randrange(400)), self.host.outgoing
        free = outgoing._free
        try:
            self.host.send_completion(payload, 1, wait=True)
            free -= (len(payload) + 16 + 7 & ~7) + 8
        finally:
            assert self.host.error or outgoing._free >= free, "a read index that went back was believed"
        assert legal(self.back, READ), "a read index that can't be was believed"
        return "answer", outgoing._pending > 0

    def act(self, dice, kind):
        """One action of the guest, or of the host because of one."""
        if kind == "put":
            self.put(dice)
        elif kind == "store":
            if dice.random() < 0.3:
                memory = dice.choice((self.out, self.back))
                memory.store32(dice.choice(WORDS), dice.choice((8 * dice.randrange(1024), number(dice, 32), 0, 1)))
        elif kind == "tear":
            self.out.write(DATA + dice.randrange(self.out.size - DATA - 8), dice.randbytes(dice.randrange(1, 9)))
        elif kind == "honest":
            self.mine.send(dice.randbytes(dice.randrange(100)), 1, True, [(4096, 0, (1,))] if dice.random() < 0.5 else ())
        elif kind == "receive":
            packet = self.host.receive()
            if packet is None:
                return self.sleep()
            assert packet.kind in KINDS_OF_RECORD and len(packet.payload) <= self.out.size
            return kind, packet.kind, len(packet.ranges), packet.wants_completion
        elif kind == "sleep":
            return self.sleep()
        elif kind == "answer":
            return self.answer(dice)
        else:
            self.mine.receive()
            self.mine.commit()
        return (kind,)

    def step(self, dice, kind):
        """One action, and what a corrupt ring leads to: it stays so until the channel is opened anew."""
        try:
            return self.act(dice, kind)
        except RingFull as full:
            return "full", full.needed // 100
        except RingCorrupt as error:
            mine = kind in ("honest", "read")
            assert mine or self.host.error is not None, "a corrupt ring left no mark"
            if not mine:
                try:
                    self.host.receive()
                    raise AssertionError("a corrupt ring was served again")
                except RingCorrupt:
                    pass
            self.open()
            return "corrupt", mine, str(error).split()[0], len(str(error)) // 12

    def check(self):
        """The host believes nothing that can't be."""
        assert 0 <= self.host.incoming._available < self.out.size and 0 <= self.host.outgoing._free <= self.back.size

    def end(self):
        """A channel opened anew works, and no page between the rings' own was touched."""
        self.open()
        self.mine.send(b"question", 7, want_completion=True)
        assert self.host.receive().transaction_id == 7
        self.host.send_completion(b"answer..", 7)
        assert self.mine.receive().payload == b"answer.."
        for page in range(1, 4 * PAGES, 2):
            assert self.guest.memory.read(page << 12, 4096) == CANARY


def legal(memory, index):
    """Is the index one that an honest peer could have stored?"""
    value = memory.load32(index)
    return value < memory.size - DATA and not value & 7
