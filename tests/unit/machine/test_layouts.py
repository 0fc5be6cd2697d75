"""Parts of layouts, and layouts of bits: against structures written by hand from the specifications."""

import struct

import pytest

from vmio.hardware.nvme import wire as nvme
from vmio.machine.bits import BitLayout, bit, bits
from vmio.machine.layout import Layout, placed, raw, u8, u16, u32
from vmio.passthrough.iommu import interrupts, invalidation, posted, structures
from vmio.vmbus.storage import scsi_wire as scsi
from vmio.vmbus.storage import vstor as v

POINT = Layout("POINT", u8("kind"), u16("x"), u16("y"), raw("name", 3), u32("z"))
SIGN = BitLayout("SIGN", 16, bit("up", 0, "or down"), bits("colour", 3, 1, "", {2: "red"}), bits("size", 15, 8))


def test_a_part_passes_over_what_is_not_named():
    assert POINT.only("x", "z").format == "<1xH5xI" and POINT.only("x", "z").unpack(POINT.pack(kind=1, x=2, y=3, z=4)) == (2, 4)
    assert POINT.only("kind", "x").size == 3 and POINT.only("kind", "x", whole=True).size == POINT.size == 12
    assert POINT.only("x", whole=True).pack(7) == POINT.pack(x=7)


def test_several_fields_as_bytes():
    part = POINT.only("kind", ("x", "name"), "z")
    data = POINT.pack(kind=1, x=2, y=3, name=b"abc", z=4)
    assert part.unpack(data) == (1, b"\2\0\3\0abc", 4) and part.pack(1, data[POINT.slice("x", "name")], 4) == data
    assert POINT.slice("y") == slice(3, 5) and POINT.only(("y", "y")).unpack_from(data) == (b"\3\0",)


@pytest.mark.parametrize("names, why", [
    (("w",), "POINT has no field w"), ((("x", "w"),), "POINT has no field w"), (("y", "x"), "x is not behind"),
    (("x", "x"), "x is not behind"), ((("z", "x"),), "z is not behind"), ((("x", "name"), "y"), "y is not behind")])
def test_what_is_no_part(names, why):
    with pytest.raises(ValueError, match=why):
        POINT.only(*names)


def test_the_same_fields_under_another_name():
    other = POINT.titled("PLACE")
    assert other.draw(bytes(12)).startswith("PLACE: 12 bytes") and POINT.draw(bytes(12)).startswith("POINT: 12 bytes")
    assert other.draw(bytes(12)).split("\n")[1:] == POINT.draw(bytes(12)).split("\n")[1:]


def test_bits():
    assert SIGN.pack(up=1, colour=2, size=0x34) == bytes((0x05, 0x34)) and SIGN.number(size=255) == 0xFF00
    assert SIGN.parse(b"\x05\x34\xFF") == (1, 2, 0x34) == SIGN.take(0x3405) and SIGN.take(0x3405).colour == 2
    assert SIGN.reserved == 0x00F0 and SIGN.mask("colour") == 0x0E and SIGN.size == 2
    assert SIGN.draw(b"\xF5\x34").split("\n") == [
        "SIGN: 2 bytes", "   bits  field   value", "      0  up      1  (or down)", "    3:1  colour  2 red", "   15:8  size    0x34",
        "         (reserved)  0xf0"]


@pytest.mark.parametrize("make, error, why", [
    (lambda: SIGN.number(up=2), ValueError, "SIGN.up: 2; 0 to 1"), (lambda: SIGN.number(colour=-1), ValueError, "-1; 0 to 7"),
    (lambda: SIGN.pack(down=1), TypeError, "SIGN has no field down"), (lambda: SIGN.parse(b"\0"), ValueError, "1 bytes, 2 needed"),
    (lambda: BitLayout("TWICE", 8, bits("a", 3, 0), bit("b", 3)), ValueError, "TWICE.b: bits 3 to 3 are not there, or taken"),
    (lambda: BitLayout("LONG", 8, bits("a", 8, 0)), ValueError, "LONG.a: bits 8 to 0"),
    (lambda: BitLayout("BACK", 8, bits("a", 0, 3)), ValueError, "BACK.a")])
def test_what_are_no_bits(make, error, why):
    with pytest.raises(error, match=why):
        make()


@pytest.mark.parametrize("part, wanted", [
    (nvme.SQE, "<BBHI16xQQIIIIII"), (nvme.SQE_RW, "<BBHI16xQQQI12x"), (nvme.CQE, "<IIHHHH"), (nvme.RANGE.struct, "<IIQ"),
    (nvme.DATA_DESCRIPTOR.only("address", "length", "kind"), "<QI3xB"), (nvme.COMPLETION.only("command_id", "status"), "<12xHH"),
    (scsi.CDB10.struct, ">BBIBHB"), (scsi.CDB12.struct, ">BBIIBB"), (scsi.CDB16.struct, ">BBQIBB"),
    (scsi.UNMAP_LIST.struct, ">HHIQII"), (scsi.CDB_REPORT_LUNS.struct, ">BBB3sIBB"), (scsi.CDB_SERVICE_IN.struct, ">BBQIBB"),
    (scsi.CAPACITY10.struct, ">II"), (scsi.CAPACITY16.struct, ">QIBBBB16s"), (scsi.SENSE.struct, ">BBBIBIBBB3s"),
    (scsi.INQUIRY.struct, ">BBBBB3s8s16s4s"), (scsi.BLOCK_LIMITS.struct, ">BBHIIIIIIIQ20s"),
    (v.SRB.only("port", "path", "target", "lun", "cdb_length", "direction", "transfer_length"), "<16xBBBBB1xB1xI"),
    (v.PACKET.only("operation", "flags", "status"), "<III"), (v.VERSION.only("version"), "<12xH")],
    ids=lambda value: getattr(value, "format", value))
