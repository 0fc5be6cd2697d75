"""Saving a disk: the bytes that the guest sees, and no more read than may hold something."""

import os
import random

import pytest

from tests.disk_files import MIB, PARTIAL, PRESENT, SECTOR, ZERO, fixed_vhd, guid, pattern, vhd, vhdx, vhdx_locator
from vmio.machine.media.medium import merged
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image

ID = "83ed0ec3-24c8-49a6-a959-5e4bf1288bfb"
A = pattern(MIB, 1)


def disks(folder):
    """{name: path} of one disk of each kind."""
    with open(folder / "raw.img", "wb") as file:
        for at in (0, 100 * SECTOR, 3 * MIB, 9 * MIB - SECTOR):
            file.seek(at)
            file.write(A[:SECTOR])
        file.truncate(10 * MIB + SECTOR)
    (folder / "fixed.vhd").write_bytes(fixed_vhd(A[:4096], bytes([1]) * 16))
    (folder / "dynamic.vhd").write_bytes(vhd(29, {2: (set(range(8)), A[:4096]), 0: ({0, 3}, A[4096:8192])}, unique_id=bytes([2]) * 16))
    (folder / "child.vhd").write_bytes(vhd(20, {2: ({1}, A[:4096])}, parent_id=bytes([2]) * 16, parent_name="dynamic.vhd"))
    (folder / "dynamic.vhdx").write_bytes(vhdx(4 * MIB + SECTOR, {1: (PRESENT, A), 2: (ZERO, None)}, data_guid=guid(ID)))
    (folder / "child.vhdx").write_bytes(vhdx(6 * MIB, {0: (PARTIAL, A, {5}), 5: (PRESENT, A)}, locator=vhdx_locator(
        parent_linkage=f"{{{ID}}}", relative_path="dynamic.vhdx")))
    return sorted(path for path in folder.iterdir())


def test_what_is_saved_is_what_is_read(tmp_path):
    dice = random.Random(5)
    paths = disks(tmp_path)
    assert len(paths) == 6
    for path in paths:
        for changed in (False, True):
            with Image.open(path) as image:
                over = Overlay(image)
                if changed:
                    for _ in range(20):
                        lba = dice.randrange(image.sectors)
                        over.write(lba, bytes([dice.randrange(256)]) * SECTOR)
                    over.discard(3, 4)
                wanted = over.read(0, over.sectors)
                over.save(tmp_path / "saved")
                assert (tmp_path / "saved").read_bytes() == wanted, path


class Counting(Overlay):
    """A difference disk that counts the sectors that are read."""

    __slots__ = ("asked",)

    def read(self, lba, count=1):
        self.asked += count
        return super().read(lba, count)


@pytest.mark.skipif(not hasattr(os, "SEEK_DATA"), reason="this system doesn't tell where a file's holes are")
def test_a_sparse_tebibyte_is_saved_at_once(tmp_path):
    path, size = tmp_path / "big.img", 1 << 40
    with open(path, "wb") as file:
        file.truncate(size)
        file.seek(size // 2)
        file.write(b"middle")
    with Image.open(path) as image:
        over = Counting(image)
        over.asked = 0
        over.write(7, b"\x55" * SECTOR)
        over.save(tmp_path / "saved")
        assert over.asked <= 2048                      # of 2,147,483,648
    with open(tmp_path / "saved", "rb") as file:
        assert os.path.getsize(tmp_path / "saved") == size
        assert file.read(9 * SECTOR) == bytes(7 * SECTOR) + b"\x55" * SECTOR + bytes(SECTOR)
        file.seek(size // 2)
        assert file.read(8) == b"middle\0\0"
    assert os.stat(tmp_path / "saved").st_blocks * 512 < MIB


def test_what_a_container_has_not_is_not_read(tmp_path):
    """Of 8 TiB of VHDX, two blocks of 1 MiB hold something."""
    path, size = tmp_path / "large.vhdx", 8 << 40
    ratio = 4096
    last = size // MIB - 1
    content = vhdx(MIB, {}, block_bytes=MIB, items={"2FA54224-CD1B-4876-B211-5DBED83BF4B8": size.to_bytes(8, "little")},
                   bat_bytes=65 * MIB)
    path.write_bytes(content[:3 * MIB])
    at = (3 + 65) * MIB
    with open(path, "r+b") as file:
        for n, block in enumerate((1, last)):
            file.seek(3 * MIB + 8 * (block + block // ratio))
            file.write((at + n * MIB | PRESENT).to_bytes(8, "little"))
            file.seek(at + n * MIB)
            file.write(A)
    with Image.open(path) as image:
        assert list(image.extents()) == [(2048, 4096), (last * 2048, (last + 1) * 2048)]
        assert image.read(last * 2048 - 1, 2049) == bytes(SECTOR) + A


def test_a_bitmap_is_no_block(tmp_path):
    """A child of 5 GiB, so of two chunks: its extents are its one block's and its parent's, not the bitmap's."""
    disks(tmp_path)
    path = tmp_path / "two chunks.vhdx"
    path.write_bytes(vhdx(5 << 30, {3: (PARTIAL, A, {5})}, locator=vhdx_locator(
        parent_linkage=f"{{{ID}}}", relative_path="dynamic.vhdx")))
    with Image.open(path) as image:
        assert list(image.extents()) == [(2048, 4096), (3 * 2048, 4 * 2048)]


def test_merged():
    assert list(merged([(0, 2), (5, 6)], [(2, 3), (6, 9), (20, 21)], [])) == [(0, 3), (5, 9), (20, 21)]
    assert list(merged([(4, 10)], [(5, 6), (9, 12)])) == [(4, 12)] and list(merged([], [])) == []
