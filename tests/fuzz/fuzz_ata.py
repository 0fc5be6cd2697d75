"""An ATA channel and its bus master: commands with a register wrong, PRD tables that lie, transfers cut short."""

import struct

from tests.fuzz.engine import number
from tests.property.test_chips_ata import COMMANDS, RAM, SECTORS, Rig
from vmio.machine.bus import BadAccess

TABLE = 0x8000


def task(rig, dice):
    """A whole command, register by register, with one wrong now and then."""
    code = dice.choice((0x20, 0xC4, 0xC8, 0xCA, 0x30, 0xEC, 0x25, 0x35, dice.choice(COMMANDS), dice.randrange(256)))
    lba, count = dice.choice((dice.randrange(SECTORS), SECTORS - 1, number(dice, 28))), dice.choice((1, 2, 8, 0, 255))
    for register, value in ((6, 0xE0 | dice.choice((0, 0, 0x10)) | lba >> 24 & 0xF), (2, count), (3, lba & 0xFF),
                            (4, lba >> 8 & 0xFF), (5, lba >> 16 & 0xFF), (7, code)):
        if register != 7 and dice.random() < 0.1:
            register, value = dice.randrange(1, 7), dice.randrange(256)
        rig.first.command.write(register, 1, value)
    return "command", code, rig.first.control.read(0, 1)


def prd(rig, dice):
    """A table of physical regions; the bus master is pointed at it, or beside it."""
    entries = dice.randrange(1, 5)
    table = b""
    for n in range(entries):
        at, length = 0x10000 + 0x1000 * n, dice.choice((512, 1024, 4096, 0))
        if dice.random() < 0.1:
            at = dice.choice((RAM - 512, RAM, RAM + 512, number(dice, 32)))
        if dice.random() < 0.1:
            length = number(dice, 16)
        last = n == entries - 1 and dice.random() < 0.9
        table += struct.pack("<II", at, min(length or 0x4000, 0x4000) | last << 31)
    rig.memory.write(TABLE, table)
    rig.bm.write(4, 4, dice.choice((TABLE, TABLE, TABLE, TABLE + 2, RAM - 8, RAM, number(dice, 32) | 1 << 20)))
    return ("prd",)


def step(rig, dice):
    what = dice.randrange(20)
    if what < 5:
        return task(rig, dice)
    if what < 7:
        return prd(rig, dice)
    if what < 10:
        value = dice.choice((9, 1, 9, 1, 0, 8, number(dice, 8)))
        rig.bm.write(0, 1, value)
        return "start", value & 9, rig.bm.read(2, 1), rig.first.control.read(0, 1)
    if what < 12:
        if rig.queue:
            rig.queue.pop(dice.randrange(len(rig.queue)))()
        return "settle", rig.first.control.read(0, 1)
    if what < 14:
        width = dice.choice((2, 4))
        got = rig.first.command.read_block(width, dice.randrange(1, 600))
        return "ins", len(got) // 512
    if what < 16:
        width = dice.choice((2, 4))
        taken = rig.first.command.write_block(width, bytes(width * dice.randrange(1, 600)))
        return "outs", taken // 512
    if what == 16:
        rig.first.control.write(0, 1, dice.choice((0, 2, 4, 0, 0x80)))
        return "control", rig.first.control.read(0, 1)
    size = dice.choice((1, 2, 4))
    device = dice.choice((rig.first.command, rig.first.command, rig.first.control, rig.bm))
    offset = dice.randrange(8)
    if dice.random() < 0.5:
        value = device.read(offset, size)
        assert 0 <= value < 1 << 8 * size
        return "read", offset, size, value & 0xFF
    device.write(offset, size, number(dice, 8 * size) & (0xFFFF_FFFF if device is not rig.bm or offset < 4 else 0xFFF0_FFFF))
    return "write", offset, size


def life(dice, operations, note):
    later = dice.random() < 0.5
    rig = Rig(later)
    for _ in range(operations):
        try:
            note(step(rig, dice))
        except BadAccess:
            note("bad access")
        assert len(rig.queue) < 400, "requests without end"
        assert len(rig.first.clock._heap) < 200, "timers without end"
    assert rig.other.save() == Rig(later).other.save() and rig.images[2].read(0, SECTORS) == b"\x02" * 512 * SECTORS
    assert rig.lines[1].level == 0 and rig.memory.size == RAM == len(rig.memory.bytes)
    rig.settle()
    rig.bm.write(0, 1, 0)
    for value in (0, 4):
        rig.first.control.write(0, 1, value)
    rig.settle()
    rig.first.control.write(0, 1, 0)
    assert rig.first.control.read(0, 1) == 0x50
    for device, image in ((0xE0, rig.images[0]), (0xF0, rig.images[1])):
        assert rig.read(3, 2, device) == image.read(3, 2)
