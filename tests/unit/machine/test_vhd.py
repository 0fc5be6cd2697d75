"""VHD files: what each kind holds, where a parent is looked for, and what is refused, each with a sentence."""

import io
import os
import random
import struct

import pytest

from tests.disk_files import NOWHERE, SECTOR, fixed_vhd, pattern, seal_vhd, vhd, vhd_footer
from vmio.__main__ import main
from vmio.machine.storage import Image

BLOCK = 4096
ONE, TWO = bytes([1]) * 16, bytes([2]) * 16
ALL = set(range(8))


def opened(folder, content, name="disk.vhd"):
    path = folder / name
    path.write_bytes(content)
    return Image.open(path)


def sector(data, n):
    return data[n * SECTOR:(n + 1) * SECTOR]


def test_a_fixed_disk_is_its_data_without_the_footer(tmp_path):
    data = pattern(9 * SECTOR, 3)
    for content in (fixed_vhd(data), fixed_vhd(data)[:-1]):         # before 2004 the footer had 511 bytes
        with opened(tmp_path, content) as image:
            assert image.sectors == 9 and image.read(0, 9) == data
    assert Image.open(fixed_vhd(data)).read(8) == sector(data, 8)   # from bytes, too


@pytest.mark.parametrize("inner", [b"QFI\xfb", b"conectix", b"vhdxfile", b"\x1f\x8b", b"KDMV", vhd_footer(SECTOR * 100, 3)])
def test_what_a_fixed_disk_holds_says_nothing_about_the_file(tmp_path, inner):
    data = inner.ljust(SECTOR, b"\0") + pattern(3 * SECTOR, 1)
    assert opened(tmp_path, fixed_vhd(data)).read(0, 4) == data


def test_a_dynamic_disk_has_zeros_where_it_has_no_block_and_no_bit(tmp_path):
    a, b = pattern(BLOCK, 1), pattern(BLOCK, 2)
    with opened(tmp_path, vhd(29, {2: (ALL, a), 0: ({0, 3, 7}, b)})) as image:
        assert image.sectors == 29
        wanted = b"".join(sector(b, n) if n in (0, 3, 7) else bytes(SECTOR) for n in range(8)) + bytes(BLOCK) + a + bytes(5 * SECTOR)
        assert image.read(0, 29) == wanted
        for lba in range(29):
            for count in range(30 - lba):
                assert image.read(lba, count) == wanted[lba * SECTOR:(lba + count) * SECTOR]
        image.write(28, b"\x77" * SECTOR)
        assert image.read(27, 2) == bytes(SECTOR) + b"\x77" * SECTOR
        with pytest.raises(ValueError, match="0 to 28 exist"):
            image.read(28, 2)


def test_a_bitmap_of_more_than_a_sector(tmp_path):
    big = 4 << 20                                                    # 8,192 sectors: a bitmap of 1,024 bytes
    data = pattern(big, 5)
    image = opened(tmp_path, vhd(8192, {0: ({0, 4095, 4096, 8191}, data)}, block_bytes=big))
    assert image.read(4094, 4) == bytes(SECTOR) + sector(data, 4095) + sector(data, 4096) + bytes(SECTOR)
    assert image.read(8190, 2) == bytes(SECTOR) + sector(data, 8191)


def test_either_footer_is_enough(tmp_path):
    a = pattern(BLOCK, 1)
    whole = vhd(8, {0: (ALL, a)})
    assert opened(tmp_path, b"\xff" * SECTOR + whole[SECTOR:]).read(0, 8) == a
    assert opened(tmp_path, whole[:-SECTOR] + bytes(SECTOR)).read(0, 8) == a
    assert opened(tmp_path, whole[:-SECTOR]).read(0, 8) == a
    # what the guest has at its end is no footer of this file's
    last = a[:-SECTOR] + vhd_footer(1 << 30, 2)
    assert opened(tmp_path, vhd(8, {0: (ALL, last)})[:-SECTOR]).read(0, 8) == last
    with pytest.raises(ValueError, match=r"disk\.vhd: VHD: no footer with a right checksum.*qemu-img convert -O raw"):
        opened(tmp_path, whole[:10] + b"\xff" + whole[11:-10] + b"\xff" + whole[-9:])


def test_the_geometry_does_not_cut_the_disk(tmp_path):
    content = bytearray(fixed_vhd(pattern(9 * SECTOR, 1)))
    struct.pack_into(">HBB", content, len(content) - SECTOR + 56, 1, 1, 4)      # 4 sectors by geometry
    footer = seal_vhd(bytes(content[-SECTOR:]), 64)
    assert opened(tmp_path, bytes(content[:-SECTOR]) + footer).sectors == 9


# --- differencing ---------------------------------------------------------------------------------

