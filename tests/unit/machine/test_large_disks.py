"""Addresses against the registers that they are put into: 28, 32, 48 and 64 bits."""

import random
import struct

import pytest

from vmio.devices.ata.channel import AtaDisk
from vmio.drivers.ata import AtaDriver
from vmio.drivers.errors import DriverError
from vmio.drivers.scsi_probe import ScsiError, capacity
from vmio.experiments import disk, trace
from vmio.experiments.pattern import Pattern, pattern
from vmio.hardware.nvme import wire as w
from vmio.hardware.nvme.controller import NvmeController
from vmio.host.physical import Volumes
from vmio.machine.clock import Clock
from vmio.machine.media.ranges import Ranges
from vmio.machine.memory import HostMemory
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR, Image
from vmio.vmbus.storage.scsi import ScsiTarget

LBA48 = 1 << 48


def huge(sectors):
    return Pattern(sectors, "huge")


class Recorder(Pattern):
    """A pattern that notes what is discarded and written."""

    __slots__ = ("calls",)

    def discard(self, lba, count):
        self.calls.append((lba, count))


@pytest.mark.parametrize("mode", ["split", "passthrough"])
def test_beyond_48_bits_where_the_addresses_have_64(mode):
    done = disk.run(disk.DiskParams(mode=mode), [trace.Request("W", LBA48, 8), trace.Request("R", LBA48 + 8, 2)], huge(LBA48 + 16))
    assert sorted(done.images[0].own) == list(range(LBA48, LBA48 + 8))
    from hashlib import sha256
    assert done.sha256 == sha256(huge(LBA48 + 16).read(LBA48 + 8, 2)).hexdigest()


def test_an_emulated_disk_ends_at_48_bits():
    with pytest.raises(ValueError, match=r"huge: 281474976710657 sectors; an ATA disk has at most 2\^48 \(281474976710656\)"):
        disk.run(disk.DiskParams(), [trace.Request("W", 0, 8)], huge(LBA48 + 1))
    with pytest.raises(ValueError, match=r"pattern of 137438953473 MiB: 281474976712704 sectors"):
        disk.run(disk.DiskParams(), [trace.Request("R", LBA48, 1)])
    done = disk.run(disk.DiskParams(transfer="dma"), [trace.Request("W", LBA48 - 1, 1), trace.Request("W", 0, 1)], huge(LBA48))
    assert sorted(done.images[0].own) == [0, LBA48 - 1]


def test_no_mode_takes_more_than_64_bits():
    for params in ({"mode": "split"}, {"mode": "passthrough"}, {}, {"mode": "split", "guests": 2}):
        with pytest.raises(ValueError, match=r"sectors; an (ATA disk|NVMe namespace) has"):
            disk.run(disk.DiskParams(**params), [trace.Request("R", 0, 1)], huge(1 << 64 if params.get("guests", 1) == 1 else 1 << 63))
    with pytest.raises(ValueError, match="sectors; an NVMe namespace has 1 to 2"):
        disk.run(disk.DiskParams(mode="split"), [trace.Request("R", 1 << 70, 1)])


@pytest.mark.parametrize("sectors, lba28, lba48", [
    (1 << 20, 1 << 20, 1 << 20), ((1 << 28) - 1, (1 << 28) - 1, (1 << 28) - 1), (1 << 28, (1 << 28) - 1, 1 << 28),
    (1 << 40, (1 << 28) - 1, 1 << 40), (LBA48, (1 << 28) - 1, LBA48 - 1)])
