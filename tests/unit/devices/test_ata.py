"""An ATA channel from the driver's side: protocols, addresses, errors, resets."""

import struct

import pytest

from vmio.devices.ata.channel import AtaChannel, AtaDisk
from vmio.devices.ata.disk import guess_geometry
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.storage import Image

SECTORS = 4096


def pattern(lba):
    return struct.pack("<QQ", lba, ~lba & (1 << 64) - 1) * 32


class Rig:
    """A channel with its edges, and a service that ends when `finish` is called (or at once)."""

    def __init__(self, later=False, slave=False, dma=True):
        self.line, self.edges, self.queue = Line("irq14"), [], []
        self.line.connect(self.edges.append)
        self.image = Image.open(b"".join(map(pattern, range(SECTORS))))
        disks = (AtaDisk(self.image, dma=dma), AtaDisk(Image.open(bytes(512 * 64)), serial="TWO") if slave else None)
        service = (lambda op, sectors, done: self.queue.append((op, sectors, done))) if later else None
        self.channel = AtaChannel(Clock(), self.line, disks, service)
        self.command, self.control = self.channel.command, self.channel.control

    def finish(self):
        kind, sectors, done = self.queue.pop(0)
        done()
        return kind, sectors

    def out(self, register, value):
        self.command.write(register, 1, value)

    def read(self, register):
        return self.command.read(register, 1)

    def issue(self, opcode, lba=0, count=0, feature=0, device=0xE0):
        self.out(6, device | lba >> 24 & 0x0F)
        for register, value in ((1, feature), (2, count), (3, lba), (4, lba >> 8), (5, lba >> 16)):
            self.out(register, value & 0xFF)
        self.out(7, opcode)

    def address(self):
        return self.read(3) | self.read(4) << 8 | self.read(5) << 16 | (self.read(6) & 0x0F) << 24

    def words(self, count=256):
        return [self.command.read(0, 2) for _ in range(count)]


def test_read_sectors_one_block_and_one_interrupt_a_sector():
    rig = Rig()
    rig.issue(0x20, lba=100, count=3)
    for lba in (100, 101, 102):
        assert rig.line.level == 1 and rig.read(7) == 0x58 and rig.line.level == 0
        assert rig.command.read_block(2, 300) == pattern(lba)
    assert rig.read(7) == 0x50 and rig.edges == [1, 0] * 3
    assert rig.address() == 103 and rig.read(2) == 0


def test_data_port_widths_agree():
    rig = Rig()
    rig.issue(0x20, lba=7, count=4)
    byte_wise = bytes(rig.read(0) for _ in range(256))  # a byte read takes a word
    assert byte_wise == pattern(7)[::2]
    assert struct.pack("<256H", *rig.words()) == pattern(8)
    assert struct.pack("<128I", *(rig.command.read(0, 4) for _ in range(128))) == pattern(9)
    assert rig.command.read_block(4, 100) + rig.command.read_block(4, 100) == pattern(10)
    assert rig.command.read_block(4, 5) == bytes(20) and rig.command.read(0, 2) == 0  # no data: zeros, no wait


def test_words_bytes_and_double_words_are_those_of_the_block_that_is_there_now():
    rig = Rig()
    rig.issue(0x20, lba=7, count=2)
    assert rig.words(4) == list(struct.unpack("<4H", pattern(7)[:8]))
    saved = rig.command.save()
    assert rig.command.read(0, 4) == struct.unpack_from("<I", pattern(7), 8)[0]
    assert rig.command.read(0, 1) == pattern(7)[12]         # a byte takes a word
    assert rig.words(249) == list(struct.unpack_from("<249H", pattern(7), 14))
    assert rig.words() == list(struct.unpack("<256H", pattern(8)))      # the next block's own
    rig.command.restore(saved)
    assert rig.command.read(0, 4) == struct.unpack_from("<I", pattern(7), 8)[0]


def test_a_double_word_does_not_straddle_the_end_of_a_block():
    rig = Rig()
    rig.issue(0x20, lba=1, count=1)
    rig.words(255)
    assert rig.command.read(0, 4) == 0 and rig.read(7) == 0x58
    rig.words(1)
    assert rig.read(7) == 0x50


