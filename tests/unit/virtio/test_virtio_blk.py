"""A virtio disk's requests, one by one: what is done, what is answered, and what ends the device.

QEMU's answers to reads, writes, flushes, the id, an unknown type and a sector outside are in the golden traces.
"""

import pytest

from tests.virtio_rig import BUFFERS, Memory, pair
from vmio.machine.storage import Image
from vmio.virtio import blk_wire as w
from vmio.virtio import features as f
from vmio.virtio.blk import FEATURES, MAX_RANGE, Blk, MediumStore

SECTORS, HEADER, DATA, STATUS = 64, BUFFERS, BUFFERS + 0x1000, BUFFERS + 0x2_0000


class Disk:
    """A disk with one split queue, and a driver for it; `ask` sends one request and returns (bytes written, status)."""

    def __init__(self, features=FEATURES, medium=None, service=None, agreed=0):
        self.memory, driver, _ = pair("split", 8)
        self.medium = medium or Image(bytearray(b"".join(bytes([lba]) * 512 for lba in range(SECTORS))), "disk")
        self.device = Blk(self.memory, MediumStore(self.medium, service), (8,), "SERIAL", features)
        self.driver, self.interrupts, self.changes = driver, [], 0
        self.device.transport = self
        self.up(agreed)

    def up(self, agreed=0):
        for status in (0, 1, 3):
            self.device.write_status(status)
        self.device.agree(f.VERSION_1 | agreed)
        self.device.write_status(11)
        setup = self.device.setups[0]
        setup.descriptors, setup.driver, setup.device = self.driver.descriptors, self.driver.driver, self.driver.device
        self.device.enable(0)
        self.device.write_status(15)
        assert self.device.read_status() == 15

    def queue_interrupt(self, number):
        self.interrupts.append(number)

    def config_interrupt(self):
        self.changes += 1

    def send(self, kind, lba=0, out=(), into=(), status=True):
        self.memory.write(HEADER, w.HEADER.pack(type=kind, sector=lba))
        self.memory.write(STATUS, b"\xee")
        self.driver.add([(HEADER, 16), *out], [*into, *([(STATUS, 1)] if status else [])], kind)
        self.driver.publish()
        self.device.kick(0)

    def ask(self, kind, lba=0, out=(), into=()):
        self.send(kind, lba, out, into)
        _, written = self.driver.reap()
        return written, self.memory.bytes[STATUS]


def test_reads_and_writes_in_pieces():
    disk = Disk()
    assert disk.ask(w.IN, 3, into=[(DATA, 100), (DATA + 0x1000, 924)]) == (1025, w.OK)
    assert disk.memory.bytes[DATA:DATA + 100] + disk.memory.bytes[DATA + 0x1000:DATA + 0x1000 + 924] == disk.medium.read(3, 2)
    disk.memory.write(DATA, bytes(range(256)) * 2)
    assert disk.ask(w.OUT, 9, out=[(DATA, 500), (DATA + 500, 12)]) == (1, w.OK)
    assert disk.medium.read(9, 1) == bytes(range(256)) * 2
    assert disk.ask(w.FLUSH_REQUEST) == (1, w.OK)
    assert disk.interrupts == [0, 0, 0] and disk.device.requests == 3 and disk.device.failures == 0


@pytest.mark.parametrize("lba, length", [(63, 1024), (64, 512), (0xFFFF_FFFF_FFFF_FFFF, 512), (0, 511), (0, 513), (0, 0)])
@pytest.mark.parametrize("kind", [w.IN, w.OUT])
def test_what_is_not_on_the_disk_is_an_error_and_changes_nothing(kind, lba, length):
    disk, before = Disk(), bytes(Disk().medium.read(0, SECTORS))
    pieces = [(DATA, length)] if length else []
    assert disk.ask(kind, lba, **{"into" if kind == w.IN else "out": pieces})[1] == w.IOERR
    assert disk.medium.read(0, SECTORS) == before and disk.device.failures == 1


