"""VHDX files: block states, sector bitmaps, chains of parents, and what is refused, each with a sentence."""

import random
import struct

import pytest

from tests.disk_files import (BAT, DISK_ID, LOGICAL, METADATA, MIB, PARAMETERS, PARTIAL, PHYSICAL, PRESENT,
                              SECTOR, SIZE, UNDEFINED, UNMAPPED, ZERO, guid, pattern, seal_vhdx, vhdx, vhdx_header, vhdx_locator,
                              vhdx_regions)
from vmio.machine.media.vhdx_wire import crc32c
from vmio.machine.storage import Image

BLOCK = 2048                       # sectors in a block of 1 MiB
ID = "83ed0ec3-24c8-49a6-a959-5e4bf1288bfb"
OTHER = "00000000-0000-0000-0000-000000000009"
A, B = pattern(MIB, 1), pattern(MIB, 2)


def opened(folder, content, name="disk.vhdx"):
    path = folder / name
    path.write_bytes(content)
    return Image.open(path)


def sector(data, n):
    return data[n * SECTOR:(n + 1) * SECTOR]


def test_crc32c_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283                       # the check value of RFC 3720's polynomial
    assert crc32c(bytes(32)) == 0x8A9136AA                          # RFC 3720, B.4


def test_blocks_by_state(tmp_path):
    blocks = {0: (PRESENT, A), 2: (ZERO, A), 3: (UNDEFINED, A), 4: (UNMAPPED, A), 5: (PRESENT, B)}
    with opened(tmp_path, vhdx(6 * MIB + 3 * SECTOR, blocks)) as image:
        assert image.sectors == 6 * BLOCK + 3
        assert image.read(0, BLOCK) == A and image.read(BLOCK, 4 * BLOCK) == bytes(4 * MIB)
        assert image.read(5 * BLOCK, BLOCK) == B and image.read(6 * BLOCK, 3) == bytes(3 * SECTOR)
        assert image.read(BLOCK - 2, 3) == A[-2 * SECTOR:] + bytes(SECTOR)
        assert image.read(5 * BLOCK - 1, 2) == bytes(SECTOR) + B[:SECTOR]
        with pytest.raises(ValueError, match=f"0 to {6 * BLOCK + 2} exist"):
            image.read(6 * BLOCK + 2, 2)
    assert Image.open(vhdx(MIB, {0: (PRESENT, A)})).read(7) == sector(A, 7)      # from bytes, too


def test_the_header_with_the_larger_number_counts(tmp_path):
    def size_of(first, second):
        return opened(tmp_path, vhdx(MIB, {0: (PRESENT, A)}, headers=(first, second))).sectors
    dirty = guid(OTHER)
    broken = vhdx_header(9)[:100] + b"\1" + vhdx_header(9)[101:]
    assert size_of(vhdx_header(5), vhdx_header(4, log_guid=dirty)) == BLOCK
    assert size_of(vhdx_header(4, log_guid=dirty), vhdx_header(5)) == BLOCK
    assert size_of(broken, vhdx_header(1)) == size_of(vhdx_header(1), broken) == BLOCK
    assert size_of(vhdx_header(5), vhdx_header(5)) == BLOCK
    with pytest.raises(ValueError, match="its two headers differ, and both have sequence number 5"):
        size_of(vhdx_header(5), vhdx_header(5, data_guid=dirty))
    with pytest.raises(ValueError, match="neither of its two headers"):
        size_of(broken, broken)
    with pytest.raises(ValueError, match="version 2; version 1"):
        size_of(vhdx_header(5, version=2), vhdx_header(4))
    with pytest.raises(ValueError, match=r"disk\.vhdx: VHDX: it was not closed in order.*qemu-img check -r all .*disk\.vhdx.*Mount-VHD"):
        size_of(vhdx_header(5, log_guid=dirty), vhdx_header(4))


def test_either_region_table_is_enough(tmp_path):
    content = vhdx(MIB, {0: (PRESENT, A)})
    first, second = 192 << 10, 256 << 10
    for at in (first, second):
        assert opened(tmp_path, content[:at + 20] + b"\xff" + content[at + 21:]).read(0, BLOCK) == A
    with pytest.raises(ValueError, match="neither of its two region tables"):
        opened(tmp_path, content[:first + 20] + b"\xff" + content[first + 21:second + 20] + b"\xff" + content[second + 21:])