def test_the_medium_takes_its_time():
    rig = Rig(later=True)
    rig.issue(0x20, lba=5, count=2)
    assert rig.read(7) == 0xD0 and rig.edges == [] and rig.address() == 5
    rig.out(3, 99)  # deaf while busy
    rig.out(7, 0xEC)
    assert rig.finish() == ("read", 2)
    assert rig.edges == [1] and rig.control.read(0, 1) == 0x58 and rig.line.level == 1 and rig.address() == 6
    assert rig.command.read_block(2, 256) == pattern(5) and rig.read(7) == 0xD0
    rig.finish()
    assert rig.command.read_block(2, 256) == pattern(6) and rig.read(7) == 0x50 and not rig.queue


def test_write_then_read_and_the_first_block_without_interrupt():
    rig = Rig(later=True)
    rig.issue(0x30, lba=10, count=2)
    assert rig.edges == [] and rig.read(7) == 0x58
    data = bytes(range(256)) * 4
    assert rig.command.write_block(2, data) == 512 and rig.read(7) == 0xD0
    assert rig.command.write_block(2, data) == 1024  # lost while busy
    assert rig.finish() == ("buffer", 1) and rig.edges == [1] and rig.read(7) == 0x58
    for at in range(512, 1024, 4):
        rig.command.write(0, 4, int.from_bytes(data[at:at + 4], "little"))
    assert rig.finish() == ("write", 2)
    assert rig.read(7) == 0x50 and rig.edges == [1, 0, 1, 0]
    assert rig.image.read(10, 2) == data and rig.image.read(12) == pattern(12)


def test_multiple_moves_several_sectors_a_block():
    rig = Rig()
    rig.issue(0xC6, count=4)
    rig.edges.clear()
    rig.issue(0xC4, lba=10, count=6)
    assert len(rig.command.read_block(2, 9999)) == 2048 and len(rig.command.read_block(2, 9999)) == 1024
    rig.issue(0xC6, count=3)
    assert rig.read(7) == 0x41 and rig.read(1) == 4
    rig.issue(0xC6, count=0)
    rig.issue(0xC4, lba=10, count=6)
    assert rig.read(7) == 0x41


def test_lba48_and_the_two_deep_registers():
    rig = Rig()
    rig.out(6, 0x40)
    for register, old, new in ((2, 0, 1), (3, 0, 0x10), (4, 0, 0x02), (5, 0, 0)):
        rig.out(register, old)
        rig.out(register, new)
    rig.out(7, 0x24)
    assert rig.command.read_block(2, 256) == pattern(0x210) and rig.address() == 0x211
    rig.out(3, 0x77)
    rig.out(3, 0x88)
    rig.control.write(0, 1, 0x80)
    assert rig.read(3) == 0x77
    rig.out(4, 1)  # any write to the task file clears HOB
    assert rig.read(3) == 0x88


def test_count_zero_is_256_sectors():
    rig = Rig()
    rig.issue(0x20, lba=SECTORS - 256)
    blocks = [rig.command.read_block(2, 256) for _ in range(256)]
    assert blocks == [pattern(lba) for lba in range(SECTORS - 256, SECTORS)] and rig.read(7) == 0x50


def test_chs_addresses_and_another_translation():
    rig = Rig()
    rig.issue(0x20, lba=1 | 1 << 8, count=1, device=0xA2)  # cylinder 1, head 2, sector 1
    assert rig.command.read_block(2, 256) == pattern((16 + 2) * 63)
    assert rig.read(3) == 2 and rig.read(6) == 0xA2
    rig.issue(0x91, count=10, device=0xA3)  # 4 heads, 10 sectors
    rig.issue(0x20, lba=10 | 1 << 8, count=1, device=0xA3)
    assert rig.command.read_block(2, 256) == pattern(79) and (rig.read(3), rig.read(4), rig.read(6)) == (1, 2, 0xA0)
    rig.issue(0x20, lba=0, count=1, device=0xA0)  # there is no sector 0
    assert rig.read(7) == 0x41