@pytest.mark.parametrize("kind, flags, status, gone", [
    (w.DISCARD_REQUEST, 0, w.OK, True), (w.WRITE_ZEROES_REQUEST, 0, w.OK, True), (w.WRITE_ZEROES_REQUEST, w.UNMAP, w.OK, True),
    (w.DISCARD_REQUEST, w.UNMAP, w.UNSUPP, False), (w.WRITE_ZEROES_REQUEST, 2, w.UNSUPP, False)])
def test_ranges(kind, flags, status, gone):
    disk = Disk()
    disk.memory.write(DATA, w.RANGE.pack(sector=4, sectors=3, flags=flags))
    assert disk.ask(kind, out=[(DATA, 16)]) == (1, status)
    assert disk.medium.read(3, 5) == bytes([3]) * 512 + (bytes(3 * 512) if gone else b"".join(bytes([n]) * 512 for n in (4, 5, 6))) + bytes([7]) * 512


@pytest.mark.parametrize("sector, sectors, length", [(62, 3, 16), (64, 1, 16), (1 << 63, 1 << 31, 16), (0, MAX_RANGE + 1, 16), (0, 1, 15), (0, 1, 32)])
def test_ranges_that_are_refused(sector, sectors, length):
    disk = Disk()
    disk.memory.write(DATA, w.RANGE.pack(sector=sector, sectors=sectors))
    assert disk.ask(w.DISCARD_REQUEST, out=[(DATA, length)]) == (1, w.IOERR)
    assert disk.medium.read(0, 1) == bytes(512)       # sector 0 holds zeros from the beginning
    assert disk.medium.read(63, 1) == bytes([63]) * 512


def test_the_id_is_cut_where_its_buffer_ends():
    disk = Disk()
    disk.memory.write(DATA, b"x" * 20)
    assert disk.ask(w.GET_ID, into=[(DATA, 20)]) == (21, w.OK) and disk.memory.bytes[DATA:DATA + 9] == b"SERIAL\0xx"
    disk.memory.write(DATA, b"x" * 20)
    assert disk.ask(w.GET_ID, into=[(DATA, 3)]) == (4, w.OK) and disk.memory.bytes[DATA:DATA + 4] == b"SERx"


def test_a_disk_that_may_only_be_read():
    disk = Disk(FEATURES | w.RO)
    assert disk.ask(w.OUT, out=[(DATA, 512)])[1] == w.IOERR              # the specification's word (5.2.6.2)
    for kind in (w.DISCARD_REQUEST, w.WRITE_ZEROES_REQUEST, 2, 0xFFFF_FFFF):
        assert disk.ask(kind, out=[(DATA, 512)])[1] == w.UNSUPP
    assert disk.ask(w.IN, 1, into=[(DATA, 512)]) == (513, w.OK)


def test_write_through_flushes_each_write():
    flushed = []

    class Medium(Image):
        def flush(self):
            flushed.append(1)
    disk = Disk(medium=Medium(bytearray(SECTORS * 512), "disk"), agreed=w.CONFIG_WCE)
    at = w.CONFIG.at("writeback")[0]
    assert disk.device.read_config(at, 1) == 1
    disk.ask(w.OUT, 0, out=[(DATA, 512)])
    disk.device.write_config(at, b"\0")
    assert disk.device.read_config(at, 1) == 0 and flushed == []
    assert disk.ask(w.OUT, 0, out=[(DATA, 512)]) == (1, w.OK) and flushed == [1]
    assert disk.ask(w.IN, 0, into=[(DATA, 512)]) == (513, w.OK) and flushed == [1]
    disk.device.write_config(0, b"\0" * 8)               # the capacity can't be written
    assert disk.device.read_config(0, 4) == SECTORS
    disk.device.write_status(0)
    assert disk.device.read_config(at, 1) == 1


