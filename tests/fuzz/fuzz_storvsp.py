"""StorVSP: requests with a field wrong, protocol steps out of order, ranges that lie, rings of noise."""

from tests.fuzz.engine import bruised, nearly, number
from tests.storage_rig import Rig, srb
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.vmbus import vstor as v
from vmio.vmbus.ring import DATA, READ, WRITE, RingFull
from vmio.workloads.disk import pattern

OPCODES = bytes.fromhex("0003121a1b255a9ea03591422f8f080a28282a2aa8aa888aff")
KEPT = range(100, 200)          # guest pages that are never lent


def cdb(dice):
    """A command descriptor block, mostly a good one."""
    opcode, lba, sectors = dice.choice(OPCODES), dice.choice((dice.randrange(2100), number(dice, 32))), dice.randrange(40)
    if opcode in (0x88, 0x8A, 0x8F, 0x91, 0x9E):
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
    fields = {"direction": v.TO_DEVICE if block[:1] in (b"\x2a", b"\x0a", b"\xaa", b"\x8a") else v.TO_GUEST}
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2))):
        name, value = dice.choice((("direction", dice.randrange(4)), ("lun", dice.randrange(256)), ("target", 1),
                                   ("cdb_length", dice.randrange(20)), ("sense_length", dice.randrange(256)),
                                   ("transfer_length", number(dice, 32)),
                                   ("flags", dice.randrange(3))))
        fields[name] = value
    gpa = dice.choice((0x10000, 0x10008, 0x10200, PAGE * 250, dice.randrange(60 * PAGE)))
    payload, ranges = srb(block[:16], length, gpa=gpa, **fields)
    if ranges and dice.random() < 0.15:
        (count, offset, pages), = ranges
        pages = list(pages)
        pages[dice.randrange(len(pages))] = dice.choice((256, 300, 1 << 40, (1 << 64) - 1, 0))
        ranges = ((count, offset, tuple(pages)),)
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
    def __init__(self, dice):
        self.rig = rig = Rig(Overlay(pattern(1)), pages=4, hold=dice.random() < 0.5, batch=dice.choice((1, 3, 16)),
                             queue_depth=8, ram_mib=1)
        rig.neighbour.memory.write(0, b"n" * rig.neighbour.ram)
        rig.guest.memory.write(KEPT.start * PAGE, b"k" * PAGE * len(KEPT))
        self.reopen(dice.random() < 0.9)

    def reopen(self, ready=True):
        rig = self.rig
        rig.vsp.closed()
        while rig.backend.held:
            rig.backend.release()
        rig.host.env.run()
        assert rig.vsp.in_flight == 0
        rig.open(4)
        rig.errors.clear()
        if ready:
            rig.ready()

    def answers(self):
        """What has come, in a few words."""
        packets = self.rig.run()
        said = []
        for packet in packets:
            assert 48 <= len(packet.payload) <= 64
            answer = v.SRB.parse(packet.payload.ljust(v.SRB.size, b"\0"))
            assert answer.operation == v.COMPLETE_IO
            said.append((answer.status, answer.srb_status, answer.scsi_status))
        return tuple(said)


def step(machine, dice):
    rig = machine.rig
    what = dice.choice(("srb",) * 12 + ("protocol", "release", "release", "any", "noise", "reopen"))
    if what in ("noise", "any", "reopen", "protocol") and dice.random() < 0.5:
        what = "srb"
    if what == "srb":
        payload, ranges = request(dice)
        rig.end.send(payload, number(dice, 64), want_completion=True, ranges=ranges)
    elif what == "protocol":
        rig.end.send(bruised(dice, protocol(dice), 0.1), 1, want_completion=dice.random() < 0.95)
    elif what == "any":
        payload, ranges = request(dice)
        rig.end.send(bruised(dice, payload, 1), 2, want_completion=True, ranges=ranges)
    elif what == "release":
        if rig.backend.held:
            rig.backend.status = dice.choice((0, 0, 0, 1, 4))
            rig.backend.release(dice.randrange(len(rig.backend.held)))
            rig.backend.status = 0
    elif what == "noise":
        memory = dice.choice((rig.out, rig.back))
        memory.store32(dice.choice((WRITE, READ)), dice.choice((8 * dice.randrange(1600), number(dice, 32))))
        memory.write(DATA + 8 * dice.randrange(1000), dice.randbytes(64))
        rig.vsp.signalled()
        rig.host.env.run()
        found = len(rig.errors)
        machine.reopen()
        return what, found
    else:
        machine.reopen(dice.random() < 0.8)
        return (what,)
    said = machine.answers()
    if rig.errors:
        assert len(rig.errors) == 1
        reason = str(rig.errors[0])[:24]
        machine.reopen()
        return what, "closed", reason
    return what, said


def life(dice, operations, note):
    machine = Machine(dice)
    rig = machine.rig
    for _ in range(operations):
        try:
            note(step(machine, dice))
        except RingFull:
            note("full")
            if rig.backend.held:
                rig.backend.release()
            machine.answers()
        assert rig.vsp.in_flight <= 8
    machine.reopen()
    rig.backend.hold = False
    assert rig.srb("12 00 00 00 24 00", 36).srb_status == v.SRB_SUCCESS
    assert rig.neighbour.memory.read(0, rig.neighbour.ram) == b"n" * rig.neighbour.ram
    assert rig.guest.memory.read(KEPT.start * PAGE, PAGE * len(KEPT)) == b"k" * PAGE * len(KEPT)
    assert not rig.host.env._queue and rig.vsp.in_flight == 0
