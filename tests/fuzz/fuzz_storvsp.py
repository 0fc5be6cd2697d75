"""StorVSP: requests with a field wrong, protocol steps out of order, ranges that lie, rings of noise."""

from collections import Counter

from tests.fuzz.engine import bruised, nearly, number
from tests.storage_rig import Backend, Rig, read10, srb
from vmio.experiments.disk import pattern
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.vmbus.bus.ring import DATA, READ, WRITE, RingFull
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import ScsiTarget

OPCODES = bytes.fromhex("0003121a1b255a9ea03591422f8f080a28282a2aa8aa888aff") + bytes.fromhex("0415161d1e2e41415593aeaf8e")
KEPT = range(100, 200)          # guest pages that are never lent
OVERLAID = 30                   # this one is lent, but it is not the guest's own
DEPTH = 8                       # requests in flight
EDGE = b"edge" * 60
SECRET = b"hypervisor's own" * (PAGE // 16)
KINDS = ("srb",) * 20 + ("edge", "burst", "protocol", "protocol", "release", "release", "release", "release", "any", "noise",
                         "reopen")


def cdb(dice):
    """A command descriptor block, mostly a good one."""
    opcode, lba, sectors = dice.choice(OPCODES), dice.choice((dice.randrange(2100), number(dice, 32))), dice.randrange(40)
    if opcode in (0x88, 0x8A, 0x8E, 0x8F, 0x91, 0x93, 0x9E):
        body = bytes((opcode, dice.choice((0, 0x10)))) + lba.to_bytes(8, "big") + sectors.to_bytes(4, "big") + b"\0\0"
    elif opcode in (0x12, 0x1A, 0x5A, 0xA0):
        body = bytes((opcode, dice.randrange(2), dice.choice((0, 0x80, 0x83, 0xB0, 0xB1, 0xB2, 0x3F, 8)), 0,
                      dice.randrange(256), 0, 0, 0, dice.randrange(256), 0))
    elif opcode >= 0xA0:
        body = bytes((opcode, 0)) + lba.to_bytes(4, "big") + sectors.to_bytes(4, "big") + b"\0\0"
    else:
        body = bytes((opcode, 0)) + lba.to_bytes(4, "big") + b"\0" + sectors.to_bytes(2, "big") + b"\0"
    return body if dice.random() < 0.9 else bruised(dice, body, 1)


def request(dice):
    """(payload, ranges) of a SCSI request."""
    block = cdb(dice)
    length = dice.choice((0, 36, 512 * dice.randrange(41), 512 * dice.randrange(41), dice.randrange(20_481)))
    if block and block[0] in (0x28, 0x2A) and len(block) > 8 and dice.random() < 0.8:
        length = 512 * int.from_bytes(block[7:9], "big") % 20_992
    fields = {"direction": v.TO_DEVICE if block[:1] in (b"\x2a", b"\x0a", b"\xaa", b"\x8a", b"\x15", b"\x2e", b"\x41", b"\x55", b"\x93", b"\xae") else v.TO_GUEST}
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2))):
        name, value = dice.choice((("direction", dice.randrange(4)), ("target", 1),
                                   ("lun", dice.choice((1, 1, dice.randrange(256)))),
                                   ("cdb_length", dice.randrange(20)), ("sense_length", dice.randrange(256)),
                                   ("transfer_length", number(dice, 32)),
                                   ("flags", dice.randrange(3))))
        fields[name] = value
    gpa = dice.choice((0x10000, 0x10008, 0x10200, PAGE * 250, PAGE * OVERLAID, dice.randrange(60 * PAGE)))
    payload, ranges = srb(block[:16], length, gpa=gpa, **fields)
    if ranges and dice.random() < 0.15:
        (count, offset, pages), = ranges
        pages = list(pages)
        pages[dice.randrange(len(pages))] = dice.choice((256, 300, 1 << 40, (1 << 64) - 1, 0))
        ranges = ((count, offset, tuple(pages)),)
    if ranges and dice.random() < 0.05 and length > 8:      # a little less is lent than is asked for
        (count, offset, pages), = ranges
        ranges = ((count - dice.choice((1, 8)), offset, pages),)
    if ranges and dice.random() < 0.1:
        ranges = ranges + ((4096, 0, (dice.randrange(60),)),) if dice.random() < 0.5 else ()
    return payload, ranges


