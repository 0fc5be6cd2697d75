"""Virtio devices over PCI: registers, rings and requests that are nearly right, from a driver whose memory has a fence.

A disk or a card, with a split queue or a packed one; what comes late reaches nobody; after a reset an honest driver is served.
"""

import struct

from tests.fuzz.engine import number
from vmio.machine.memory import HostMemory
from vmio.machine.net.cable import Cable
from vmio.machine.pagetable import READ, WRITE, AddressSpace, PageTable
from vmio.machine.storage import Image
from vmio.virtio import blk, net
from vmio.virtio import features as f
from vmio.virtio import pci_wire as p
from vmio.virtio.blk import Blk, MediumStore
from vmio.virtio.blk_wire import HEADER, IN, OUT, RANGE
from vmio.virtio.net import Net
from vmio.virtio.pci import VirtioFunction
from vmio.virtio.queue import PackedDriver, SplitDriver
from vmio.virtio.queue.driver import BadAnswer, QueueFull
from vmio.virtio.queue.wire import AVAIL, USED

KINDS = ("request",) * 6 + ("ring",) * 3 + ("table", "index", "event", "kick", "kick", "register", "register", "read", "done", "done", "frame", "again", "reset one")
PAGES, SECRET = 32, b"\x5A" * 4096
DESCRIPTORS, DRIVER, DEVICE, TABLES, DATA, READ_ONLY = 0x0000, 0x1000, 0x2000, 0x4000, 0xA000, 0x1F000
SIZE, SECTORS = 8, 64
AT = {field.name: (field.offset, min(field.size, 4)) for field in p.COMMON_CONFIG.fields}