def test_identify_says_what_its_words_can(sectors, lba28, lba48):
    """ATA/ATAPI-6, 8.15: words 60-61 up to 268,435,455, words 100-103 up to 0000FFFFFFFFFFFFh; 16,383 cylinders."""
    page = AtaDisk(huge(sectors)).identify()
    assert struct.unpack_from("<I", page, 120)[0] == lba28 and struct.unpack_from("<Q", page, 200)[0] == lba48
    assert struct.unpack_from("<H", page, 2)[0] == min(sectors // 1008, 16383)


@pytest.mark.parametrize("select, lba48, address", [(0xE0, 0, (1 << 28) - 1), (0xE0, 1, (1 << 40) - 1), (0xA0, 0, 65536 * 16 * 63 - 1)])
def test_read_native_max_is_what_the_registers_can_name(select, lba48, address):
    """ATA/ATAPI-6, 8.32: 268,435,455 where the disk is larger than 28 bits can say."""
    large = AtaDisk(huge(1 << 40))
    large.select, large.lba48 = select, lba48
    large.show_lba((1 << 40) - 1)
    assert large.lba == address


def test_the_ata_driver_refuses_what_its_registers_cannot_hold():
    driver = AtaDriver(None, transfer="pio")
    for lba, sectors in ((LBA48, 1), (LBA48 - 1, 2), (-1, 1), (0, 65537)):
        with pytest.raises(ValueError, match=rf"{sectors} sectors at LBA {lba}: .* LBAs from 0 to 2\^48 - 1"):
            next(driver.read(lba, sectors, 0))


def test_scsi_capacity_of_32_bits_and_of_64():
    for sectors, last in ((1 << 32, 0xFFFFFFFF), ((1 << 32) - 1, 0xFFFFFFFE), ((1 << 33), 0xFFFFFFFF)):
        target = ScsiTarget(sectors)
        assert target.execute(bytes((0x25,))).data == struct.pack(">II", last, SECTOR)
        assert target.execute(struct.pack(">BB8xI2x", 0x9E, 0x10, 32)).data[:12] == struct.pack(">QI", sectors - 1, SECTOR)

    def old_disk(last):
        def command(name, cdb, length):
            if cdb[0] == 0x9E:
                raise ScsiError(name, 0, None)
            return struct.pack(">II", last, SECTOR)
            yield
        return command

    def ask(last):
        try:
            next(capacity(old_disk(last)))
        except StopIteration as stop:
            return stop.value
    assert ask(0xFFFFFFFE) == (0xFFFFFFFF, SECTOR)
    with pytest.raises(DriverError, match="doesn't answer READ CAPACITY"):
        ask(0xFFFFFFFF)


# --- a disk's size is no work and no memory ----------------------------------------------------------

def test_patterns_are_the_same_in_memory_and_made():
    small, large = pattern.__wrapped__(1), pattern(1 << 20)   # made anew: a test may have written to the kept one
    assert isinstance(small, Image) and small.read(5, 3) == large.read(5, 3) == b"".join(n.to_bytes(8, "little") * 64 for n in (5, 6, 7))
    assert large.sectors == 1 << 31 and large.read((1 << 31) - 1) == ((1 << 31) - 1).to_bytes(8, "little") * 64
    with pytest.raises(ValueError, match="0 to 2147483647 exist"):
        large.read(1 << 31)


def test_format_and_write_zeroes_are_one_discard():
    """FORMAT of a disk of 2^50 sectors: one call, not one for each mebibyte."""
    medium = Recorder(1 << 50, "huge")
    medium.calls = []
    controller = NvmeController(Clock(), HostMemory(1 << 20), medium)

    class Request:
        lba, count, command = 7, 65536, bytes(64)
    controller.admin._formatted(Request)
    controller.nvm._zeroed(Request)
    assert medium.calls == [(0, 1 << 50), (7, 65536)] and w.SECTOR == SECTOR


def test_a_discarded_disk_of_any_size_reads_as_zeros():
    over = Overlay(huge(1 << 50))
    over.write(9, b"\x11" * SECTOR)
    over.discard(0, 1 << 50)
    assert over.own == {} and over.read(8, 3) == bytes(3 * SECTOR) and over.read((1 << 50) - 1) == bytes(SECTOR)
    over.write(9, b"\x22" * SECTOR)
    assert over.read(8, 3) == bytes(SECTOR) + b"\x22" * SECTOR + bytes(SECTOR)
    for lba, count in ((1 << 50, 1), (-1, 1), (0, (1 << 50) + 1)):
        with pytest.raises(ValueError, match="exist"):
            over.discard(lba, count)


def test_volumes_discard_across_their_borders():
    parts = [Overlay(huge(8)), Overlay(huge(8)), Overlay(huge(8))]
    Volumes(parts).discard(6, 12)
    assert [list(zip(part.zeroed.starts, part.zeroed.ends)) for part in parts] == [[(6, 8)], [(0, 8)], [(0, 2)]]


@pytest.mark.parametrize("seed", range(20))
def test_an_overlay_is_a_disk_that_was_copied(seed):
    """Writes and discards in any order, against a plain array of bytes."""
    dice, sectors = random.Random(seed), 40
    base = huge(sectors)
    over, plain = Overlay(base), bytearray(base.read(0, sectors))
    for step in range(120):
        lba = dice.randrange(sectors)
        count = dice.randrange(sectors - lba + 1)
        if dice.random() < 0.5:
            data = bytes([step + 1]) * (count * SECTOR)
            over.write(lba, data)
        else:
            data = bytes(count * SECTOR)
            over.discard(lba, count)
        plain[lba * SECTOR:(lba + count) * SECTOR] = data
        assert over.read(0, sectors) == plain
        lba = dice.randrange(sectors)
        assert over.read(lba, 1) == plain[lba * SECTOR:(lba + 1) * SECTOR]
    assert base.read(0, 2) == huge(2).read(0, 2)


@pytest.mark.parametrize("seed", range(10))
def test_ranges_are_a_set(seed):
    dice, ranges, wanted = random.Random(seed), Ranges(), set()
    for _ in range(60):
        start = dice.randrange(50)
        end = start + dice.choice((0, 1, 1, 2, 9))
        ranges.add(start, end)
        wanted.update(range(start, end))
        assert all(a < b for a, b in zip(ranges.starts, ranges.ends))
        assert all(a < b for a, b in zip(ranges.ends, ranges.starts[1:]))       # apart, and in order
        low = dice.randrange(60)
        high = low + dice.randrange(20)
        assert {n for a, b in ranges.within(low, high) for n in range(a, b)} == wanted & set(range(low, high))
