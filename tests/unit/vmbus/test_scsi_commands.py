"""SCSI commands beside reads and writes that Hyper-V's disks carry out, or answer GOOD, to the byte of SPC-4 and SBC-3."""

import struct

import pytest

from tests.storage_rig import Rig, srb
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import Answer, Media, ScsiTarget
from vmio.vmbus.storage.scsi_pages import mode_pages, mode_parameters

SECTORS = 2048
GOOD = Answer(0)
SECTOR = bytes(range(256)) * 2


def ask(text, data=b"", **options):
    """A CDB in hex, filled up with zeros."""
    return ScsiTarget(SECTORS, **options).execute(bytes.fromhex(text), data)


def sense(answer):
    assert answer.status == 2 and answer.data == b"" and len(answer.sense) == 18
    return answer.sense[2], answer.sense[12], answer.sense[13]


@pytest.mark.parametrize("cdb, expected", [
    ("1e 00 00 00 01 00", GOOD), ("1e 00 00 00 00 00", GOOD),                  # PREVENT ALLOW MEDIUM REMOVAL
    ("16 00 00 00 00 00", GOOD), ("17 00 00 00 00 00", GOOD),                  # RESERVE(6), RELEASE(6)
    ("16 01 00 00 00 00", (5, 0x24, 0)), ("17 10 00 00 00 00", (5, 0x24, 0)),  # an extent, a third party
    ("1d 00 00 00 00 00", GOOD), ("1d 04 00 00 00 00", GOOD),                  # SEND DIAGNOSTIC: nothing, the self-test
    ("1d 20 00 00 00 00", (5, 0x24, 0)), ("1d 10 00 00 00 00", (5, 0x24, 0)), ("1d 00 00 00 04 00", (5, 0x24, 0)),
    ("04 00 00 00 00 00", GOOD), ("04 10 00 00 00 00", (5, 0x24, 0)), ("04 40 00 00 00 00", (5, 0x24, 0)),
    ("af 00 00 00 07 ff 00 00 00 01 00 00", GOOD), ("af 00 00 00 08 00 00 00 00 00 00 00", GOOD),
    ("af 00 00 00 07 ff 00 00 00 02 00 00", (5, 0x21, 0)), ("af 00 ff ff ff ff ff ff ff ff 00 00", (5, 0x21, 0)),
    ("af 02 00 00 00 00 00 00 00 01 00 00", (5, 0x24, 0)), ("af 20 00 00 00 00 00 00 00 01 00 00", (5, 0x24, 0))])
def test_answers(cdb, expected):
    assert ask(cdb) == expected if expected is GOOD else sense(ask(cdb)) == expected


def test_format_of_a_disk_that_cannot():
    assert sense(ask("04", read_only=True)) == (7, 0x27, 0)
    target = ScsiTarget(SECTORS)
    assert target.execute(bytes.fromhex("1b 00 00 00 00 00")).kind == "flush"
    assert sense(target.execute(bytes((4,)))) == (2, 4, 2)


@pytest.mark.parametrize("cdb, expected", [
    ("41 00 00 00 00 10 00 00 08 00", Media("same", 16, 8, False, SECTOR)),
    ("41 00 00 00 07 00 00 00 00 00", Media("same", 0x700, 256, False, SECTOR)),          # up to the end
    ("93 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00", Media("same", 16, 8, False, SECTOR)),
    ("41 00 00 00 07 ff 00 00 02 00", (5, 0x21, 0)), ("41 00 00 00 08 00 00 00 00 00", (5, 0x21, 0)),
    ("41 08 00 00 00 00 00 00 01 00", (5, 0x24, 0)),                                      # UNMAP
    ("41 04 00 00 00 00 00 00 01 00", (5, 0x24, 0)), ("41 02 00 00 00 00 00 00 01 00", (5, 0x24, 0)),
    ("41 20 00 00 00 00 00 00 01 00", (5, 0x24, 0)),
    ("93 01 00 00 00 00 00 00 00 00 00 00 00 01 00 00", (5, 0x24, 0)),                    # NDOB
    ("93 00 00 00 00 00 00 00 00 00 00 00 40 01 00 00", (5, 0x24, 0)),                    # 16,385 sectors
    ("2e 00 00 00 00 10 00 00 08 00", Media("write", 16, 8, True)), ("2e 02 00 00 00 10 00 00 08 00", (5, 0x24, 0)),
    ("ae 00 00 00 00 10 00 00 00 08 00 00", Media("write", 16, 8, True)),
    ("8e 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00", Media("write", 16, 8, True))])