def family(folder, **locators):
    """A parent of 24 sectors, and a child of 32 that has sectors 1 and 9 to 15 of its own."""
    parent, child = pattern(3 * BLOCK, 1), pattern(4 * BLOCK, 2)
    (folder / "base").mkdir(exist_ok=True)
    (folder / "base" / "parent.vhd").write_bytes(fixed_vhd(parent, ONE))
    blocks = {0: ({1}, child[:BLOCK]), 1: (ALL - {0}, child[BLOCK:2 * BLOCK])}
    content = vhd(32, blocks, unique_id=TWO, parent_id=ONE, **locators)
    wanted = b"".join(sector(child if n == 1 or 9 <= n < 16 else parent, n) for n in range(24)) + bytes(8 * SECTOR)
    return content, wanted


RELATIVE = "base\\parent.vhd"


@pytest.mark.parametrize("locators", [
    {"locators": [(b"W2ru", f".\\{RELATIVE}".encode("utf-16-le"))]},
    {"locators": [(b"W2ru", RELATIVE.encode("utf-16-be"))]},
    {"locators": [(b"W2ku", "C:\\gone\\other.vhd".encode("utf-16-le")), (b"W2ru", RELATIVE.encode("utf-16-le"))]},
    {"locators": [(b"W2ru", "..\\nowhere.vhd".encode("utf-16-le")), (b"W2ku", "C:\\vms\\beside.vhd".encode("utf-16-le"))]},
    {"parent_name": "beside.vhd"},
])
def test_a_differencing_disk_over_its_parent(tmp_path, locators):
    content, wanted = family(tmp_path, **locators)
    (tmp_path / "beside.vhd").write_bytes((tmp_path / "base" / "parent.vhd").read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.vhd")}
    with opened(tmp_path, content, "child.avhd") as image:
        assert image.read(0, 32) == wanted
        for lba in range(32):
            for count in range(33 - lba):
                assert image.read(lba, count) == wanted[lba * SECTOR:(lba + count) * SECTOR]
        image.write(0, bytes(SECTOR))
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_url_of_a_mac(tmp_path):
    content, wanted = family(tmp_path, locators=[(b"MacX", f"file://localhost{tmp_path}/base/pa%72ent.vhd".encode())])
    assert opened(tmp_path, content, "child.vhd").read(0, 32) == wanted


def test_a_chain_of_many(tmp_path):
    """Child n has sector n of its own, and everything else from those below."""
    layers = [pattern(BLOCK, n) for n in range(20)]
    (tmp_path / "0.vhd").write_bytes(fixed_vhd(layers[0], bytes([100]) * 16))
    for n in range(1, 20):
        (tmp_path / f"{n}.vhd").write_bytes(vhd(8, {0: ({n % 8}, layers[n])}, unique_id=bytes([100 + n]) * 16,
                                                parent_id=bytes([99 + n]) * 16, parent_name=f"{n - 1}.vhd"))
    with Image.open(tmp_path / "19.vhd") as image:      # sector 0: layer 16, 1: 17, 2: 18, 3: 19, 4: 12 ...
        newest = [16, 17, 18, 19, 12, 13, 14, 15]
        assert image.read(0, 8) == b"".join(sector(layers[newest[n]], n) for n in range(8))


def test_a_parent_that_is_not_there_or_another(tmp_path):
    content, _ = family(tmp_path, locators=[(b"W2ru", RELATIVE.encode("utf-16-le"))])
    (tmp_path / "base" / "parent.vhd").write_bytes(fixed_vhd(pattern(BLOCK, 1), TWO))
    with pytest.raises(ValueError, match=r"child\.vhd: .*base.parent\.vhd is not the parent that it was made from"):
        opened(tmp_path, content, "child.vhd")
    os.unlink(tmp_path / "base" / "parent.vhd")
    with pytest.raises(ValueError, match=r"child\.vhd: is a differencing disk, and its parent is not at '.*base.parent\.vhd'"):
        opened(tmp_path, content, "child.vhd")
    (tmp_path / "base" / "parent.vhd").write_bytes(bytes(4096))
    with pytest.raises(ValueError, match=r"parent\.vhd: VHD: no footer"):
        opened(tmp_path, content, "child.vhd")
    with pytest.raises(ValueError, match="any place that it names"):
        opened(tmp_path, vhd(8, {}, parent_id=ONE), "child.vhd")
    with pytest.raises(ValueError, match="give the file's path"):
        Image.open(content)
    for hostile in ("\0", "a\0b", "x" * 5000, "..", "."):
        with pytest.raises(ValueError, match=r"child\.vhd|Is a directory"):
            opened(tmp_path, vhd(8, {}, parent_id=ONE, locators=[(b"W2ru", hostile.encode("utf-16-le"))]), "child.vhd")


def test_a_chain_that_comes_back(tmp_path):
    (tmp_path / "a.vhd").write_bytes(vhd(8, {}, unique_id=ONE, parent_id=TWO, parent_name="b.vhd"))
    (tmp_path / "b.vhd").write_bytes(vhd(8, {}, unique_id=TWO, parent_id=ONE, parent_name="a.vhd"))
    with pytest.raises(ValueError, match=r"b\.vhd: its chain of parents comes back to .*a\.vhd"):
        Image.open(tmp_path / "a.vhd")
    (tmp_path / "self.vhd").write_bytes(vhd(8, {}, unique_id=ONE, parent_id=ONE, parent_name="self.vhd"))
    with pytest.raises(ValueError, match="comes back"):
        Image.open(tmp_path / "self.vhd")


def test_a_chain_that_is_too_long(tmp_path):
    for n in range(200):
        (tmp_path / f"{n}.vhd").write_bytes(vhd(8, {}, unique_id=n.to_bytes(16, "big"), parent_id=(n + 1).to_bytes(16, "big"),
                                                parent_name=f"{n + 1}.vhd"))
    with pytest.raises(ValueError, match="more than 128 differencing disks"):
        Image.open(tmp_path / "0.vhd")


# --- hostile --------------------------------------------------------------------------------------

A = pattern(BLOCK, 1)


@pytest.mark.parametrize("content, why", [
    (vhd(16, {0: (ALL, A)}, table={1: 4_000_000}), "a block at byte 2048000000 takes 4608 bytes"),
    (vhd(16, {0: (ALL, A)}, table={1: NOWHERE - 1}), "a block at byte"),
    (vhd(16, {0: (ALL, A)}, table={1: 4}), "overlap"),                # both blocks are one
    (vhd(16, {0: (ALL, A)}, table={1: 1}), "overlap"),                # a block over the header
    (vhd(16, {0: (ALL, A)})[:-2 * SECTOR], "a block at byte"),        # cut short
    (vhd(16, {}, block_bytes=3000), "blocks of 3000 bytes"),
    (vhd(16, {}, **{"block_bytes": 4096, "entries": 1}), "a table of 1 entries; the disk has 2 blocks"),
    (vhd(16, {}, version=0x20000), "header version 0x20000"),
    (vhd(16, {}, table_at=1 << 60), "the block allocation table at byte 1152921504606846976"),
    (vhd(16, {}, table_at=(1 << 64) - 1), "the block allocation table at byte"),
    (vhd(16, {}, size=1 << 50, entries=NOWHERE), "a disk of 1125899906842624 bytes in blocks of 4096"),
    (vhd(16, {}, size=0), "a disk of 0 bytes"),
    (vhd(16, {}, size=1000), "a disk of 1000 bytes"),
    (vhd(16, {}, kind=5), "disk type 5"),
    (vhd(16, {}, kind=2), "a disk of 8192 bytes in a file of"),       # says fixed, and is too short for it
    (bytes(SECTOR) + vhd_footer(SECTOR, 3, header_at=1 << 63), "the header should be at byte 9223372036854775808"),
    (bytes(2048) + vhd_footer(SECTOR, 3), "no header with a right checksum at byte 512"),
    (bytes(1024) + vhd_footer(SECTOR, 2, version=0x20000), "version 0x20000"),
    (bytes(4096) + b"conectix".ljust(SECTOR, b"\0"), "no footer with a right checksum"),
    (b"conectix", "no footer with a right checksum"),
    (vhd(8, {}, parent_id=ONE, locators=[(b"W2ru", bytes(70_000))]), "a parent's path of 70000 bytes"),
])
def test_what_is_refused(tmp_path, content, why):
    with pytest.raises(ValueError) as caught:
        opened(tmp_path, content)
    assert "disk.vhd" in str(caught.value) and why in str(caught.value) and "\n" not in str(caught.value)


def test_no_byte_of_a_header_can_do_harm(tmp_path):
    """Any byte changed, checksums made right again: a disk or a sentence, and never more memory than the file has."""
    dice = random.Random(11)
    whole = vhd(24, {0: (ALL, A), 2: ({1, 5}, A)})
    for _ in range(1500):
        content = bytearray(whole)
        for _ in range(dice.choice((1, 1, 2, 8))):
            content[dice.choice((dice.randrange(SECTOR), SECTOR + dice.randrange(80), dice.randrange(1536, 1548)))] = dice.randrange(256)
        footer = seal_vhd(bytes(content[:SECTOR]), 64)
        header = seal_vhd(bytes(content[SECTOR:SECTOR + 1024]), 36)
        try:
            image = Image.open(footer + header + bytes(content[SECTOR + 1024:-SECTOR]) + footer)
            image.read(0, min(image.sectors, 100))
            image.read(image.sectors - 1)
        except ValueError:
            pass


@pytest.mark.parametrize("command", ["run", "qtest"])
def test_no_output_replaces_a_parent(tmp_path, monkeypatch, capsys, command):
    content, _ = family(tmp_path, locators=[(b"W2ru", RELATIVE.encode("utf-16-le"))])
    (tmp_path / "child.vhd").write_bytes(content)
    os.link(tmp_path / "base" / "parent.vhd", tmp_path / "other name")
    before = (tmp_path / "other name").read_bytes()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    child, output = str(tmp_path / "child.vhd"), str(tmp_path / "other name")
    arguments = {"run": ["run", "--bytes", "512", "--block", "512", "--image", child, "--save", output],
                 "qtest": ["qtest", "--drive", child, "--serial", output]}[command]
    assert main(arguments) == 2
    assert "layer 1" in capsys.readouterr().err
    assert (tmp_path / "other name").read_bytes() == before and (tmp_path / "base" / "parent.vhd").read_bytes() == before
