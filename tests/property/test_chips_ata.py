"""A disk on an ATA channel beside a dict of sectors; and a checkpoint in the middle of anything changes nothing."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ata_rig import COMMANDS, SECTORS, Rig
from vmio.machine.bus import BadAccess


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
