"""What each interface says of its write cache is so: FUA, the cache switched off, and a flush that fails."""

import struct

import pytest

from tests.nvme_rig import COMPARE, FLUSH, READ, SET_FEATURES, WRITE, ZERO, Bench
from tests.storage_rig import Rig, read10, write10
from tests.unit.devices.test_ata import Rig as AtaRig
from vmio.devices.ata.disk import AtaDisk
from vmio.devices.board import Board
from vmio.drivers.ata import AtaDriver, AtaError
from vmio.drivers.pic import init as init_pic
from vmio.host.physical import PhysicalDisk
from vmio.machine.media.cached import VolatileCache
from vmio.machine.storage import Image
from vmio.modes import one_guest
from vmio.modes.disk_emulated import BUS_MASTER, map_bus_master
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import ScsiTarget

SECTORS = 2048
NEW = b"new!" * 128
GET_FEATURES, WRITE_CACHE, VERIFY, DATASET = 0x0A, 0x06, 0x0C, 0x09
FUA = 1 << 30


class Broken(Image):
    """A medium that can't flush."""

    def flush(self):
        raise ValueError("image: no room")


def cache():
    return VolatileCache(Image.open(bytes(512 * SECTORS)))


class Full(Image):
    """A medium that can't write."""

    def write(self, lba, data):
        raise ValueError("image: no room")


# ATA

def ata(medium):
    rig = AtaRig()
    rig.channel.devices[0].image = medium
    return rig


def write_pio(rig, lba, opcode=0x30, count=1):
    for register in range(2, 6):
        rig.out(register, 0)                                          # the upper halves of a 48-bit command
    rig.issue(opcode, lba=lba, count=count)
    for _ in range(count):
        rig.command.write_block(2, NEW)
    return rig.read(7)


def words(rig):
    rig.issue(0xEC)
    return rig.words()


def test_ata_announces_a_cache_its_switch_and_both_flushes_but_no_fua():
    rig = ata(cache())
    found = words(rig)
    assert found[82] & 1 << 5 and found[85] & 1 << 5                  # write cache: supported, enabled
    assert found[83] >> 12 & 3 == found[86] >> 12 & 3 == 3            # FLUSH CACHE (EXT): supported, enabled
    assert not found[84] & 1 << 6 and not found[87] & 1 << 6          # WRITE DMA FUA EXT and its like
    for opcode in (0x3D, 0xCE, 0x3E):
        rig.issue(opcode, lba=1, count=1)
        assert rig.read(7) == 0x41 and rig.read(1) == 0x04            # so it is aborted


@pytest.mark.parametrize("flush", [0xE7, 0xEA])
def test_ata_writes_wait_for_either_flush(flush):
    medium = cache()
    rig = ata(medium)
    assert write_pio(rig, 5, count=2) == 0x50
    assert medium.unflushed == [5, 6]
    rig.issue(flush)
    assert rig.read(7) == 0x50 and medium.unflushed == [] and medium.base.read(5, 2) == NEW * 2


def test_ata_without_its_cache_has_written_when_it_says_so():
    medium = cache()
    rig = ata(medium)
    write_pio(rig, 5)
    rig.issue(0xEF, feature=0x82)
    assert rig.read(7) == 0x50 and medium.unflushed == [] and not words(rig)[85] & 1 << 5
    for opcode, lba, count in ((0x30, 7, 2), (0x34, 9, 1), (0xC5, 12, 1)):
        rig.issue(0xC6, count=1)
        assert write_pio(rig, lba, opcode, count) == 0x50 and medium.unflushed == []
        assert medium.base.read(lba, count) == NEW * count
    rig.issue(0xEF, feature=0x02)
    write_pio(rig, 20)
    assert medium.unflushed == [20] and words(rig)[85] & 1 << 5