@pytest.mark.parametrize("lba, count", [(SECTORS, 1), (0x0FFFFFFF, 1)])
def test_beyond_the_end_is_an_error(lba, count):
    rig = Rig()
    rig.issue(0x20, lba=lba, count=count)
    assert rig.edges == [1] and rig.read(7) == 0x41 and rig.read(1) == 4 and rig.address() == lba


def test_an_error_in_the_middle_stops_there():
    rig = Rig()
    rig.issue(0x30, lba=SECTORS - 1, count=2)
    rig.command.write_block(2, bytes(512))
    assert rig.read(7) == 0x58
    rig.command.write_block(2, bytes(512))
    assert rig.read(7) == 0x41 and rig.address() == SECTORS and rig.image.read(SECTORS - 1) == bytes(512)


def test_identify_and_what_set_features_changes_in_it():
    rig = Rig()
    rig.issue(0xEC)
    words = rig.words()
    assert words[1] == 4 and words[60] == SECTORS and words[100] == SECTORS and words[88] == 0x203F
    assert struct.pack(">20H", *words[27:47]).decode().rstrip() == "VMIO ORACLE DISK"
    for feature, count, index, value in ((3, 0x22, 63, 0x0407), (3, 0x45, 88, 0x203F), (3, 0x08, 88, 0x3F),
                                         (0x82, 0, 85, 0x4001), (0x02, 0, 85, 0x4021)):
        rig.issue(0xEF, feature=feature, count=count)
        assert rig.read(7) == 0x50
        rig.issue(0xEC)
        assert rig.words()[index] == value
    rig.issue(0xEF, feature=3, count=0x18)
    assert rig.read(7) == 0x41


@pytest.mark.parametrize("opcode, status", [(0x00, 0x41), (0x08, 0x41), (0x16, 0x41), (0xA1, 0x41), (0x03, 0x41),
                                            (0x10, 0x50), (0x70, 0x50), (0x40, 0x50), (0x42, 0x50), (0xE0, 0x40),
                                            (0x99, 0x40), (0xE5, 0x50), (0xF5, 0x50), (0xE7, 0x50)])
def test_commands_without_data_end_in_one_interrupt(opcode, status):
    rig = Rig()
    rig.issue(opcode, count=1)
    assert rig.edges == [1] and rig.read(7) == status and rig.edges == [1, 0]


def test_flush_is_busy_until_the_medium_is_done():
    rig = Rig(later=True)
    rig.issue(0xE7)
    assert rig.read(7) == 0xC0
    assert rig.finish() == ("flush", 0) and rig.edges == [1] and rig.read(7) == 0x50


def test_a_disk_without_dma_offers_none_and_aborts_what_needs_it():
    with_dma, rig = Rig(), Rig(dma=False)
    pages = []
    for each in (with_dma, rig):
        each.issue(0xEC)
        pages.append(each.words())
    changed = {index: pages[1][index] for index in range(256) if pages[0][index] != pages[1][index]}
    assert changed == {49: 0x0A00, 52: 0, 53: 3, 62: 0, 63: 0, 65: 0, 66: 0, 69: 0, 88: 0, 169: 0}
    rig.read(7)
    for opcode, feature, count in ((0xC8, 0, 1), (0xC9, 0, 1), (0x25, 0, 1), (0xCA, 0, 1), (0xCB, 0, 1), (0x35, 0, 1), (0x06, 1, 1),
                                   (0xEF, 3, 0x22), (0xEF, 3, 0x45)):
        rig.issue(opcode, feature=feature, count=count)
        assert rig.read(7) == 0x41 and rig.read(1) == 0x04, hex(opcode)
    rig.issue(0xEF, feature=3, count=0x0C)      # PIO mode 4
    assert rig.read(7) == 0x50
    rig.issue(0xEC)
    assert rig.words() == pages[1]


def test_read_native_max():
    rig = Rig()
    rig.issue(0xF8)
    assert rig.address() == SECTORS - 1
    rig.issue(0xF8, device=0xA0)
    assert (rig.read(4), rig.read(6), rig.read(3)) == (4, 0xA1, 1)