def test_the_compiled_parts(part, wanted):
    """As they stand in the specifications, and once stood in the code."""
    assert part.format.replace("1x", "x") == wanted.replace("1x", "x") and part.size == struct.calcsize(wanted)


@pytest.mark.parametrize("layout, reserved", [
    (structures.ROOT, ~0 << 64 | 0xFFE), (structures.CONTEXT, 0xFF0 | 0x80 << 64 | ~0 << 88),
    (interrupts.REMAPPED, 0xFF00_7000 | 0xFFF << 84 | ~0 << 96), (interrupts.POSTED, 0x3F_FF00_30FC | 0xFFF << 84),
    (invalidation.DESCRIPTORS["CONTEXT_INVALIDATE"], 0xFFFC_0000_0000_FFC0 | ~0 << 64),
    (invalidation.DESCRIPTORS["IOTLB_INVALIDATE"], 0xFFFF_FFFF_0000_FF00 | 0xF80 << 64),
    (invalidation.DESCRIPTORS["DEVICE_TLB_INVALIDATE"], 0xFFFF_0000_FFE0_FFF0 | 0xFFE << 64),
    (invalidation.DESCRIPTORS["INVALIDATION_WAIT"], 0xFFFF_FF80 | 3 << 64)], ids=lambda value: getattr(value, "name", ""))
def test_reserved_bits(layout, reserved):
    """VT-d 9.1, 9.3, 9.9, 9.10 and 6.5.2: the bits that must be 0."""
    assert layout.reserved == reserved & (1 << 128) - 1


@pytest.mark.parametrize("layout, data, rows", [
    (structures.ROOT, structures.root_entry(0x5000), ["0  present  1", "63:12  table    5  (context table, in pages)"]),
    (structures.CONTEXT, structures.context_entry(7, 0x9000, 4, structures.PASS), ["3:2  kind        2 pass", "87:72  domain      7"]),
    (interrupts.REMAPPED, interrupts.remapped_entry(0x18, 3, 0x41), ["23:16  vector       0x41", "79:64  requester    0x18",
                                                                  "83:82  verify       1 id", "63:32  destination  0x300"]),
    (interrupts.POSTED, interrupts.posted_entry(8, 0x1_0000_0040, 0x50, True), ["14  urgent           1", "63:38  descriptor_low   1",
                                                                             "127:96  descriptor_high  1"]),
    (invalidation.DESCRIPTORS["INVALIDATION_WAIT"], struct.pack("<QQ", 5 | 1 << 5 | 9 << 32, 0x8000), [
        "3:0  type       5 wait", "63:32  data       9", "127:66  address    0x2000"]),
    (posted.DESCRIPTOR, (1 << 256 | 0xF2 << 272).to_bytes(64, "little"), ["256  outstanding  1  (ON)", "279:272  vector       0xf2"]),
    (interrupts.MSI_ADDRESS, interrupts.compatibility_message(5, 0x33)[0].to_bytes(4, "little"), ["31:20  prefix       0xfee", "19:12  destination  5"]),
    (interrupts.REMAPPABLE_ADDRESS, interrupts.message(0x8003)[0].to_bytes(4, "little"), ["19:5  handle      3", "2  handle15    1"])],
    ids=lambda value: getattr(value, "name", ""))
def test_drawings_of_entries(layout, data, rows):
    drawn = layout.draw(data).split("\n")
    assert drawn[0] == f"{layout.name}: {len(data)} bytes" and "(reserved)" not in drawn[-1]
    for row in rows:
        assert any(line.strip().startswith(row) for line in drawn), (row, drawn)


def test_placed_fields_stand_at_their_offsets_and_the_rest_is_reserved():
    page = placed("PAGE", 16, {4: u16("late"), 1: u8("early"), 8: u32("last")})
    assert [(field.offset, field.size) for field in page.fields] == [(0, 1), (1, 1), (2, 2), (4, 2), (6, 2), (8, 4), (12, 4)]
    assert page.pack(late=0x1234, early=5, last=7) == bytes.fromhex("00050000341200000700000000000000")
    assert (page.at("early"), page.at("last")) == ((1, 1), (8, 4))


@pytest.mark.parametrize("size, fields, words", [
    (8, {0: u32("a"), 2: u16("b")}, "PAGE: a ends at 0x4, behind 0x2"), (8, {6: u32("a")}, "PAGE: a ends at 0xa, behind 0x8")])
def test_placed_fields_must_not_overlap(size, fields, words):
    with pytest.raises(ValueError) as refused:
        placed("PAGE", size, fields)
    assert str(refused.value) == words