def test_media(cdb, expected):
    answer = ask(cdb, SECTOR + b"more")
    assert answer == expected if isinstance(expected, Media) else sense(answer) == expected


def test_write_same_of_a_disk_that_cannot():
    assert sense(ask("41 00 00 00 00 00 00 00 01 00", SECTOR, read_only=True)) == (7, 0x27, 0)
    assert struct.unpack_from(">Q", ask("12 01 b0 00 ff 00").data, 36) == (16_384,)       # MAXIMUM WRITE SAME LENGTH
    assert ask("12 01 b0 00 ff 00").data[4] == 0 and ask("12 01 b2 00 ff 00", unmap=True).data[5] & 0x60 == 0


def select(body, long=False, flags=0x10, length=None, **options):
    length = len(body) if length is None else length
    cdb = struct.pack(">BB5xHx", 0x55, flags, length) if long else struct.pack("BB2xBx", 0x15, flags, length)
    return ScsiTarget(SECTORS, **options).execute(cdb, body)


CACHING, CONTROL = mode_pages(0x08), mode_pages(0x0A)
BLOCK = struct.pack(">II", SECTORS, 512)


@pytest.mark.parametrize("body", [
    b"", bytes(4), bytes(4) + CACHING, bytes(4) + CACHING + CONTROL, bytes(3) + b"\x08" + BLOCK + CACHING,
    bytes(3) + b"\x08" + bytes(4) + struct.pack(">I", 512)])
def test_mode_select_of_what_is_so(body):
    assert select(body) == GOOD
    if body:
        assert select(bytes(7) + body[3:], long=True) == GOOD


def test_mode_select_refuses_everything_else():
    for body in (bytes(4) + CACHING[:2] + b"\x05" + CACHING[3:], bytes(4) + CACHING[:3] + b"\1" + CACHING[4:],
                 bytes(4) + CONTROL[:2] + b"\6" + CONTROL[3:]):
        assert sense(select(body)) == (5, 0x26, 0)                              # of all bits WCE alone may change
    for body in (bytes(4) + b"\x88" + CACHING[1:], bytes(4) + bytes((0x1A, 2, 0, 0)), bytes(3) + b"\x07" + bytes(7),
                 bytes(3) + b"\x08" + struct.pack(">II", SECTORS - 1, 512), bytes(3) + b"\x08" + struct.pack(">II", 0, 4096)):
        assert sense(select(body)) == (5, 0x26, 0), body
    assert sense(select(b"\0\0\0\0\1\0\0\x10" + bytes(16), long=True)) == (5, 0x26, 0)
    for body, length in ((bytes(3), None), (bytes(4) + CACHING[:-1], None), (bytes(4) + b"\x08", None), (bytes(4), 5),
                         (bytes(3) + b"\x08" + bytes(7), None)):
        assert sense(select(body, length=length)) == (5, 0x1A, 0), body
    assert sense(select(bytes(4) + CACHING, flags=0x11)) == (5, 0x24, 0)        # SP: save them


# By way of the channel.

def same(lba, sectors):
    return struct.pack(">BBIBHB", 0x41, 0, lba, 0, sectors, 0)


@pytest.mark.parametrize("fill, sectors, kinds", [(SECTOR, 8, ["write"]), (SECTOR, 3, ["write"]), (bytes(512), 100, ["zero"]),
                                                  (SECTOR, 2048 - 16, ["write"])])