def run_dma(medium, enabled=True):
    """Write four sectors, discard the two in the middle."""
    guest = one_guest(ram_mib=4).guest
    disk = AtaDisk(medium)
    Board(guest, (disk,))
    disk.write_cache = enabled

    def program(cpu):
        map_bus_master(cpu)
        init_pic(cpu)
        driver = AtaDriver(cpu, transfer="dma", bus_master=BUS_MASTER)
        yield from driver.init()
        cpu.write(0x20000, NEW * 4)
        yield from driver.write(100, 4, 0x20000)
        yield from driver.discard(101, 2, 0x30000)
    guest.host.run((guest.cpu, program))


@pytest.mark.parametrize("enabled", [True, False])
def test_ata_dma_and_trim(enabled):
    medium = cache()
    run_dma(medium, enabled)
    assert medium.read(100, 4) == NEW + bytes(1024) + NEW
    assert medium.unflushed == ([100, 101, 102, 103] if enabled else [])


@pytest.mark.parametrize("fail", ["flush", "switch the cache off"])
def test_an_ata_flush_that_fails_ends_in_an_error(fail):
    rig = ata(Broken(bytearray(512 * SECTORS)))
    if fail == "flush":
        rig.issue(0xE7)
    else:
        rig.issue(0xEF, feature=0x82)
    assert rig.edges == [1] and rig.read(7) == 0x41 and rig.read(1) == 0x04


def test_an_ata_write_that_fails_ends_in_an_error():
    assert write_pio(ata(Full(bytes(512 * SECTORS))), 5) == 0x41
    with pytest.raises(AtaError, match="CAh at LBA 100"):
        run_dma(Full(bytes(512 * SECTORS)))
    with pytest.raises(AtaError, match="CAh at LBA 100"):             # without a cache: what is written is flushed
        run_dma(Broken(bytearray(512 * SECTORS)), enabled=False)


# SCSI

def scsi(medium):
    """A StorVSP over the host's NVMe disk."""
    rig = Rig(medium)
    backend, = PhysicalDisk(rig.host, [medium]).slices
    rig.vsp.disks = {0: (rig.target, backend)}
    rig.guest.memory.write(0x10000, NEW * 8)
    return rig.ready()


def caching(rig, control=0):
    """Byte 2 of the caching page."""
    answer = rig.srb(bytes((0x1A, 8, control << 6 | 0x08, 0, 24, 0)), 24, gpa=0x20000)
    assert answer.srb_status == 1
    return rig.guest.memory.read(0x20000 + 6, 1)[0]


def select(rig, wce):
    rig.guest.memory.write(0x20000, bytes(4) + bytes((0x08, 0x12, wce)) + bytes(17))
    return rig.srb("15 10 00 00 18 00", 24, v.TO_DEVICE, gpa=0x20000)


def wide(opcode, flags, lba, sectors):
    return struct.pack(">BBQIH", opcode, flags, lba, sectors, 0)


@pytest.mark.parametrize("flush", ["35 00 00 00 00 00 00 00 00 00", "91" + 15 * "00"])
def test_scsi_writes_wait_for_either_synchronize(flush):
    medium = cache()
    rig = scsi(medium)
    assert rig.srb(write10(5, 2), 1024, v.TO_DEVICE).srb_status == 1 and medium.unflushed == [5, 6]
    assert rig.srb(flush).srb_status == 1 and medium.unflushed == [] and medium.base.read(5, 2) == NEW * 2


@pytest.mark.parametrize("cdb", [write10(5, 2, fua=True), wide(0x8A, 8, 5, 2), wide(0x8E, 0, 5, 2),
                                 bytes((0xAA, 8)) + struct.pack(">IIH", 5, 2, 0)])
@pytest.mark.parametrize("gpa", [0x10000, 0x10001])      # the odd one is bounced
def test_scsi_fua_writes_are_on_the_medium(cdb, gpa):
    medium = cache()
    rig = scsi(medium)
    assert rig.srb(cdb, 1024, v.TO_DEVICE, gpa=gpa).srb_status == 1
    assert medium.unflushed == [] and medium.base.read(5, 2) == (NEW * 3)[gpa & 1:][:1024]