class Machine:
    """A device whose DMA reaches `PAGES` pages, the last of them read-only; around them secrets."""

    def __init__(self, dice):
        memory = HostMemory(2 << 20)
        below, spa, above = memory.allocate(1), memory.allocate(PAGES), memory.allocate(1)
        table = PageTable(memory)
        table.map(0, spa, (PAGES - 1) * 4096, READ | WRITE)
        table.map(READ_ONLY, spa + READ_ONLY, 4096, READ)
        self.secrets = below, spa + READ_ONLY, above
        for at in self.secrets:
            memory.write(at, SECRET)
        self.host, self.memory = memory, AddressSpace(memory, table)
        self.pending, self.sent, self.calls, self.packed = [], [], 0, dice.random() < 0.5
        self.image = Image(bytearray(SECTORS * 512), "disk")
        extra = f.RING_PACKED | f.IN_ORDER * (dice.random() < 0.5)
        if dice.random() < 0.7:
            service = (lambda op, sectors, done: self.pending.append(done)) if dice.random() < 0.5 else None
            self.device = Blk(self.memory, MediumStore(self.image, service), (SIZE, SIZE), "FUZZ", blk.FEATURES | extra)
        else:
            self.device, cable = Net(self.memory, b"\x52\x54\0\x12\x34\x56", (SIZE, SIZE, SIZE), net.FEATURES | extra), Cable()
            self.device.plug_in(cable.ends[0])
            cable.ends[1].connect(self)
            self.wire = cable.ends[1]
        self.function = VirtioFunction(self.device)
        self.function.message = lambda address, data: None
        self.function.reach(self.memory)
        self.function.write(4, 2, 6)
        self.bar = self.function.bars[p.BAR].registers
        self.up(dice)

    def receive(self, frame):
        assert len(frame) >= 60
        return True

    def link_changed(self, up):
        pass

    def put(self, name, value):
        self.bar.write(*AT[name], value)

    def up(self, dice, honest=False):
        """A driver starts the device, nearly as it should."""
        self.bar.write(*AT["device_status"], 0)
        for status in (1, 3):
            self.put("device_status", status)
        agreed = f.VERSION_1 | f.RING_PACKED * self.packed
        if not honest:
            agreed |= self.device.features & dice.choice((0, f.INDIRECT_DESC, f.EVENT_IDX, f.INDIRECT_DESC | f.EVENT_IDX, f.IN_ORDER, f.IN_ORDER | f.INDIRECT_DESC, number(dice, 41)))
            agreed |= net.w.MRG_RXBUF & self.device.features
        for half in (0, 1):
            self.put("driver_feature_select", half)
            self.put("driver_feature", agreed >> 32 * half & 0xFFFF_FFFF)
        self.put("device_status", 11)
        self.memory.write(0, bytes(DATA))
        for number_ in range(2):
            self.put("queue_select", number_)
            for name, at in (("queue_desc", DESCRIPTORS), ("queue_driver", DRIVER), ("queue_device", DEVICE)):
                self.put(name, at + 0x8000 * number_ if honest or dice.random() < 0.97 else number(dice, 32))
            self.put("queue_enable", 1)
        self.agreed = self.device.agreed
        self.driver = (PackedDriver if self.agreed & f.RING_PACKED else SplitDriver)(
            self.memory, SIZE, DESCRIPTORS, DRIVER, DEVICE, tables=TABLES if self.agreed & f.INDIRECT_DESC else None,
            event_idx=bool(self.agreed & f.EVENT_IDX))
        self.put("device_status", 15)

    def piece(self, dice):
        address = dice.choice((DATA, DATA + 0x800, DATA + 4096 * dice.randrange(16), READ_ONLY, READ_ONLY + 4090, number(dice, 64), 0, TABLES))
        return address, dice.choice((512, 512, 1024, 1, 4096, 16, 0, number(dice, 32)))

    def step(self, dice, kind):
        device, before = self.device, self.device.broken
        if kind == "request":
            header = HEADER.pack(type=dice.choice((IN, IN, OUT, OUT, 4, 8, 11, 13, number(dice, 32))), sector=dice.choice((0, 1, 62, 64, number(dice, 64))))
            self.memory.write(DATA, header)
            self.memory.write(DATA + 16, RANGE.pack(sector=dice.randrange(70), sectors=dice.choice((0, 1, 4, number(dice, 32))), flags=dice.choice((0, 0, 1, 2))))
            out, into = [(DATA, dice.choice((16, 16, 16, 32, 15)))], [(DATA + 0x100, 1)]
            for _ in range(dice.randrange(3)):
                (out if dice.random() < 0.5 else into).insert(1 if dice.random() < 0.5 else 0, self.piece(dice))
            try:
                self.driver.add(out, into, kind)
            except QueueFull:
                return kind, "full"
            self.driver.publish()
            device.kick(dice.choice((0, 0, 0, 1)))
            try:
                while self.driver.reap() is not None:
                    pass
            except BadAnswer:
                return kind, "an answer to what nobody asked"       # the rings hold what this driver has not written
        elif kind == "ring":
            at, (address, length) = DESCRIPTORS + 16 * dice.randrange(SIZE), self.piece(dice)
            flags = dice.getrandbits(3) | dice.choice((0, AVAIL, USED, AVAIL | USED))
            if dice.random() < 0.3:
                address, length, flags = TABLES, 16 * dice.randrange(1, 4), 4 | flags & ~7
            words = (flags, dice.randrange(10)) if not self.packed else (dice.randrange(10), flags)
            self.memory.write(at, struct.pack("<QI2H", address, length, *words))
        elif kind == "table":
            for at in range(TABLES, TABLES + 16 * dice.randrange(1, 6), 16):
                self.memory.write(at, struct.pack("<QI2H", *self.piece(dice), dice.getrandbits(3), dice.randrange(6)))
        elif kind == "index":
            self.memory.write(DRIVER + 2 * dice.randrange(SIZE + 3), number(dice, 16).to_bytes(2, "little"))
        elif kind == "event":
            self.memory.write(dice.choice((DRIVER + 4 + 2 * SIZE, DEVICE + 4 + 8 * SIZE, DRIVER, DEVICE)), number(dice, 32).to_bytes(4, "little"))
        elif kind == "kick":
            self.bar.write(p.NOTIFY_AT + dice.choice((0, 0, 4, 8, dice.randrange(0xFFF))), dice.choice((1, 2, 4)), number(dice, 16))
        elif kind == "register":
            name = dice.choice(list(AT))
            self.bar.write(AT[name][0] + dice.choice((0, 0, 0, 1, 4)), dice.choice((1, 2, 4)), dice.choice((0, 1, 2, 8, 15, number(dice, 32))))
        elif kind == "read":
            size, at = dice.choice((1, 2, 4)), dice.randrange(p.BAR_BYTES - 4)
            value = self.bar.read(at, size)
            assert 0 <= value < 1 << 8 * size
            return kind, at // p.PART, value != 0
        elif kind == "done":
            if self.pending:
                self.pending.pop(dice.randrange(len(self.pending)))()
        elif kind == "frame":
            if isinstance(device, Net):
                self.wire.send(dice.choice((b"\xff" * 6, b"\x52\x54\0\x12\x34\x56")) + bytes(dice.choice((54, 200, 1508))))
        elif kind == "reset one":
            self.put("queue_select", dice.randrange(3))
            self.put("queue_reset", 1)
            for name, at in (("queue_desc", DESCRIPTORS), ("queue_driver", DRIVER), ("queue_device", DEVICE), ("queue_enable", 1)):
                self.put(name, at)
        else:
            self.again(dice)
        assert before is None or device.broken in (None, before), "the first thing that was wrong is the one that is kept"
        return kind, device.read_status(), (device.broken or "")[:24], len(device.queues), len(self.pending)

    def again(self, dice, honest=False):
        """The driver resets the device: what was under way comes back, and changes nothing."""
        self.put("device_status", 0)
        before = self.memory.read(0, PAGES * 4096)
        while self.pending:
            assert self.device.read_status(), "a reset that is over while requests are under way"
            self.pending.pop()()
        assert self.device.read_status() == 0 and not self.device.queues
        if not isinstance(self.device, Blk) or self.device.store.service is None:
            assert self.memory.read(0, PAGES * 4096) == before
        self.up(dice, honest)

    def check(self):
        """The secrets are as they were, and what is broken takes nothing."""
        for at in self.secrets:
            assert self.host.read(at, 4096) == SECRET
        if self.device.broken is not None:
            assert self.device.status & f.NEEDS_RESET
        assert all(queue.in_flight >= 0 for queue in self.device.queues.values()), "a queue was given back what it had not lent"

    def end(self):
        """After a reset an honest request is answered."""
        self.function.write(4, 2, 6)
        self.again(None, honest=True)
        assert self.device.status == 15, "an honest driver comes up"
        if isinstance(self.device, Blk):
            self.image.write(3, b"honest" * 85 + b"..")
            self.memory.write(DATA, HEADER.pack(type=IN, sector=3))
            self.driver.add([(DATA, 16)], [(DATA + 0x1000, 512), (DATA + 0x2000, 1)], "honest")
            self.driver.publish()
            self.device.kick(0)
            while self.pending:
                self.pending.pop()()
            assert self.driver.reap() == ("honest", 513)
            assert self.memory.read(DATA + 0x1000, 512) == b"honest" * 85 + b".." and self.memory.read(DATA + 0x2000, 1) == b"\0"
        else:
            self.driver.add([], [(DATA, 2048)], "honest")
            self.driver.publish()
            assert self.wire.send(b"\xff" * 60) and self.driver.reap() == ("honest", 72)
