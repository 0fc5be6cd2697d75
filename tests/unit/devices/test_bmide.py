"""Bus-master IDE: registers, the descriptor table, and what a bad table does."""

import struct

import pytest

from vmio.devices.ata.bmide import BusMaster
from vmio.devices.ata.channel import AtaChannel, AtaDisk
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.memory import HostMemory
from vmio.machine.storage import Image

COMMAND, STATUS, TABLE = 0, 2, 4
RAM = 1 << 20
EOT = 1 << 31


def pattern(lba):
    return struct.pack("<QQ", lba, ~lba & (1 << 64) - 1) * 32


class Rig:
    def __init__(self, later=False):
        self.queue, self.line = [], Line("irq14")
        self.image = Image.open(b"".join(map(pattern, range(2048))))
        service = (lambda op, sectors, done: self.queue.append(done)) if later else None
        self.channel = AtaChannel(Clock(), self.line, (AtaDisk(self.image), None), service)
        self.memory = HostMemory(RAM)
        self.bm = BusMaster(self.channel, AtaChannel(Clock(), Line("irq15")), self.memory)

    def table(self, *entries, at=0x8000):
        self.memory.write(at, b"".join(struct.pack("<II", *entry) for entry in entries))
        self.bm.write(TABLE, 4, at)

    def issue(self, opcode, lba, count, feature=0):
        for register, value in ((6, 0xE0), (1, feature), (2, count), (3, lba & 0xFF), (4, lba >> 8), (5, 0), (7, opcode)):
            self.channel.command.write(register, 1, value)

    def run(self, opcode, lba, count, feature=0):
        self.bm.write(STATUS, 1, 0x06)
        self.issue(opcode, lba, count, feature)
        self.bm.write(COMMAND, 1, 0x09)
        while self.queue:
            self.queue.pop(0)()
        result = self.bm.read(STATUS, 1), self.channel.control.read(0, 1), self.line.level
        self.channel.command.read(7, 1)
        self.bm.write(COMMAND, 1, 0x00)
        return result


def test_read_into_two_regions():
    rig = Rig()
    rig.table((0x10000, 0x300), (0x20002, 0x100 | EOT))
    assert rig.run(0xC8, 5, 2) == (0x04, 0x50, 1)
    data = pattern(5) + pattern(6)
    assert rig.memory.read(0x10000, 0x300) == data[:0x300] and rig.memory.read(0x20002, 0x100) == data[0x300:]
    assert rig.memory.read(0x10300, 16) == bytes(16)


def test_write_gathers():
    rig = Rig()
    rig.memory.write(0x10000, b"A" * 0x1FE)
    rig.memory.write(0x30000, b"B" * 0x202)
    rig.table((0x10000, 0x1FE), (0x30000, 0x202 | EOT))
    assert rig.run(0xCA, 9, 2) == (0x04, 0x50, 1)
    assert rig.image.read(9, 2) == b"A" * 0x1FE + b"B" * 0x202 and rig.image.read(11) == pattern(11)


def test_status_bits():
    rig = Rig(later=True)
    rig.table((0x10000, 0x200 | EOT))
    rig.issue(0xC8, 1, 1)
    assert rig.channel.control.read(0, 1) == 0x58 and rig.bm.read(STATUS, 1) == 0
    rig.bm.write(COMMAND, 1, 0x09)
    assert rig.bm.read(STATUS, 1) == 0x01 and rig.channel.control.read(0, 1) == 0x58 and rig.line.level == 0
    rig.queue.pop()()
    assert rig.bm.read(STATUS, 1) == 0x04 and rig.line.level == 1
    rig.bm.write(STATUS, 1, 0x60)
    assert rig.bm.read(STATUS, 1) == 0x64
    rig.bm.write(STATUS, 1, 0x04)
    assert rig.bm.read(STATUS, 1) == 0x00 and rig.bm.read(COMMAND, 1) == 0x09


def test_start_before_the_command():
    rig = Rig()
    rig.table((0x10000, 0x200 | EOT))
    rig.bm.write(COMMAND, 1, 0x09)
    assert rig.bm.read(STATUS, 1) == 0x01
    rig.issue(0xC8, 3, 1)
    assert rig.bm.read(STATUS, 1) == 0x04 and rig.memory.read(0x10000, 512) == pattern(3)


def test_count_zero_is_64_kib():
    rig = Rig()
    rig.table((0x10000, EOT))
    assert rig.run(0xC8, 0, 128) == (0x04, 0x50, 1)
    assert rig.memory.read(0x10000, 65536) == b"".join(map(pattern, range(128)))


def test_too_long_a_table_leaves_active_set():
    rig = Rig()
    rig.table((0x10000, 0x400 | EOT))
    assert rig.run(0xC8, 7, 1) == (0x05, 0x50, 1)
    assert rig.memory.read(0x10000, 1024) == pattern(7) + bytes(512)
    assert rig.bm.read(STATUS, 1) == 0x04  # `run` cleared START


def test_too_short_a_table_moves_nothing_and_tells_nobody():
    rig = Rig()
    rig.table((0x10000, 0x200 | EOT))
    assert rig.run(0xC8, 7, 2) == (0x00, 0x50, 0)
    assert rig.memory.read(0x10000, 512) == bytes(512)
    rig.table((0x10000, 0x400 | EOT))
    assert rig.run(0xC8, 7, 2) == (0x04, 0x50, 1)