@pytest.mark.parametrize("gpa", [0x30000, 0x30001])
def test_scsi_fua_reads_bring_the_newest_to_the_medium_first(gpa):
    medium = cache()
    rig = scsi(medium)
    rig.srb(write10(5, 2), 1024, v.TO_DEVICE)
    assert rig.srb(read10(5, 2), 1024, gpa=gpa).srb_status == 1 and medium.unflushed == [5, 6]
    assert rig.srb(bytes((0x28, 8)) + read10(5, 2)[2:], 1024, gpa=gpa).srb_status == 1
    assert medium.unflushed == [] and rig.guest.memory.read(gpa, 1024) == NEW * 2


def test_scsi_without_its_cache_has_written_when_it_says_so():
    medium = cache()
    rig = scsi(medium)
    assert [caching(rig, control) for control in (0, 1, 2)] == [4, 4, 4]        # WCE now, changeable, by default
    rig.srb(write10(5, 2), 1024, v.TO_DEVICE)
    answer = select(rig, 0)
    assert (answer.srb_status, answer.transfer_length) == (1, 0)
    assert medium.unflushed == [] and [caching(rig, control) for control in (0, 1, 2)] == [0, 4, 4]
    rig.guest.memory.write(0x40000, b"\x5a" * 512)
    unmap = struct.pack(">HHIQI4x", 22, 16, 0, 5, 1)
    rig.target.unmap = True
    rig.guest.memory.write(0x50000, unmap)
    for cdb, length, gpa in ((write10(9, 2), 1024, 0x10000), ("0a 00 00 0c 01 00", 512, 0x10000),
                             (struct.pack(">BBIBHB", 0x41, 0, 20, 0, 3, 0), 512, 0x40000),
                             (struct.pack(">BBIBHB", 0x41, 0, 30, 0, 3, 0), 512, 0x60000),
                             ("42 00 00 00 00 00 00 00 18 00", 24, 0x50000)):
        assert rig.srb(cdb, length, v.TO_DEVICE, gpa=gpa).srb_status == 1
        assert medium.unflushed == [], cdb
    assert medium.base.read(5, 2) == bytes(512) + NEW and medium.base.read(20, 4) == b"\x5a" * 1536 + bytes(512)
    assert select(rig, 4).srb_status == 1 and caching(rig) == 4
    rig.srb(write10(9, 1), 512, v.TO_DEVICE)
    assert medium.unflushed == [9]


def test_a_scsi_disk_has_its_cache_again_in_its_guests_next_life():
    rig = scsi(cache())
    assert select(rig, 0).srb_status == 1 and caching(rig) == 0
    rig.vsp.closed()
    rig.open()
    assert caching(rig.ready()) == 4


def test_a_scsi_flush_that_fails_ends_in_an_error():
    rig = scsi(Broken(bytearray(512 * SECTORS)))
    for cdb, length in (("35 00 00 00 00 00 00 00 00 00", 0), (write10(5, 1, fua=True), 512)):
        answer = rig.srb(cdb, length, v.TO_DEVICE if length else None)
        assert (answer.srb_status, answer.scsi_status) == (0x84, 2)
    assert rig.srb(write10(5, 1), 512, v.TO_DEVICE).srb_status == 1 and rig.vsp.in_flight == 0


def test_wce_changes_only_if_all_of_the_list_is_right():
    target = ScsiTarget(SECTORS)
    page, control = bytes((0x08, 0x12, 0)) + bytes(17), bytes((0x0A, 0x0A, 0x02, 0x11)) + bytes(8)
    body = bytes(4) + page + control
    answer = target.execute(bytes((0x15, 0x10, 0, 0, len(body), 0)), body)
    assert answer.status == 2 and target.write_cache


# NVMe

def nvme(medium):
    bench = Bench()
    bench.chip.image = bench.chip.nvm.image = bench.image = medium
    bench.io_queue()
    bench.memory.write(bench.BUFFER, NEW * 8)
    return bench


def command(bench, opcode, lba, sectors, fua=0):
    return bench.ask(1, opcode, nsid=1, prp1=bench.BUFFER, d10=lba, d12=sectors - 1 | fua)