def test_a_medium_that_fails_is_an_error_of_the_request():
    class Full(Image):
        def write(self, lba, data):
            raise OSError("no space left on device")
    disk = Disk(medium=Full(bytearray(SECTORS * 512), "disk"))
    assert disk.ask(w.OUT, 0, out=[(DATA, 512)]) == (1, w.IOERR)


def test_configuration_to_the_byte():
    disk = Disk()
    config = w.CONFIG.parse(disk.device.config())
    assert (config.capacity, config.seg_max, config.blk_size, config.max_discard_sectors, config.max_discard_seg,
            config.discard_sector_alignment, config.max_write_zeroes_sectors, config.write_zeroes_may_unmap) == (
        SECTORS, 6, 512, 4_194_303, 1, 1, 4_194_303, 1)
    assert disk.device.read_config(58, 4) == 0xFFFF_FFFF and disk.device.read_config(60, 1) == 0xFF


@pytest.mark.parametrize("readable, writable, text", [
    ([(HEADER, 15)], [(STATUS, 1)], "15 readable and 1 writable bytes"), ([(HEADER, 16)], [], "16 readable and 0 writable bytes"),
    ([], [(STATUS, 1)], "0 readable and 1 writable bytes")])
def test_what_is_no_request_ends_the_device(readable, writable, text):
    disk = Disk()
    disk.driver.add(readable, writable, 0)
    disk.driver.publish()
    disk.device.kick(0)
    assert text in disk.device.broken and disk.device.read_status() == 15 | f.NEEDS_RESET and disk.changes == 1
    disk.memory.write(HEADER, w.HEADER.pack(type=w.FLUSH_REQUEST))
    disk.driver.add([(HEADER, 16)], [(STATUS, 1)], 1)
    disk.driver.publish()
    disk.device.kick(0)
    assert disk.device.requests == 1
    disk.memory, disk.driver, _ = pair("split", 8, memory=Memory())
    disk.device.memory = disk.memory
    disk.up()
    assert disk.ask(w.IN, 1, into=[(DATA, 512)]) == (513, w.OK)


@pytest.mark.parametrize("out, into", [([(1 << 40, 512)], []), ([], [(1 << 40, 512)]), ([(DATA, 256), (0xFFF_FF00, 256)], [])])
def test_data_outside_of_memory_ends_the_device(out, into):
    disk = Disk()
    disk.send(w.OUT if out else w.IN, 1, out, into)
    assert "memory ends at" in disk.device.broken and disk.driver.reap() is None
    assert disk.medium.read(1, 1) == bytes([1]) * 512


def test_a_reset_with_requests_under_way_is_over_when_they_are():
    waiting = []
    disk = Disk(service=lambda op, sectors, done: waiting.append(done))
    disk.send(w.IN, 1, into=[(DATA, 512)])
    disk.send(w.IN, 2, into=[(DATA + 512, 512)])
    disk.device.write_status(0)
    assert disk.device.read_status() == f.FAILED         # not 0 yet: Linux waits for that
    disk.device.write_status(1)
    waiting[0]()
    assert disk.device.read_status() == f.FAILED
    waiting[1]()
    assert disk.device.read_status() == 0 and disk.driver.reap() is None and disk.interrupts == []
    disk.memory, disk.driver, _ = pair("split", 8, memory=Memory())
    disk.device.memory = disk.memory
    disk.up()
    disk.send(w.IN, 1, into=[(DATA, 512)])
    waiting[2]()
    assert disk.driver.reap() == (w.IN, 513) and disk.interrupts == [0]


def test_a_late_request_that_fails_breaks_nobody_else():
    waiting = []
    disk = Disk(service=lambda op, sectors, done: waiting.append(done))
    disk.send(w.IN, 1, into=[(1 << 40, 512)])
    disk.device.write_status(0)
    waiting[0]()
    assert disk.device.read_status() == 0 and disk.device.broken is None


def test_before_driver_ok_nobody_looks():
    disk = Disk()
    disk.device.write_status(0)
    disk.send(w.FLUSH_REQUEST)
    assert disk.device.requests == 0 and disk.device.kicks == 1
