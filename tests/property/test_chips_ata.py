"""A hostile guest at an ATA channel and its bus master, and a friendly one beside a dict."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.devices.ata.bmide import BusMaster
from vmio.devices.ata.channel import AtaChannel, AtaDisk
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.memory import HostMemory
from vmio.machine.storage import Image

SECTORS = 64
RAM = 1 << 17
COMMANDS = [0x06, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x42, 0x90, 0x91, 0xB0, 0xC4, 0xC5, 0xC6,
            0xC8, 0xCA, 0xE7, 0xEC, 0xEF, 0xF8]


class Rig:
    def __init__(self, later=False):
        self.queue = []
        service = (lambda kind, sectors, done: self.queue.append(done)) if later else None
        self.images = [Image.open(bytes([n]) * 512 * SECTORS) for n in range(3)]
        disks = [AtaDisk(image) for image in self.images]
        self.lines = Line("irq14"), Line("irq15")
        self.first = AtaChannel(Clock(), self.lines[0], disks[:2], service)
        self.other = AtaChannel(Clock(), self.lines[1], (disks[2], None), service)
        self.memory = HostMemory(RAM)
        self.bm = BusMaster(self.first, self.other, self.memory)

    def settle(self):
        while self.queue:
            self.queue.pop(0)()

    def command(self, opcode, lba, count, device=0xE0):
        for register, value in ((6, device | lba >> 24), (2, count & 0xFF), (3, lba & 0xFF), (4, lba >> 8 & 0xFF),
                                (5, lba >> 16 & 0xFF), (7, opcode)):
            self.first.command.write(register, 1, value)
        self.settle()

    def read(self, lba, count, device=0xE0):
        self.command(0x20, lba, count, device)
        data = b""
        for _ in range(count):
            data += self.first.command.read_block(2, 256)
            self.settle()
        return data

    def write(self, lba, data):
        self.command(0x30, lba, len(data) // 512)
        for at in range(0, len(data), 512):
            assert self.first.command.write_block(4, data[at:at + 512]) == 512
            self.settle()


def value(size):
    return st.integers(0, (1 << 8 * size) - 1)


size = st.sampled_from([1, 2, 4])
access = size.flatmap(lambda n: st.tuples(
    st.sampled_from(["command", "command", "control", "bm"]), st.booleans(), st.integers(0, 15), st.just(n), value(n)))
opcode = st.sampled_from(COMMANDS).map(lambda code: ("command", True, 7, 1, code))
start = st.sampled_from([("bm", True, 0, 1, 9), ("bm", True, 0, 1, 0), ("control", True, 0, 1, 4), ("control", True, 0, 1, 0)])
blocks = st.tuples(st.sampled_from(["ins", "outs"]), st.just(True), st.integers(1, 3000), st.sampled_from([2, 4]), st.just(0))
settled = st.just(("settle", True, 0, 1, 0))
program = st.lists(st.one_of(access, access, opcode, start, blocks, settled), max_size=60)


def play(rig, steps):
    for target, is_write, offset, width, data in steps:
        if target == "settle":
            if rig.queue:
                rig.queue.pop(0)()
        elif target == "ins":
            assert len(rig.first.command.read_block(width, offset)) <= width * offset
        elif target == "outs":
            assert 0 < rig.first.command.write_block(width, bytes(width * offset)) <= width * offset
        else:
            device = rig.bm if target == "bm" else getattr(rig.first, target)
            if target == "bm":
                offset &= 7
            try:
                if is_write:
                    device.write(offset, width, data)
                else:
                    assert 0 <= device.read(offset, width) < 1 << 8 * width
            except BadAccess:
                pass


@given(program, st.booleans())
@settings(max_examples=300, deadline=None)
def test_garbage_is_contained_and_a_reset_cures(steps, later):
    rig = Rig(later)
    play(rig, steps)
    assert rig.other.save() == Rig(later).other.save() and rig.images[2].read(0, SECTORS) == b"\x02" * 512 * SECTORS
    assert rig.lines[1].level == 0
    rig.settle()
    rig.first.control.write(0, 1, 0)
    rig.first.control.write(0, 1, 4)
    rig.settle()
    rig.first.control.write(0, 1, 0)
    assert rig.first.control.read(0, 1) == 0x50
    for device, image in ((0xE0, rig.images[0]), (0xF0, rig.images[1])):
        assert rig.read(3, 2, device) == image.read(3, 2)
    rig.first.reset()
    assert rig.first.command.read(3, 1) == 1 and rig.lines[0].level == 0
    assert rig.read(0, 1) == rig.images[0].read(0)


@given(program)
@settings(max_examples=100, deadline=None)
def test_a_checkpoint_changes_nothing(steps):
    rig, twin = Rig(), Rig()
    play(rig, steps)
    twin.bm.restore(rig.bm.save())
    twin.first.command.restore(rig.first.command.save())
    assert twin.first.save() == rig.first.save() and twin.bm.save() == rig.bm.save()


span = st.tuples(st.integers(0, SECTORS - 1), st.integers(1, 8)).map(lambda s: (s[0], min(s[1], SECTORS - s[0])))
request = st.tuples(st.sampled_from(["pio read", "pio write", "dma read", "dma write"]), span, st.integers(0, 255))


@given(st.lists(request, max_size=25), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_disk_is_a_dict_of_sectors(requests, later):
    rig, model = Rig(later), {}
    for number, (kind, (lba, count), seed) in enumerate(requests):
        data = b"".join(struct.pack("<HBB", number, seed, n % 256) for n in range(128 * count))
        expected = b"".join(model.get(at, bytes(512)) for at in range(lba, lba + count))
        if kind == "pio read":
            assert rig.read(lba, count) == expected
        elif kind == "pio write":
            rig.write(lba, data)
        else:
            half = 256 * count & ~1
            rig.memory.write(0x8000, struct.pack("<IIII", 0x10000, half, 0x18000, len(data) - half | 1 << 31))
            if kind == "dma write":
                rig.memory.write(0x10000, data[:half])
                rig.memory.write(0x18000, data[half:])
            rig.bm.write(4, 4, 0x8000)
            rig.command(0xC8 if kind == "dma read" else 0xCA, lba, count)
            rig.bm.write(0, 1, 9)
            rig.settle()
            assert rig.bm.read(2, 1) & 5 == 4 and rig.first.command.read(7, 1) == 0x50
            rig.bm.write(0, 1, 0)
            rig.bm.write(2, 1, 4)
            if kind == "dma read":
                assert rig.memory.read(0x10000, half) + rig.memory.read(0x18000, len(data) - half) == expected
        if kind.endswith("write"):
            model.update((lba + n, data[512 * n:512 * n + 512]) for n in range(count))
    assert rig.images[0].read(0, SECTORS) == b"".join(model.get(at, bytes(512)) for at in range(SECTORS))


class Fence:
    """Memory that remembers where it was touched and how often."""

    def __init__(self, memory):
        self.memory, self.touches = memory, 0

    def read(self, address, length):
        self.touches += 1
        return self.memory.read(address, length)

    def write(self, address, data):
        self.touches += 1
        self.memory.write(address, data)


entry = st.tuples(st.one_of(st.integers(0, 2 * RAM), value(4)), value(4))


@given(st.lists(entry, max_size=20), st.one_of(st.integers(0, RAM + 64), value(4)), st.sampled_from([0xC8, 0xCA, 0x06]),
       st.integers(0, SECTORS), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_hostile_table_stays_within_memory_and_within_bounds(entries, table, code, lba, count):
    rig = Rig()
    fence = Fence(rig.memory)
    for engine in rig.bm.engines:
        engine.memory = fence
    packed = b"".join(struct.pack("<II", *e) for e in entries)
    if table + len(packed) <= RAM:
        rig.memory.write(table & ~3, packed)
    rig.bm.write(4, 4, table)
    rig.first.command.write(1, 1, 1)
    rig.command(code, lba, count)
    rig.bm.write(0, 1, 9)
    assert fence.touches <= 512 + 3 * 512 + 2 * 64 * SECTORS
    assert rig.bm.read(2, 1) & 0x02 == 0 and rig.first.control.read(0, 1) in (0x50, 0x41)
    rig.bm.write(0, 1, 0)
    assert rig.bm.read(2, 1) & 1 == 0
    assert rig.read(0, 1) == rig.images[0].read(0)