@pytest.mark.parametrize("opcode", [WRITE, ZERO])
def test_nvme_writes_wait_for_a_flush_unless_they_have_fua(opcode):
    medium = cache()
    bench = nvme(medium)
    assert bench.chip.identity[525] & 1                               # VWC: there is one
    assert command(bench, opcode, 5, 2) == 0 and medium.unflushed == [5, 6]
    assert bench.ask(1, FLUSH, nsid=1) == 0 and medium.unflushed == []
    assert command(bench, opcode, 9, 1) == 0 and command(bench, opcode, 5, 2, FUA) == 0
    assert medium.unflushed == [9]                                    # FUA is for its own sectors
    assert medium.base.read(5, 2) == (NEW * 2 if opcode == WRITE else bytes(1024))


@pytest.mark.parametrize("opcode", [READ, COMPARE, VERIFY])
def test_nvme_fua_reads_bring_the_newest_to_the_medium_first(opcode):
    medium = cache()
    bench = nvme(medium)
    command(bench, WRITE, 5, 3)
    assert command(bench, opcode, 5, 2) == 0 and medium.unflushed == [5, 6, 7]
    assert command(bench, opcode, 5, 2, FUA) == 0 and medium.unflushed == [7]


def test_nvme_without_its_cache_has_written_when_it_says_so():
    medium = cache()
    bench = nvme(medium)
    assert bench.ask(0, GET_FEATURES, d10=WRITE_CACHE) == 0 and bench.result == 1
    command(bench, WRITE, 5, 2)
    assert bench.ask(0, SET_FEATURES, d10=WRITE_CACHE, d11=0) == 0 and medium.unflushed == []
    assert bench.ask(0, GET_FEATURES, d10=WRITE_CACHE) == 0 and bench.result == 0
    assert command(bench, WRITE, 9, 2) == 0 and command(bench, ZERO, 10, 1) == 0
    bench.memory.write(bench.BUFFER, struct.pack("<IIQ", 0, 1, 5))
    assert bench.ask(1, DATASET, nsid=1, prp1=bench.BUFFER, d11=4) == 0
    assert medium.unflushed == [] and medium.base.read(5, 2) == bytes(512) + NEW
    assert medium.base.read(9, 2) == NEW + bytes(512)
    assert bench.ask(0, SET_FEATURES, d10=WRITE_CACHE, d11=1) == 0
    command(bench, WRITE, 9, 1)
    assert medium.unflushed == [9]


def test_an_nvme_flush_that_fails_is_a_write_fault():
    bench = nvme(Broken(bytearray(512 * SECTORS)))
    assert bench.ask(1, FLUSH, nsid=1) == 0x280
    assert bench.ask(0, SET_FEATURES, d10=WRITE_CACHE, d11=0) == 0x280
    assert bench.ask(0, GET_FEATURES, d10=WRITE_CACHE) == 0 and bench.result == 1      # it was not switched off
    assert command(bench, WRITE, 5, 1) == 0 and command(bench, WRITE, 5, 1, FUA) == 0x280
    bench.chip.write(0x14, 4, 0x464001)                               # CC.SHN: normal shutdown
    assert bench.chip.read(0x1C, 4) & 0xE == 0xA                      # over, and a fatal status


def test_an_nvme_write_that_fails_is_a_write_fault():
    bench = nvme(Full(bytes(512 * SECTORS)))
    assert [command(bench, opcode, 5, 1) for opcode in (WRITE, ZERO, READ)] == [0x280, 0x280, 0]


@pytest.mark.parametrize("end", ["shutdown", "format"])
def test_nvme_shutdown_and_format_leave_nothing_in_the_cache(end):
    medium = cache()
    bench = nvme(medium)
    command(bench, WRITE, 5, 1)
    if end == "shutdown":
        bench.chip.write(0x14, 4, 0x464001)
    else:
        assert bench.ask(0, 0x80, nsid=1) == 0
    assert medium.unflushed == [] and medium.base.read(5) == (NEW if end == "shutdown" else bytes(512))