def test_beyond_the_disk_is_the_disks_error():
    rig = Rig()
    rig.table((0x10000, 0x400 | EOT))
    assert rig.run(0xC8, 2047, 2) == (0x04, 0x41, 1)


def test_no_end_of_table_ends_after_4_kib_of_descriptors():
    rig = Rig()
    rig.table(*[(0x10000, 2)] * 600)
    assert rig.run(0xC8, 1, 2) == (0x04, 0x50, 1)   # 512 descriptors of 2 bytes are just enough
    rig.table(*[(0x10000, 2)] * 600)
    assert rig.run(0xC8, 1, 3) == (0x00, 0x50, 0)


@pytest.mark.parametrize("table", [RAM, RAM - 8, 0xFFFFFFF8])
def test_a_table_that_leaves_memory_reads_as_ones(table):
    rig = Rig()
    rig.memory.write(RAM - 8, struct.pack("<II", 0x10000, 0x200))
    before = rig.memory.read(0, RAM)
    rig.bm.write(TABLE, 4, table)
    status, disk, _ = rig.run(0xC8, 1, 8)
    assert status & 0x01 and disk == 0x50  # an all-ones descriptor: 65,534 bytes at the top, end of table
    after = rig.memory.read(0, RAM)
    assert after[:0x10000] == before[:0x10000] and after[0x10200:] == before[0x10200:]


def test_data_beyond_memory_reads_as_ones_and_is_dropped():
    rig = Rig()
    rig.table((RAM - 0x100, 0x200 | EOT))
    rig.run(0xCA, 1, 1)
    assert rig.image.read(1) == bytes(0x100) + b"\xff" * 0x100
    rig.run(0xC8, 2, 1)
    assert rig.memory.read(RAM - 0x100, 0x100) == pattern(2)[:0x100]


def test_stop_lets_a_transfer_under_way_finish():
    rig = Rig(later=True)
    rig.table((0x10000, 0x200 | EOT))
    rig.issue(0xC8, 3, 1)
    rig.bm.write(COMMAND, 1, 0x09)
    rig.bm.write(COMMAND, 1, 0x08)
    assert rig.bm.read(STATUS, 1) == 0x04 and rig.memory.read(0x10000, 512) == pattern(3)
    rig.queue.pop()()  # the medium's own news comes too late to matter
    assert rig.channel.control.read(0, 1) == 0x50


def test_stop_before_the_command_and_reset_of_an_armed_device():
    rig = Rig()
    rig.table((0x10000, 0x200 | EOT))
    rig.issue(0xC8, 3, 1)
    rig.channel.control.write(0, 1, 0x04)
    rig.channel.control.write(0, 1, 0x00)
    rig.bm.write(COMMAND, 1, 0x09)
    assert rig.memory.read(0x10000, 512) == bytes(512)


def test_trim_checks_its_ranges():
    rig = Rig()
    rig.memory.write(0x10000, struct.pack("<3Q", 5 | 3 << 48, 0, 2047 | 1 << 48))
    rig.table((0x10000, 0x200 | EOT))
    assert rig.run(0x06, 0, 1, feature=1)[:2] == (0x04, 0x50)
    assert rig.image.read(4, 5) == pattern(4) + bytes(3 * 512) + pattern(8) and rig.image.read(2047) == bytes(512)
    rig.memory.write(0x10000, struct.pack("<2Q", 9 | 1 << 48, 2047 | 2 << 48))
    assert rig.run(0x06, 0, 1, feature=1)[:2] == (0x04, 0x41)
    assert rig.image.read(9) == pattern(9)  # one bad range: none is discarded


def test_registers():
    rig = Rig()
    rig.bm.write(TABLE, 4, 0x12345677)
    assert rig.bm.read(TABLE, 4) == 0x12345674 and rig.bm.read(5, 1) == 0x56 and rig.bm.read(6, 2) == 0x1234
    rig.bm.write(TABLE + 8, 2, 0xABCD)
    assert rig.bm.read(12, 4) == 0xABCC and rig.bm.read(TABLE, 4) == 0x12345674
    rig.bm.write(8, 1, 0xFE)
    assert rig.bm.read(8, 1) == 0x08
    assert rig.bm.read(1, 2) == 0x00FF and rig.bm.read(6, 4) == 0xFFFF1234
    for offset, size in ((0, 2), (0, 4), (1, 1), (3, 1), (16, 1)):
        with pytest.raises(BadAccess):
            rig.bm.read(offset, size)


def test_checkpoint_of_a_transfer_under_way():
    rig = Rig(later=True)
    rig.table((0x10000, 0x200 | EOT))
    rig.issue(0xC8, 3, 1)
    rig.bm.write(COMMAND, 1, 0x09)
    other = Rig(later=True)
    other.bm.restore(rig.bm.save())
    other.channel.command.restore(rig.channel.command.save())
    other.queue.pop()()
    assert other.memory.read(0x10000, 512) == pattern(3) and other.bm.read(STATUS, 1) == 0x04