def test_write_same_fills_the_disk(fill, sectors, kinds):
    rig = Rig().ready()
    before = rig.image.read(0, SECTORS)
    rig.backend._finish = filler(rig)
    rig.guest.memory.write(0x10000, fill)
    answer = rig.srb(same(16, sectors), 512, v.TO_DEVICE)
    assert (answer.srb_status, answer.scsi_status, answer.status, answer.transfer_length) == (1, 0, 0, 512)
    assert [kind for _, kind, *_ in rig.backend.log] == kinds
    assert rig.image.read(0, SECTORS) == before[:16 * 512] + fill * sectors + before[(16 + sectors) * 512:]
    assert rig.vsp.in_flight == 0 and len(rig.vsp.bounce.made) == (fill != bytes(512))


def filler(rig):
    """A backend that knows zeros, too."""
    real = rig.backend._finish

    def finish(op, lba, sectors, pages, done):
        if op == "zero":
            rig.image.write(lba, bytes(512 * sectors))
        real(op, lba, sectors, pages, done)
    return finish


def test_a_long_write_same_goes_in_steps_and_stops_at_an_error():
    rig = Rig(hold=True).ready()
    rig.target.sectors = 1 << 20
    payload_steps = []
    rig.guest.memory.write(0x10000, SECTOR)
    payload, ranges = srb(same(7, 10_000), 512, v.TO_DEVICE)
    rig.end.send(payload, 7, want_completion=True, ranges=ranges)
    rig.run()
    for status in (0, 0x280):
        (kind, lba, sectors, pages, done), = rig.backend.held
        payload_steps.append((kind, lba, sectors, len(pages), len(set(pages))))
        rig.backend.held.clear()
        done(status)
    packet, = rig.run()
    answer = v.SRB.parse(packet.payload)
    assert payload_steps == [("write", 7, 4096, 512, 1), ("write", 4103, 4096, 512, 1)]
    assert (answer.srb_status, answer.transfer_length, answer.cdb[2], answer.cdb[12]) == (0x84, 0, 3, 0x0C)
    assert rig.backend.held == [] and rig.vsp.in_flight == 0 and rig.vsp.bounce._free == rig.vsp.bounce.made


@pytest.mark.parametrize("length, direction, expected", [
    (0, v.NO_DATA, v.SRB_DATA_OVERRUN), (511, v.TO_DEVICE, v.SRB_DATA_OVERRUN), (512, v.TO_GUEST, v.SRB_INVALID_REQUEST)])
def test_write_same_without_its_sector_writes_nothing(length, direction, expected):
    rig = Rig().ready()
    for cdb in (same(16, 8), same(0, 0)):
        assert rig.srb(cdb, length, direction).srb_status == expected
    assert rig.backend.log == []


def test_the_others_by_way_of_the_channel():
    rig = Rig().ready()
    for cdb in ("1e 00 00 00 01 00", "16 00 00 00 00 00", "17 00 00 00 00 00", "1d 04 00 00 00 00",
                "af 00 00 00 00 00 00 00 00 08 00 00"):
        answer = rig.srb(cdb)
        assert (answer.srb_status, answer.scsi_status, answer.status) == (1, 0, 0), cdb
    rig.guest.memory.write(0x10000, bytes(4) + CACHING)
    assert rig.srb("15 10 00 00 18 00", 24, v.TO_DEVICE).srb_status == 1
    rig.guest.memory.write(0x10000, bytes(6) + b"\0")
    answer = rig.srb("15 10 00 00 18 00", 24, v.TO_DEVICE)
    assert (answer.srb_status, answer.cdb[2], answer.cdb[12]) == (0x84, 5, 0x26)


@pytest.mark.parametrize("flags, good", [(0, True), (1, False), (2, True), (0xFE, True), (0xFF, False)])
def test_a_long_mode_list_has_no_long_blocks(flags, good):
    """MODE SELECT(10): bit 0 of byte 4 announces block descriptors of 16 bytes (SPC-4, "Mode parameter header formats")."""
    header = bytes((0, 0, 0, 0, flags, 0, 0, 8))
    assert mode_parameters(header + struct.pack(">II", 2048, 512), True, 2048) == (True, good, None)
    assert mode_parameters(header + struct.pack(">II", 0, 512), True, 2048) == (True, good, None)
    assert mode_parameters(header + struct.pack(">II", 2047, 512), True, 2048) == (True, False, None)
