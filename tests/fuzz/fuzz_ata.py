"""An ATA channel and its bus master: commands with a register wrong, PRD tables that lie, transfers cut short."""

import struct

from tests.fuzz.engine import number
from tests.ata_rig import COMMANDS, RAM, SECTORS, Fence, Rig
from vmio.machine.bus import BadAccess

TABLE = 0x8000
KINDS = ("task",) * 6 + ("start", "register") * 3 + ("transfer", "prd", "settle", "ins", "outs") * 2 + ("control", "geometry")
MAX_TOUCHES = 512 + 4 * SECTORS        # of memory in one action: a whole table, and the pieces of all sectors


class Machine(Rig):
    """Two disks on one channel, a third on the other; the bus master's memory counts how often it is touched."""

    def __init__(self, dice):
        super().__init__(dice.random() < 0.5)
        self.later = bool(self.first.service)
        self.fence = Fence(self.memory)
        for engine in self.bm.engines:
            engine.memory = self.fence

    def task(self, dice):
        """A whole command, register by register, with one wrong now and then."""
        code = dice.choice((0x20, 0xC4, 0xC8, 0xCA, 0x30, 0xEC, 0x25, 0x35, dice.choice(COMMANDS), dice.randrange(256)))
        lba, count = dice.choice((dice.randrange(SECTORS), SECTORS - 1, number(dice, 28))), dice.choice((1, 2, 8, 0, 255))
        select = dice.choice((0xE0, 0xE0, 0xE0, 0xA0)) | dice.choice((0, 0, 0x10))
        for register, value in ((6, select | lba >> 24 & 0xF), (2, count), (3, lba & 0xFF), (4, lba >> 8 & 0xFF),
                                (5, lba >> 16 & 0xFF), (7, code)):
            if register != 7 and dice.random() < 0.1:
                register, value = dice.randrange(1, 7), dice.randrange(256)
            self.first.command.write(register, 1, value)
        return "command", code, self.first.control.read(0, 1)

    def prd(self, dice):
        """A table of physical regions; the bus master is pointed at it, or beside it."""
        entries, table = dice.randrange(1, 5), b""
        for n in range(entries):
            at, length = 0x10000 + 0x1000 * n, dice.choice((512, 1024, 4096, 0))
            if dice.random() < 0.1:
                at = dice.choice((RAM - 512, RAM, RAM + 512, number(dice, 32)))
            if dice.random() < 0.2:
                length = number(dice, 16)
            last = n == entries - 1 and dice.random() < 0.9
            table += struct.pack("<II", at, min(length or 0x4000, 0x4000) | last << 31)
        self.memory.write(TABLE, table)
        self.bm.write(4, 4, dice.choice((TABLE, TABLE, TABLE, TABLE + 2, RAM - 8, RAM, number(dice, 32) | 1 << 20)))
        return ("prd",)

    def step(self, dice, kind):
        try:
            return self.act(dice, kind)
        except BadAccess:
            return ("bad access",)

    def act(self, dice, kind):
        channel = self.first
        if kind == "task":
            return self.task(dice)
        if kind == "prd":
            return self.prd(dice)
        if kind == "start":
            value = dice.choice((9, 1, 9, 1, 0, 8, number(dice, 8)))
            self.bm.write(0, 1, value)
            return kind, value & 9, self.bm.read(2, 1), channel.control.read(0, 1)
        if kind == "settle":
            if self.queue:
                self.queue.pop(dice.randrange(len(self.queue)))()
        elif kind == "ins":
            return kind, len(channel.command.read_block(dice.choice((2, 4)), dice.randrange(1, 600))) // 512
        elif kind == "outs":
            width = dice.choice((2, 4))
            if dice.random() < 0.2:         # a word, dwords, and a dword across the end of the block
                channel.command.write(0, 2, 0x1234)
                channel.command.write_block(4, bytes(4 * 600))
                channel.command.write(0, 4, 0x12345678)
            return kind, channel.command.write_block(width, bytes(width * dice.randrange(1, 600))) // 512
        elif kind == "transfer":            # all that a DMA command takes, in order
            channel.control.write(0, 1, 0)
            self.bm.write(0, 1, 0)
            self.prd(dice)
            self.command(dice.choice((0xC8, 0xCA)), dice.randrange(SECTORS - 8), dice.randrange(1, 9))
            self.bm.write(0, 1, 9)
            return kind, self.bm.read(2, 1), channel.control.read(0, 1)
        elif kind == "control":
            channel.control.write(0, 1, dice.choice((0, 2, 4, 0, 0x80)))
        elif kind == "geometry":        # heads and sectors of the CHS addresses
            for register, value in ((6, 0xA0 | dice.randrange(16)), (2, dice.choice((0, 1, 63))), (7, 0x91)):
                channel.command.write(register, 1, value)
        else:
            return self.register(dice)
        return kind, channel.control.read(0, 1)

    def register(self, dice):
        """One access to one register, the data port among them."""
        size = dice.choice((1, 2, 4))
        device = dice.choice((self.first.command, self.first.command, self.first.control, self.bm))
        offset = dice.choice((0, dice.randrange(8)))
        if dice.random() < 0.5:
            value = device.read(offset, size)
            assert 0 <= value < 1 << 8 * size
            return "read", offset, size, value & 0xFF
        value = number(dice, 8 * size)
        device.write(offset, size, value if device is not self.bm or offset < 4 else value & 0xFFF0_FFFF)
        return "write", offset, size

    def check(self):
        """Nothing grows or goes on without end, and nothing leaves the window."""
        assert len(self.queue) < 400, "requests without end"
        assert len(self.first.clock._heap) < 200, "timers without end"
        assert self.fence.touches <= MAX_TOUCHES, "a table without end"
        self.fence.touches = 0
        engine = self.first.dma
        if engine.segments:     # a transfer is on its way: its table has room for all of it
            assert sum(length for _, length in engine.segments) == 512 * self.first.selected.count, "a table too short"
        assert self.first._at <= self.first._end <= len(self.first._window) or not self.first._direction, "past the window"

    def end(self):
        """The other channel has noticed nothing; after a reset both disks of this one read as they should."""
        assert self.other.save() == Rig(self.later).other.save()
        assert self.images[2].read(0, SECTORS) == b"\x02" * 512 * SECTORS
        assert self.lines[1].level == 0 and self.memory.size == RAM == len(self.memory.bytes)
        self.settle()
        self.bm.write(0, 1, 0)
        for value in (0, 4):
            self.first.control.write(0, 1, value)
        self.settle()
        self.first.control.write(0, 1, 0)
        assert self.first.control.read(0, 1) == 0x50
        for device, image in ((0xE0, self.images[0]), (0xF0, self.images[1])):
            assert self.read(3, 2, device) == image.read(3, 2)