def test_smart():
    rig = Rig()
    rig.issue(0xB0, lba=0xC24F00, feature=0xDA)
    assert rig.read(7) == 0x50 and (rig.read(4), rig.read(5)) == (0x4F, 0xC2)
    rig.issue(0xB0, lba=0xC24F01, feature=0xD4)
    for feature in (0xD0, 0xD1, 0xD5):
        rig.issue(0xB0, lba=0xC24F06, feature=feature)
        page = rig.command.read_block(2, 256)
        assert sum(page) % 256 == 0 and (feature != 0xD5 or page[508] == 1)
    rig.issue(0xB0, lba=0xC24F00, feature=0xD9)
    rig.issue(0xB0, lba=0xC24F00, feature=0xDA)
    assert rig.read(7) == 0x41


def test_software_reset_signs_both_devices_and_drops_the_transfer():
    rig = Rig(later=True, slave=True)
    rig.issue(0x20, lba=1, count=5)
    rig.control.write(0, 1, 0x04)
    assert rig.read(7) & 0x80
    while rig.queue:
        rig.finish()
    rig.control.write(0, 1, 0x00)
    for device in (0xA0, 0xB0):
        assert [rig.read(n) for n in (1, 2, 3, 4, 5)] == [1, 1, 1, 0, 0] and rig.read(7) == 0x50
        rig.out(6, 0xB0)
    assert rig.command.read(0, 2) == 0


def test_nien_keeps_the_line_low():
    rig = Rig()
    rig.control.write(0, 1, 0x02)
    rig.issue(0x20, lba=1, count=1)
    assert rig.edges == [] and rig.read(7) == 0x58


def test_empty_slave_and_empty_channel():
    rig = Rig()
    rig.out(6, 0xB0)
    assert (rig.read(7), rig.control.read(0, 1), rig.read(4)) == (0, 0, 0xFF)
    rig.out(2, 0x55)
    assert rig.read(2) == 0x55
    rig.out(7, 0xEC)
    assert rig.edges == [] and rig.read(7) == 0
    empty = AtaChannel(Clock(), Line())
    empty.command.write(2, 1, 0x55)
    assert [empty.command.read(n, 1) for n in range(8)] == [0] * 8 and empty.control.read(0, 1) == 0


def test_two_disks_are_two_disks():
    rig = Rig(slave=True)
    rig.issue(0x30, lba=3, count=1, device=0xF0)
    rig.command.write_block(2, b"\x77" * 512)
    rig.issue(0x20, lba=3, count=1)
    assert rig.command.read_block(2, 256) == pattern(3)
    rig.issue(0x20, lba=3, count=1, device=0xF0)
    assert rig.command.read_block(2, 256) == b"\x77" * 512


def test_what_the_blocks_lack():
    rig = Rig()
    for block, offset, size in ((rig.command, 5, 4), (rig.command, 7, 2), (rig.command, 8, 1), (rig.control, 0, 2)):
        with pytest.raises(BadAccess):
            block.read(offset, size)
        with pytest.raises(BadAccess):
            block.write(offset, size, 0)
    rig.command.write(2, 2, 0x1234)
    assert rig.command.read(2, 2) == 0x1234


def test_checkpoint_in_the_middle_of_a_read():
    rig = Rig(later=True)
    rig.issue(0x20, lba=20, count=2)
    rig.finish()
    rig.words(100)
    saved = rig.command.save()
    rest = rig.command.read_block(2, 256)
    busy = rig.command.save()
    other = Rig(later=True)
    other.command.restore(saved)
    assert other.command.read_block(2, 256) == rest and other.finish() == ("buffer", 1)
    third = Rig(later=True)
    third.command.restore(busy)
    assert third.read(7) == 0xD0 and third.finish() == ("buffer", 1)
    assert third.command.read_block(2, 256) == pattern(21)


def test_geometry():
    assert guess_geometry(2048) == (2, 16, 63) and guess_geometry(1) == (2, 16, 63)
    assert guess_geometry(32768) == (32, 16, 63) and guess_geometry(1 << 30) == (16383, 16, 63)
    with pytest.raises(ValueError, match="geometry"):
        AtaDisk(Image.open(bytes(512)), geometry=(1, 17, 63))