def protocol(dice):
    """A step of the start-up, nearly right."""
    operation = dice.choice((v.BEGIN_INITIALIZATION, v.QUERY_PROTOCOL_VERSION, v.QUERY_PROPERTIES, v.END_INITIALIZATION,
                             v.CREATE_SUB_CHANNELS, v.RESET_BUS, v.RESET_LUN, v.FCHBA_DATA, dice.randrange(20)))
    layout = {v.QUERY_PROTOCOL_VERSION: v.VERSION, v.CREATE_SUB_CHANNELS: v.SUBCHANNELS}.get(operation, v.PACKET)
    right = {"operation": operation, "flags": 1} | ({"version": v.WIN8_1} if layout is v.VERSION else {})
    return nearly(dice, layout, right, 0.2, ("operation",))


class Machine:
    """One controller with two disks, of which the guest must not write the second."""

    def __init__(self, dice):
        self.rig = rig = Rig(Overlay(pattern(1)), pages=4, hold=dice.random() < 0.5, batch=dice.choice((1, 3, 16)),
                             queue_depth=DEPTH, ram_mib=1)
        self.other = Backend(rig.host, Overlay(pattern(2)))
        rig.vsp.disks[1] = ScsiTarget(self.other.image.sectors, read_only=True), self.other
        rig.neighbour.memory.write(0, b"n" * rig.neighbour.ram)
        rig.guest.memory.write(KEPT.start * PAGE, b"k" * PAGE * len(KEPT))
        self.hidden = rig.host.memory.allocate(1)       # a page of the hypervisor's over the guest's RAM
        rig.host.memory.write(self.hidden, SECRET)
        rig.guest.slat.map(OVERLAID * PAGE, self.hidden, PAGE, 3)
        self.reopen(dice.random() < 0.9)

    def reopen(self, ready=True):
        """Close the channel, let what is in flight come back, open it anew."""
        rig = self.rig
        busy, gone = rig.vsp.worker is not None and rig.vsp.worker.in_flight, rig.vsp.closed()
        assert not busy or gone is not None and not gone.triggered, "closed, and the disk still writes to the guest"
        while rig.backend.held:
            rig.backend.release()
        rig.host.env.run()
        assert all(event is None or event.triggered for event in (gone, rig.drained)), "the channel never closes"
        assert rig.vsp.in_flight == 0 and sorted(rig.vsp.bounce._free) == sorted(rig.vsp.bounce.made)
        rig.open(4)
        rig.errors.clear()
        self.asked, self.lent, self.most = Counter(), set(), 0
        if ready:
            rig.ready()

    def send(self, payload, number, wanted=True, ranges=()):
        """One record; what it lends, and whether an answer is due, is written down."""
        self.rig.end.send(payload, number, want_completion=wanted, ranges=ranges)
        self.asked[number] += wanted
        for count, _, pages in ranges:
            self.most = max(self.most, count)
            self.lent.update(page * PAGE for page in pages)

    def answers(self):
        """What has come, in a few words; each answer belongs to a question, and each access to what was lent."""
        rig = self.rig
        state, rig.backend.log[:], self.other.log[:] = rig.vsp.state, [], []
        said = []
        for packet in rig.run():
            assert 48 <= len(packet.payload) <= 64
            self.asked[packet.transaction_id] -= 1
            assert self.asked[packet.transaction_id] >= 0, "an answer that nobody waits for"
            answer = v.SRB.parse(packet.payload.ljust(v.SRB.size, b"\0"))
            assert answer.operation == v.COMPLETE_IO
            said.append((answer.status, answer.srb_status, answer.scsi_status))
        for disk, (_, kind, lba, sectors, pages) in ((each, one) for each in (rig.backend, self.other) for one in each.log):
            assert state == rig.vsp.state == "ready", "a request before the protocol was through"
            assert lba + sectors <= disk.image.sectors
            bounced = [spa for spa in pages if spa in rig.vsp.bounce.made]      # the host's own, for a buffer that lies askew
            assert bounced in ([], list(pages)) and not (pages and pages[0] & 3)
            same = len(set(bounced)) == 1 and kind == "write"                   # a sector written over and over
            assert not pages or same or 512 * sectors <= self.most, "more than was lent"
            own = [] if bounced else pages
            assert all(rig.guest.ram_spa(0) <= spa < rig.guest.ram_spa(0) + rig.guest.ram for spa in own)
            assert self.lent.issuperset((spa - rig.guest.ram_spa(0)) & -PAGE for spa in own)
        assert all(kind != "write" for _, kind, *_ in self.other.log), "the disk that must not be written"
        return tuple(said)

    def noise(self, dice):
        """Indices and data that nobody meant."""
        rig = self.rig
        memory = dice.choice((rig.out, rig.back))
        memory.store32(dice.choice((WRITE, READ)), dice.choice((8 * dice.randrange(1600), number(dice, 32))))
        memory.write(DATA + 8 * dice.randrange(1000), dice.randbytes(64))
        rig._signal()
        rig.host.env.run()
        found = len(rig.errors)
        self.reopen()
        return "noise", found

    def act(self, dice, kind):
        rig = self.rig
        if kind == "srb":
            payload, ranges = request(dice)
            self.send(payload, number(dice, 64), ranges=ranges)
        elif kind == "edge":                    # a few bytes lent, more asked for
            gpa, count = 0x10000 + dice.randrange(PAGE - 300), dice.randrange(1, 36)
            payload, ranges = srb("12 00 00 00 ff 00", count, gpa=gpa)
            rig.guest.memory.write(gpa + count, EDGE)
            self.send(payload, number(dice, 64), ranges=ranges)
            said = self.answers()
            assert rig.guest.memory.read(gpa + count, len(EDGE)) == EDGE, "written past what was lent"
            return kind, said
        elif kind == "burst":                   # more than the channel may have in flight
            for n in range(DEPTH + 4):
                payload, ranges = srb(read10(n, 1), 512, gpa=0x10000 + PAGE * n)
                self.send(payload, n, ranges=ranges)
        elif kind == "protocol":
            wanted = dice.random() < 0.95
            self.send(bruised(dice, protocol(dice), 0.1), 1, wanted)
        elif kind == "any":
            payload, ranges = request(dice)
            self.send(bruised(dice, payload, 1), 2, dice.random() < 0.9, ranges)
        elif kind == "release":
            if rig.backend.held:
                rig.backend.status = dice.choice((0, 0, 0, 1, 4))
                rig.backend.release(dice.randrange(len(rig.backend.held)))
                rig.backend.status = 0
        elif kind == "noise":
            return self.noise(dice)
        else:
            self.reopen(dice.random() < 0.8)
            return (kind,)
        said = self.answers()
        if rig.errors:
            assert len(rig.errors) == 1
            reason = str(rig.errors[0])[:24]
            self.reopen()
            return kind, "closed", reason
        return kind, said

    def step(self, dice, kind):
        """One action; a full ring is read, a corrupt one opened anew."""
        try:
            return self.act(dice, kind)
        except RingFull:
            if self.rig.backend.held:
                self.rig.backend.release()
            self.answers()
            return ("full",)

    def check(self):
        """No more in flight than the channel may have."""
        assert self.rig.vsp.in_flight <= DEPTH and len(self.rig.backend.held) <= DEPTH

    def end(self):
        """An honest request after all of it; canaries in the guest, in its neighbour and on both disks."""
        rig = self.rig
        self.reopen()
        rig.backend.hold = False
        assert rig.srb("12 00 00 00 24 00", 36).srb_status == v.SRB_SUCCESS
        assert rig.neighbour.memory.read(0, rig.neighbour.ram) == b"n" * rig.neighbour.ram
        assert rig.guest.memory.read(KEPT.start * PAGE, PAGE * len(KEPT)) == b"k" * PAGE * len(KEPT)
        assert rig.host.memory.read(self.hidden, PAGE) == SECRET
        assert not self.other.image.own and not rig.host.env._queue and rig.vsp.in_flight == 0
