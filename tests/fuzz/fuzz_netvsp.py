"""NetVSP: lengths and offsets that lie, steps out of order, completions of nothing, buffers that go, frames meanwhile."""

import struct
from collections import Counter

from tests.fuzz.engine import bruised, number
from tests.netvsp_rig import MAC, OTHER, RECEIVE, SECTION, SEND, V1, V4, V5, V6_1, Rig, frame, info, packet
from vmio.machine.memory import PAGE
from vmio.machine.net import frames
from vmio.vmbus.bus.ring import DATA, READ, WRITE

KEPT = (*range(RECEIVE - 4, RECEIVE), *range(RECEIVE + 32, RECEIVE + 36))      # guest pages around the receive buffer
OVERLAID = 0x480                # this one is lent, but it is not the guest's own
SECRET = b"hypervisor's own" * (PAGE // 16)
OIDS = (0x10106, 0x10107, 0x1010E, 0x10114, 0x10203, 0x10204, 0x10216, 0x1021B, 0x1010101, 0x1010102, 0xFC01020C, 0xFC01020D)
KINDS = ("send",) * 14 + ("frame",) * 6 + ("giveback",) * 5 + ("control",) * 6 + ("nvsp", "nvsp", "burst", "peek", "foreign", "ask", "teardown", "any", "noise", "reopen")
LIFE = 120


def ethernet(dice):
    """A frame, or nearly one."""
    kind = dice.choice((b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x08\x06"))
    head = bytes.fromhex("4500002800000000400600000a0000010a000002") if kind == b"\x08\x00" else b""
    size = dice.choice((0, 20, 46, 1480, 1481, 1500, 1501, dice.randrange(1600)))
    return bruised(dice, frame(OTHER, MAC, kind, (head + dice.randbytes(40)).ljust(size, b"\0")[:max(size, 0)]), 0.1)


def rndis(dice):
    """An RNDIS PACKET, of which a few words may be something else."""
    blocks = b"".join(info(dice.choice((0, 2, 6, 8, number(dice, 32))), number(dice, 32)) for _ in range(dice.choice((0, 0, 1, 2))))
    one = packet(ethernet(dice), blocks)
    while dice.random() < 0.3:
        at = 4 * dice.randrange(min(len(one) // 4, 20))
        one = one[:at] + struct.pack("<I", number(dice, 32)) + one[at + 4:]
    return one


def control(dice):
    """A control message, nearly right."""
    kind, oid = dice.choice((2, 3, 4, 4, 4, 5, 5, 5, 6, 8, number(dice, 32))), dice.choice((*OIDS, number(dice, 32)))
    data = dice.choice((b"", struct.pack("<I", dice.choice((0, 13, 0x20))), dice.randbytes(dice.randrange(60)), b"\xa7\3\x9c\0", scaling(dice)))
    if oid == 0x10204 and dice.random() < 0.8:
        data = scaling(dice)
    body = struct.pack("<I", dice.randrange(9))
    if kind in (4, 5):
        body += struct.pack("<4I", oid, len(data), 20, 0) + data
    elif kind == 2:
        body += struct.pack("<3I", dice.choice((1, 1, 1, 2)), 0, 0x4000)
    return bruised(dice, struct.pack("<II", kind, 8 + len(body)) + body, 0.15)


def scaling(dice):
    """An object of receive side scaling."""
    table = struct.pack("<4I", *(dice.choice((0, 0, 1, 2, 3, 9)) for _ in range(4)))
    return struct.pack("<BBHHHIHHIHHIIII", 0x89, 2, 40, 0, 0, 0x1701, dice.choice((16, 16, 15, 600)), 0, 40, 40, 0, dice.choice((56, 56, 57)), 0, 0, 0) + table + bytes(40)


class Machine:
    """One card, its guest, and a peer."""

    def __init__(self, dice):
        self.rig = rig = Rig(max_subchannels=0)
        rig.vsp.vf.associate(0x84)
        self.neighbour = rig.host.guest("neighbour", 1)
        self.neighbour.memory.write(0, b"n" * self.neighbour.ram)
        for page in KEPT:
            rig.guest.memory.write(page * PAGE, b"k" * PAGE)
        overlays = rig.guest.enlightened.overlays
        hidden = overlays.page()
        rig.host.memory.write(hidden, SECRET)
        overlays.show("fuzz", hidden, OVERLAID * PAGE)
        rig.lend(9, range(0x300, 0x310), relid=6)       # another channel's
        self.lost = None
        self.reopen(dice)

    def reopen(self, dice):
        rig = self.rig
        if rig.vsp.worker is not None:
            rig.vsp.closed()
        rig.host.env.run()
        rig.lend(7, range(RECEIVE, RECEIVE + 32))
        rig.lend(8, range(SEND, SEND + 16))
        rig.open()
        rig.errors.clear()
        self.given, self.asked, self.lost = [], Counter(), None
        if dice is None or dice.random() < 0.9:
            rig.ready(V6_1 if dice is None else dice.choice((V6_1, V6_1, V5, V4, V1)))

    def answers(self):
        """What has come, in a few words; each completion belongs to a question."""
        rig, said = self.rig, []
        for kind, same, payload, pages in rig.run():
            if kind == 11:
                self.asked[same] -= 1
                assert self.asked[same] >= 0, "an answer that nobody waits for"
                said.append(rig.words(payload)[:2])
            elif kind == 7:
                assert same not in self.given, "one record's number twice"
                self.given.append(same)
                assert all(offset % SECTION == 0 and offset + length <= 32 * PAGE for length, offset in pages.ranges)
                said.append(len(pages.ranges))
        return tuple(said)

    def send(self, payload, ranges=(), wanted=True):
        number = len(self.asked) + 1
        self.asked[number] += wanted
        self.rig.end.send(payload, number, want_completion=wanted, ranges=ranges)
        return self.answers()

    def lend(self, dice, data):
        """(section, its bytes, ranges) for RNDIS bytes, mostly right."""
        rig, kind = self.rig, dice.randrange(4)
        if kind == 0 and len(data) <= 6144:
            section = dice.choice((0, 3, 9, 9, 10, number(dice, 32))) if dice.random() < 0.2 else dice.randrange(10)
            rig.guest.memory.write(SEND * PAGE + section % 10 * 6144, data)
            return section, len(data) if dice.random() < 0.95 else number(dice, 32), ()
        rig.guest.memory.write(0x40_0000, data)
        pages = list(range(0x400, 0x400 + -(-len(data) // PAGE)))
        if pages and dice.random() < 0.15:
            pages[dice.randrange(len(pages))] = dice.choice((OVERLAID, 0x7FF, 0x800, 1 << 40, (1 << 52) - 1))
        return 0xFFFFFFFF, 0, ((len(data), 0, tuple(pages)),) if data else ()

    def act(self, dice, kind):
        rig = self.rig
        if kind in ("send", "control", "burst"):
            data = control(dice) if kind == "control" else b"".join(
                one.ljust(-(-len(one) // 8) * 8, b"\0") for one in [rndis(dice) for _ in range(dice.choice((1, 1, 2, 8, 9)) if kind == "send" else 1)])
            if dice.random() < 0.1:
                data = control(dice) + data
            for _ in range(70 if kind == "burst" and dice.random() < 0.3 else 1):
                section, size, ranges = self.lend(dice, data)
                channel = (1 if kind == "control" else 0) if dice.random() < 0.95 else number(dice, 32)
                said = self.send(struct.pack("<IIII", 107, channel, section, size).ljust(40, b"\0"), ranges, dice.random() < 0.95)
                if rig.errors:
                    break
            return kind, said
        if kind == "foreign":                 # another channel's pages as the receive buffer
            self.send(struct.pack("<II", 103, 0xCAFE).ljust(40, b"\0"), wanted=False)
            return kind, self.send(struct.pack("<III", 101, 9, 0xCAFE).ljust(40, b"\0")) if not rig.errors else None
        if kind == "peek":                    # the message's head from a section, the frame from a page of the hypervisor's
            rig.guest.memory.write(SEND * PAGE, packet(frame())[:44])
            return kind, self.send(struct.pack("<IIII", 107, 0, 0, 44).ljust(40, b"\0"), ((60, 0, (OVERLAID,)),))
        if kind == "ask":                     # more questions than there are sections for answers
            for _ in range(90):
                if not rig.errors:
                    rig.guest.memory.write(0x40_0000, struct.pack("<7I", 4, 28, 1, 0x10114, 0, 0, 0))
                    self.send(struct.pack("<IIII", 107, 1, 0xFFFFFFFF, 0).ljust(40, b"\0"), ((28, 0, (0x400,)),))
            return kind, len(rig.vsp.waiting), len(rig.errors)
        if kind == "frame":
            for _ in range(dice.choice((1, 1, 5, 80))):
                one = frame(dice.choice((MAC, MAC, OTHER, b"\xff" * 6)), OTHER, dice.choice((b"\x08\x00", b"\x81\x00")), dice.randbytes(dice.choice((0, 46, 1500))))
                rig.peer.end.send(one)
            return kind, self.answers()
        if kind == "giveback":
            which = self.given.pop(dice.randrange(len(self.given))) if self.given and dice.random() < 0.9 else number(dice, 64)
            payload = struct.pack("<II", 108, 1) if dice.random() < 0.95 else dice.randbytes(dice.randrange(12))
            rig.end.send_completion(payload, which)
            return kind, self.answers()
        if kind == "nvsp":
            words = dice.choice(((1, V6_1, V6_1), (125, 1514, 0, 8), (125, 1514, 0, 12), (129, 0), (129, 1), (100, 6, 30), (101, 7, 0xCAFE), (101, 9, 0xCAFE), (101, 8, 0xCAFE), (104, 8, 0),
                                 (104, 7, 0), (103, 0xCAFE), (106, 0), (129, 1), (133, 1, 1), (number(dice, 32), 1)))
            return kind, self.send(bruised(dice, struct.pack(f"<{len(words)}I", *words).ljust(40, b"\0"), 0.1), (), dice.random() < 0.8)
        if kind == "teardown":
            handle = dice.choice((7, 8))
            gpadl = rig.server.gpadls.by_handle.pop(handle, None)
            if gpadl is not None:
                rig.vsp.torn_down(gpadl)
                if handle == 7:
                    self.lost = rig.guest.memory.read(RECEIVE * PAGE, 32 * PAGE)
            return kind, handle
        if kind == "any":
            return kind, self.send(dice.randbytes(dice.randrange(60)), (), dice.random() < 0.5)
        if kind == "noise":
            memory = dice.choice((rig.out, rig.back))
            memory.store32(dice.choice((WRITE, READ)), dice.choice((8 * dice.randrange(1600), number(dice, 32))))
            memory.write(DATA + 8 * dice.randrange(1000), dice.randbytes(64))
            rig.vsp.worker.signalled()
            rig.host.env.run()
            found = len(rig.errors)
            self.reopen(dice)
            return kind, found
        self.reopen(dice)
        return kind, rig.vsp.version

    def step(self, dice, kind):
        outcome = self.act(dice, kind)
        if self.rig.errors:
            assert self.rig.vsp.worker is None and self.rig.vsp.receive_buffer is None
            outcome = (*outcome, self.rig.errors[0][:20])
            self.reopen(dice)
        return outcome

    def check(self):
        rig, vsp = self.rig, self.rig.vsp
        for got in rig.peer.got:
            frames.check(got)
            assert SECRET[:16] not in got, "a page of the hypervisor's went out"
        rig.peer.got.clear()
        for page in KEPT:
            assert rig.guest.memory.read(page * PAGE, PAGE) == b"k" * PAGE, "written outside of the receive buffer"
        if self.lost is not None:
            assert rig.guest.memory.read(RECEIVE * PAGE, 32 * PAGE) == self.lost, "written into a buffer that is the guest's again"
        assert len(vsp.waiting) <= 64 and all(entry < vsp.control.channels for entry in vsp.control.scaling.table)
        assert vsp.vf.path in (0, 1) and (vsp.vf.path == 0 or vsp.vf._told), "a path to a function that the guest was never told of"
        buffer = vsp.receive_buffer
        if buffer is not None:
            assert buffer.gpadl.relid == rig.relid
            free = [*buffer.free, *buffer.free_control]
            assert len(set(free)) == len(free) <= buffer.sections

    def end(self):
        self.reopen(None)
        rig = self.rig
        assert rig.rndis(packet(frame()))[0] == 1 and rig.peer.got == [frame()]
        assert rig.peer.end.send(frame(MAC, OTHER)) and len(rig.received(rig.run())) == 1
        assert self.neighbour.memory.read(0, self.neighbour.ram) == b"n" * self.neighbour.ram