def test_a_table_that_fills_its_region(tmp_path):
    """131,041 blocks and 31 sector bitmaps' places are 131,072 entries of 8 bytes: just 1 MiB."""
    image = opened(tmp_path, vhdx(131_041 * MIB, {0: (PRESENT, A)}))
    assert image.sectors == 131_041 * BLOCK and image.read(0, BLOCK) == A
    assert image.read(131_040 * BLOCK, BLOCK) == bytes(MIB)


def test_sectors_of_4096_bytes_are_shown_as_512(tmp_path):
    assert opened(tmp_path, vhdx(2 * MIB, {1: (PRESENT, A)}, sector=4096)).read(BLOCK + 9, 5) == A[9 * SECTOR:14 * SECTOR]
    assert opened(tmp_path, vhdx(MIB, {0: (PRESENT, A)}, physical=4096)).read(0, BLOCK) == A


@pytest.mark.parametrize("block_mib, sector_bytes", [(256, 512), (128, 512), (256, 4096)])
def test_blocks_of_later_chunks(tmp_path, block_mib, sector_bytes):
    """After every chunk of 2^23 logical sectors the table has the entry of a sector bitmap, so later blocks move on by one."""
    ratio = (sector_bytes << 23) // (block_mib * MIB)
    path = tmp_path / "disk.vhdx"
    content = vhdx((2 * ratio + 1) * block_mib * MIB, {}, block_bytes=block_mib * MIB, sector=sector_bytes)
    path.write_bytes(content)
    wanted = {ratio - 1: A, ratio: B, 2 * ratio: pattern(MIB, 3)}
    with open(path, "r+b") as file:
        for n, (block, data) in enumerate(wanted.items()):
            at = len(content) + n * block_mib * MIB
            file.seek(3 * MIB + 8 * (block + block // ratio))
            file.write(struct.pack("<Q", at | PRESENT))
            file.seek(at)
            file.write(data)
        file.truncate(len(content) + 3 * block_mib * MIB)
    with Image.open(path) as image:
        for block, data in wanted.items():
            first = block * block_mib * BLOCK
            assert image.read(first, BLOCK + 1) == data + bytes(SECTOR)
            if block == ratio - 1:
                assert image.read(first + block_mib * BLOCK - 1, 2) == bytes(SECTOR) + B[:SECTOR]


# --- differencing ---------------------------------------------------------------------------------

def child_of(folder, sector_bytes=512, **pairs):
    """A parent of 2 blocks under base/, and a child of 4: its block 0 is partly its own, 1 the parent's, 3 its own."""
    parent, own = pattern(2 * MIB, 7), pattern(MIB, 8)
    (folder / "base").mkdir(exist_ok=True)
    (folder / "base" / "parent.vhdx").write_bytes(vhdx(2 * MIB, {0: (PRESENT, parent[:MIB]), 1: (PRESENT, parent[MIB:])},
                                                       sector=sector_bytes, data_guid=guid(ID)))
    pairs = {"parent_linkage": f"{{{ID}}}", "relative_path": r".\base\parent.vhdx"} | pairs
    step, here = sector_bytes // SECTOR, {0, 3, 8, 9, 200}
    content = vhdx(4 * MIB, {0: (PARTIAL, own, here), 3: (PRESENT, A)}, sector=sector_bytes, locator=vhdx_locator(**pairs))
    wanted = b"".join(sector(own if n // step in here else parent, n) for n in range(BLOCK)) + parent[MIB:] + bytes(MIB) + A
    return content, wanted


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_a_differencing_disk_over_its_parent(tmp_path, sector_bytes):
    content, wanted = child_of(tmp_path, sector_bytes)
    with opened(tmp_path, content, "child.avhdx") as image:
        assert image.sectors == 4 * BLOCK and image.read(0, 4 * BLOCK) == wanted
        dice = random.Random(3)
        for _ in range(300):
            lba = dice.randrange(2 * BLOCK) if dice.random() < 0.3 else dice.randrange(40)
            count = dice.randrange(30)
            assert image.read(lba, count) == wanted[lba * SECTOR:(lba + count) * SECTOR]
        image.write(3, bytes(SECTOR))
        assert image.read(2, 3) == wanted[2 * SECTOR:3 * SECTOR] + bytes(SECTOR) + wanted[4 * SECTOR:5 * SECTOR]
    assert (tmp_path / "child.avhdx").read_bytes() == content


def test_a_block_that_is_zero_or_given_back_is_not_the_parents(tmp_path):
    child_of(tmp_path)
    locator = vhdx_locator(parent_linkage=f"{{{ID}}}", relative_path=r"base\parent.vhdx")
    image = opened(tmp_path, vhdx(2 * MIB, {0: (ZERO, None), 1: (UNMAPPED, None)}, locator=locator))
    assert image.read(0, 2 * BLOCK) == bytes(2 * MIB)


@pytest.mark.parametrize("pairs", [
    {"parent_linkage": f"{{{ID.upper()}}}"},
    {"parent_linkage": f"{{{OTHER}}}", "parent_linkage2": f"{{{ID}}}"},
    {"relative_path": r"..\gone.vhdx", "absolute_win32_path": r"\\?\D:\vms\beside.vhdx"},
    {"relative_path": "", "volume_path": r"\\?\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\vms\beside.vhdx"},
    {"relative_path": "other.vhdx", "absolute_win32_path": r"\\?\D:\vms\beside.vhdx"},
])
def test_ways_to_name_a_parent(tmp_path, pairs):
    content, wanted = child_of(tmp_path, **pairs)
    (tmp_path / "beside.vhdx").write_bytes((tmp_path / "base" / "parent.vhdx").read_bytes())
    (tmp_path / "other.vhdx").write_bytes(vhdx(MIB, {}))
    assert opened(tmp_path, content, "child.vhdx").read(0, 4 * BLOCK) == wanted


def test_a_chain_of_three(tmp_path):
    child_of(tmp_path)
    middle, top = "11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"
    mine, theirs = pattern(MIB, 21), pattern(MIB, 22)
    (tmp_path / "middle.vhdx").write_bytes(vhdx(2 * MIB, {0: (PARTIAL, theirs, {1, 2})}, data_guid=guid(middle), locator=vhdx_locator(
        parent_linkage=f"{{{ID}}}", relative_path=r"base\parent.vhdx")))
    image = opened(tmp_path, vhdx(2 * MIB, {0: (PARTIAL, mine, {2, 3})}, data_guid=guid(top), locator=vhdx_locator(
        parent_linkage=f"{{{middle}}}", relative_path="middle.vhdx")), "top.vhdx")
    base = pattern(2 * MIB, 7)
    assert image.read(0, 5) == sector(base, 0) + sector(theirs, 1) + sector(mine, 2) + sector(mine, 3) + sector(base, 4)
    assert image.read(BLOCK, BLOCK) == base[MIB:]


def test_parents_that_are_refused(tmp_path):
    content, _ = child_of(tmp_path)
    parent = tmp_path / "base" / "parent.vhdx"
    for other, why in ((vhdx(2 * MIB, {}, data_guid=guid(OTHER)), r"base.parent\.vhdx is not the parent that it was made from"),
                       (vhdx(2 * MIB, {}, sector=4096, data_guid=guid(ID)), "sectors of 512 bytes, its parent's have 4096"),
                       (vhdx(2 * MIB, {}, headers=(vhdx_header(2, guid(ID), guid(OTHER)), b"")), r"parent\.vhdx: VHDX: it was not closed"),
                       (bytes(2 * MIB), r"parent\.vhdx: VHDX: neither of its two headers"),
                       (b"", r"parent\.vhdx: VHDX: 0 bytes")):
        parent.write_bytes(other)
        with pytest.raises(ValueError, match=why):
            opened(tmp_path, content, "child.vhdx")
    parent.unlink()
    with pytest.raises(ValueError, match=r"child\.vhdx: is a differencing disk, and its parent is not at '.*base.parent\.vhdx'"):
        opened(tmp_path, content, "child.vhdx")
    with pytest.raises(ValueError, match="any place that it names"):
        opened(tmp_path, vhdx(MIB, {}, locator=vhdx_locator(parent_linkage=f"{{{ID}}}")))
    with pytest.raises(ValueError, match=f"its parent is of unknown kind {OTHER}"):
        opened(tmp_path, vhdx(MIB, {}, locator=vhdx_locator(OTHER, relative_path="x")))
    with pytest.raises(ValueError, match="does not say where its parent is"):
        opened(tmp_path, vhdx(MIB, {}, has_parent=True))
    with pytest.raises(ValueError, match="does not say where its parent is"):
        opened(tmp_path, vhdx(MIB, {}, locator=vhdx_locator(relative_path="x")[:30]))
    for at in range(20, 32):                # keys and values that begin or end outside of the locator
        raw = vhdx_locator(relative_path="x")
        with pytest.raises(ValueError, match="does not say where its parent is"):
            opened(tmp_path, vhdx(MIB, {}, locator=raw[:at] + b"\xff" + raw[at + 1:]))
    with pytest.raises(ValueError, match="comes back"):
        opened(tmp_path, vhdx(MIB, {}, data_guid=guid(ID), locator=vhdx_locator(
            parent_linkage=f"{{{ID}}}", relative_path="self.vhdx")), "self.vhdx")


# --- hostile --------------------------------------------------------------------------------------

PLAIN = {0: (PRESENT, A)}
SOMETHING = "12345678-0000-0000-0000-000000000000"


@pytest.mark.parametrize("content, why", [
    (vhdx(2 * MIB, PLAIN, table={1: 1 << 60 | PRESENT}), "a block at byte 1152921504606846976 takes 1048576 bytes"),
    (vhdx(2 * MIB, PLAIN, table={1: ((1 << 44) - 1) << 20 | PRESENT}), "a block at byte"),
    (vhdx(2 * MIB, PLAIN, table={1: 4 * MIB | PRESENT}), "byte 4194304 overlap"),                  # the same block twice
    (vhdx(2 * MIB, PLAIN, table={1: 2 * MIB | PRESENT}), "byte 2097152 overlap"),                  # over the metadata
    (vhdx(2 * MIB, PLAIN, table={1: MIB | PRESENT}), "byte 1048576 overlap"),                      # over the log
    (vhdx(2 * MIB, PLAIN, table={1: PRESENT}), "what is at byte 0"),                               # over the headers
    (vhdx(2 * MIB, PLAIN)[:-SECTOR], "a block at byte 4194304"),                                   # cut short
    (vhdx(2 * MIB, PLAIN, table={1: 4}), "table entry 0x4 has state 4"),
    (vhdx(2 * MIB, PLAIN, table={1: 5}), "table entry 0x5 has state 5"),
    (vhdx(2 * MIB, PLAIN, table={1: 4 * MIB | PARTIAL}), "table entry 0x400007 has state 7"),      # it has no parent
    (vhdx(2 * MIB, PLAIN, table={1: 8}), "table entry 0x8 has state 0 or reserved bits"),
    (vhdx(16 * 256 * MIB * 2, {}, block_bytes=256 * MIB, table={16: 9 * MIB | PRESENT}), "state 6"),   # a bitmap without a parent
    (vhdx(2 * MIB, {}, items={SIZE: struct.pack("<Q", 200_000 * MIB)}), "its 200048 entries need more"),
    (vhdx(2 * MIB, {}, items={SIZE: struct.pack("<Q", (64 << 40) + 512)}), "a disk of 70368744178176 bytes"),
    (vhdx(2 * MIB, {}, items={SIZE: struct.pack("<Q", 1000)}), "a disk of 1000 bytes"),
    (vhdx(2 * MIB, {}, items={SIZE: bytes(8)}), "a disk of 0 bytes"),
    (vhdx(2 * MIB, {}, items={SIZE: b"\1"}), "does not say its virtual disk size"),
    (vhdx(2 * MIB, {}, items={LOGICAL: None}), "does not say its logical sector size"),
    (vhdx(2 * MIB, {}, flags={LOGICAL: 1}), "does not say its logical sector size"),               # a user's item of that name
    (vhdx(2 * MIB, {}, items={LOGICAL: struct.pack("<I", 520)}), "sectors of 520 bytes"),
    (vhdx(2 * MIB, {}, items={PHYSICAL: struct.pack("<I", 0)}), "physical ones of 0"),
    (vhdx(2 * MIB, {}, items={PARAMETERS: struct.pack("<II", 3 * MIB, 0)}), "blocks of 3145728 bytes"),
    (vhdx(2 * MIB, {}, items={PARAMETERS: struct.pack("<II", 512, 0)}), "blocks of 512 bytes"),
    (vhdx(2 * MIB, {}, items={PARAMETERS: struct.pack("<II", 512 * MIB, 0)}), "blocks of 536870912 bytes"),
    (vhdx(2 * MIB, {}, items={SOMETHING: b"x"}), f"metadata of unknown kind {SOMETHING}"),
    (vhdx(2 * MIB, {}, regions=[(SOMETHING, 3 * MIB, MIB, 1)], first_regions=b""), f"a region of unknown kind {SOMETHING}"),
    (vhdx(2 * MIB, {}, first_regions=vhdx_regions((BAT, 3 * MIB, MIB, 1))), "lacks the block allocation table or the metadata"),
    (vhdx(2 * MIB, {}, first_regions=vhdx_regions((BAT, 3 * MIB, MIB, 1), (METADATA, 3 * MIB, MIB, 1))), "no metadata table"),
    (vhdx(2 * MIB, {}, first_regions=vhdx_regions((BAT, 3 * MIB, MIB, 1), (METADATA, 2 * MIB, MIB, 1), (SOMETHING, 3 * MIB, MIB, 0))),
     "byte 3145728 overlap"),
    (vhdx(2 * MIB, {}, first_regions=vhdx_regions((BAT, 3 * MIB, MIB, 1), (METADATA, 2 * MIB + 4096, MIB, 1))), "multiples of 1 MiB"),
    (vhdx(2 * MIB, {}, first_regions=vhdx_regions((BAT, 1 << 62, MIB, 1), (METADATA, 2 * MIB, MIB, 1))), "the file has 4194304"),
    (vhdx(2 * MIB, {})[:65536], "65536 bytes; its header section alone takes 1048576"),
    (b"vhdxfile", "8 bytes; its header section"),
])
def test_what_is_refused(tmp_path, content, why):
    with pytest.raises(ValueError) as caught:
        opened(tmp_path, content)
    assert "disk.vhdx" in str(caught.value) and why in str(caught.value) and "\n" not in str(caught.value)


def test_what_may_be_there_unknown(tmp_path):
    """A user's metadata of a known name, unknown metadata and regions that nobody requires."""
    content = vhdx(MIB, PLAIN, items={SOMETHING: b"x", DISK_ID: b"y" * 16}, flags={SOMETHING: 0},
                   regions=[(SOMETHING, 2 * MIB, MIB, 0)], first_regions=b"")
    with pytest.raises(ValueError, match="overlap"):
        opened(tmp_path, content)
    content = vhdx(MIB, {}, items={SOMETHING: b"x"}, flags={SOMETHING: 0}, regions=[(SOMETHING, 4 * MIB, MIB, 0)], first_regions=b"")
    assert opened(tmp_path, content + bytes(MIB)).read(0, BLOCK) == bytes(MIB)


def test_metadata_that_is_not_where_metadata_is(tmp_path):
    content = vhdx(MIB, {})
    for at in (0, 65535, MIB - 7, 0xFFFFFFFF):      # in the table, in it by a byte, past the region's end by one, nowhere
        place = 2 * MIB + 32 + 16                   # the first item's offset
        with pytest.raises(ValueError, match="its file parameters is there twice or not where metadata is"):
            opened(tmp_path, content[:place] + struct.pack("<I", at) + content[place + 4:])


def test_a_bitmap_that_is_missing(tmp_path):
    """A partly present block without its bitmap: which sectors are the parent's can't be known."""
    content, _ = child_of(tmp_path)
    ratio = (1 << 23) * SECTOR // MIB
    at = 3 * MIB + 8 * ratio
    with pytest.raises(ValueError, match=r"child\.vhdx: VHDX: blocks of chunk 0 are partly the parent's"):
        opened(tmp_path, content[:at] + bytes(8) + content[at + 8:], "child.vhdx")


def test_no_byte_of_a_header_can_do_harm(tmp_path):
    """Any byte changed, checksums made right again: a disk or a sentence."""
    dice, whole = random.Random(12), vhdx(3 * MIB, {0: (PRESENT, A), 2: (PRESENT, B)})
    pages = ((64 << 10, 4096, 96), (192 << 10, 64 << 10, 80))
    path = tmp_path / "disk.vhdx"
    path.write_bytes(whole)
    accepted = 0
    with open(path, "r+b") as file:
        for _ in range(150):
            changes = {}
            for at, length, used in dice.sample(pages, dice.choice((0, 1))):
                raw = bytearray(whole[at:at + length])
                raw[dice.randrange(used)] = dice.randrange(256)
                changes[at], changes[at + (64 << 10)] = seal_vhdx(bytes(raw)), bytes(length)
            for _ in range(dice.choice((0, 1, 1, 5))):
                changes[dice.choice((2 * MIB + dice.randrange(300), 2 * MIB + 65536 + dice.randrange(40),
                                     3 * MIB + dice.randrange(24)))] = bytes([dice.randrange(256)])
            for at, raw in changes.items():
                file.seek(at)
                file.write(raw)
            file.flush()
            try:
                with Image.open(path) as image:
                    image.read(0, min(image.sectors, 100))
                    image.read(image.sectors - 1)
                    accepted += 1
            except ValueError as error:
                assert "disk.vhdx" in str(error)
            for at, raw in changes.items():
                file.seek(at)
                file.write(whole[at:at + len(raw)])
    assert 10 < accepted < 140
