"""A NetVSP over rings in buffers of their own, and a guest that speaks to it in bytes packed by hand: no layout of the product's."""

import struct

from tests import guests
from vmio.machine.net.cable import Cable
from vmio.modes import Machine
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.gpadl import Gpadl, Range
from vmio.vmbus.bus.ring import RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory
from vmio.vmbus.net.netvsp import NetVsp

MAC, OTHER = bytes.fromhex("00155d0a0b0c"), bytes.fromhex("020000000009")
RECEIVE, SEND = 0x100, 0x200          # first pages of the buffers
SECTION = 1806
V6_1, V6, V5, V4, V2, V1 = 0x60001, 0x60000, 0x50000, 0x40000, 0x30002, 0x2


class Peer:
    """Who is at the other end of the cable."""

    def __init__(self, end):
        self.end, self.got = end, []
        end.connect(self)

    def receive(self, frame):
        self.got.append(frame)
        return True

    def link_changed(self, up):
        pass


class Rig:
    """`vsp` is the card, `end` the guest's end of its channel, `peer` the rest of the network."""

    def __init__(self, pages=16, receive_pages=32, send_pages=16, **options):
        self.host = Machine(memory_mib=32).host
        self.guest, self.server = guests.on_a_bus(self.host, ram_mib=8)
        self.cable = Cable()
        self.peer = Peer(self.cable.ends[1])
        self.vsp = NetVsp(self.host, self.guest, self.cable.ends[0], MAC, **options)
        self.vsp.server, self.vsp.channel = self.server, self
        self.relid, self.ring, self.errors, self.signals = 5, None, [], 0
        self.lend(7, range(RECEIVE, RECEIVE + receive_pages))
        self.lend(8, range(SEND, SEND + send_pages))
        self.open(pages)

    def lend(self, handle, pages, relid=None):
        """A GPADL as the bus has it."""
        pages = tuple(pages)
        made = Gpadl(handle, self.relid if relid is None else relid, 1, len(pages) + 1)
        made.ranges = [Range(4096 * len(pages), 0, pages)]
        self.server.gpadls.by_handle[handle] = made

    def open(self, pages=16):
        out, back = FlatMemory(pages), FlatMemory(pages)
        format_ring(out), format_ring(back)
        self.out, self.back = out, back
        host_end = ChannelEnd(RingWriter(back), RingReader(out), self._interrupt)
        self.end = ChannelEnd(RingWriter(out), RingReader(back), host_end.interrupted)
        self.vsp.opened(host_end)

    def _interrupt(self):
        self.signals += 1

    def fail(self, error):
        """What the bus does with a channel that has failed."""
        self.errors.append(str(error))
        self.vsp.closed()

    def run(self):
        """Until nothing happens any more; the packets that have come, as (type, id, payload, spans)."""
        self.host.env.run()
        return [(each.kind, each.transaction_id, each.payload, each.ranges) for each in self.end.packets()]

    # NVSP.

    def tell(self, payload, number=1, ranges=(), wanted=True):
        """One record; what comes back."""
        self.end.send(payload, number, want_completion=wanted, ranges=ranges)
        return self.run()

    def ask(self, *words, number=1):
        """An NVSP message of 32-bit words, 40 bytes as Linux sends it; its completion's payload."""
        (kind, same, payload, _), = self.tell(struct.pack(f"<{len(words)}I", *words).ljust(40, b"\0"), number)
        assert (kind, same) == (11, number)
        return payload

    def agree(self, version=V6_1):
        assert self.words(self.ask(1, version, version))[3] == 1
        if version >= V2:
            self.tell(struct.pack("<IIIQ", 125, 1514, 0, 0b101000).ljust(40, b"\0"), wanted=False)
        self.tell(struct.pack("<III", 100, 6, 30).ljust(40, b"\0"), wanted=False)
        return self

    def buffers(self):
        assert self.words(self.ask(101, 7, 0xCAFE))[1] == 1 and self.words(self.ask(104, 8, 0))[1] == 1
        return self

    def ready(self, version=V6_1, wanted=0xD, initialize=True):
        """As far as a guest that is up."""
        self.agree(version).buffers()
        if initialize:
            assert self.control(2, 1, 1, 0, 0x4000)[3] == 0
            assert self.set(0x1010E, struct.pack("<I", wanted)) == 0
        return self

    # RNDIS.

    def rndis(self, data, channel=0, section=0xFFFFFFFF, size=0, ranges=None, number=3):
        """Send RNDIS bytes by pages of our own (or what `ranges` says); (NVSP status, what else came)."""
        if ranges is None:
            self.guest.memory.write(0x40_0000, data)
            pages = tuple(range(0x400, 0x400 + -(-len(data) // 4096)))
            ranges = ((len(data), 0, pages),) if data else ()
        came = self.tell(struct.pack("<IIII", 107, channel, section, size).ljust(40, b"\0"), number, ranges)
        done = [payload for kind, same, payload, _ in came if kind == 11 and same == number]
        assert len(done) <= 1
        return (self.words(done[0])[1] if done else None), [each for each in came if each[0] != 11]

    def control(self, kind, *words, data=b""):
        """A control message; the words of its answer, whose record is given back."""
        return self.words(self.answer(kind, *words, data=data))

    def answer(self, kind, *words, data=b""):
        """The same; the answer's bytes."""
        body = struct.pack(f"<{len(words)}I", *words) + data
        status, came = self.rndis(struct.pack("<II", kind, 8 + len(body)) + body, channel=1)
        assert status == 1
        (said,) = self.received(came)
        return said

    def query(self, oid, data=b""):
        """(status, data)."""
        said = self.answer(4, 9, oid, len(data), 20, 0, data=data)
        _, length, same, status, size, offset = self.words(said)[:6]
        assert same == 9 and length == len(said)
        return status, said[8 + offset:8 + offset + size]

    def set(self, oid, data):
        """The status."""
        return self.control(5, 10, oid, len(data), 20, 0, data=data)[3]

    def received(self, came, give_back=True):
        """The RNDIS messages that records of the host's name, in order."""
        found = []
        for kind, number, payload, pages in came:
            assert kind == 7 and pages.set_id == 0xCAFE and self.words(payload)[0] == 107 and len(payload) == (40 if self.vsp.version == V6_1 else 32)
            for length, offset in pages.ranges:
                assert offset % SECTION == 0 and length <= SECTION
                found.append(self.guest.memory.read(RECEIVE * 4096 + offset, length))
            if give_back:
                self.give_back(number)
        return found

    def give_back(self, number, payload=struct.pack("<II", 108, 1)):
        self.end.send_completion(payload, number)
        self.host.env.run()

    @staticmethod
    def words(payload):
        return struct.unpack(f"<{len(payload) // 4}I", payload[:len(payload) // 4 * 4])


def packet(frame, ppi=b"", pad=0):
    """An RNDIS PACKET with per-packet information before the frame."""
    offset = 36 + len(ppi)
    return struct.pack("<11I", 1, 8 + offset + len(frame) + pad, offset, len(frame), 0, 0, 0, 36 if ppi else 0, len(ppi), 0, 0) + ppi + frame + bytes(pad)


def info(kind, value):
    """One block of per-packet information."""
    return struct.pack("<IIII", 16, kind, 12, value)


def frame(to=OTHER, source=MAC, kind=b"\x08\x00", rest=bytes(46)):
    return to + source + kind + rest


def parsed(message):
    """(frame, {type: value}) of a PACKET."""
    kind, length, offset, size, _, _, _, at, room, _, _ = struct.unpack_from("<11I", message)
    assert kind == 1 and length == len(message) and (at, room) == (0, 0) or at == 36
    blocks, end = {}, 8 + at + room
    at += 8
    while room and at < end:
        step, what, where = struct.unpack_from("<III", message, at)
        blocks[what], = struct.unpack_from("<I", message, at + where)
        at += step
    return message[8 + offset:8 + offset + size], blocks
