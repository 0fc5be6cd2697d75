"""VHD and VHDX files that `qemu-img` made and `qemu-io` wrote: each sector as `qemu-img convert -O raw` gives it."""

import hashlib
import os
import shutil
import subprocess
from random import Random

import pytest

from tests.disk_files import seal_vhdx
from vmio.machine.storage import SECTOR, Image

PROGRAMS = ("qemu-img", "qemu-io")
MISSING = "{} IS NOT INSTALLED: no VHD or VHDX file of QEMU's was read (Debian: apt install qemu-utils)"
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def programs():
    """No qemu-img is a failure where the comparison is promised (CI), and said aloud elsewhere."""
    for program in PROGRAMS:
        if not shutil.which(program):
            (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING.format(program))


def run(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def make(folder, kind, options, size, writes, seed):
    """A file of `kind` with `writes` random patterns in it, and what QEMU says is on that disk."""
    path, raw, dice = folder / f"disk.{kind}", folder / "plain", Random(seed)
    run("qemu-img", "create", "-f", kind, *(("-o", options) if options else ()), path, size)
    commands = []
    for _ in range(writes):
        length = SECTOR * dice.choice((1, 7, 8, 256, 4097))
        at = dice.randrange((size - length) // SECTOR) * SECTOR
        commands += ["-c", f"write -P {dice.randrange(256)} {at} {length}"]
    commands += ["-c", f"write -P 0xE1 {size - SECTOR} {SECTOR}", "-c", f"write -P 0xE2 0 {SECTOR}"]
    run("qemu-io", "-f", kind, *commands, path)
    run("qemu-img", "convert", "-f", kind, "-O", "raw", path, raw)
    return path, raw.read_bytes()


@pytest.mark.parametrize("seed", (1, 2))
@pytest.mark.parametrize("kind, options, size", [
    ("vpc", "subformat=dynamic,force_size=on", 37 * MIB + 3 * SECTOR),
    ("vpc", "subformat=dynamic", 40 * MIB),
    ("vpc", "subformat=fixed,force_size=on", 5 * MIB + SECTOR),
    ("vpc", "subformat=fixed", 8 * MIB),
    ("vhdx", "subformat=dynamic,block_size=1M", 37 * MIB + 3 * SECTOR),
    ("vhdx", "subformat=dynamic,block_size=8M", 40 * MIB),
    ("vhdx", "subformat=fixed,block_size=2M", 9 * MIB + SECTOR),
    ("vhdx", "subformat=dynamic,block_state_zero=off,block_size=1M", 20 * MIB),
])
def test_every_sector_is_qemus(tmp_path, kind, options, size, seed):
    path, raw = make(tmp_path, kind, options, size, 12, seed)
    before = hashlib.sha256(path.read_bytes()).digest()
    with Image.open(path) as image:
        assert image.sectors * SECTOR == len(raw)
        got = b"".join(image.read(lba, min(4096, image.sectors - lba)) for lba in range(0, image.sectors, 4096))
        assert got == raw
        dice = Random(seed)
        for _ in range(200):
            count = dice.choice((1, 2, 8, 300, 5000))
            lba = dice.randrange(image.sectors - count)
            assert image.read(lba, count) == raw[lba * SECTOR:(lba + count) * SECTOR]
        image.write(5, b"\x99" * SECTOR)
        assert image.read(4, 3) == raw[4 * SECTOR:5 * SECTOR] + b"\x99" * SECTOR + raw[6 * SECTOR:7 * SECTOR]
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_many_chunks_of_a_large_disk(tmp_path):
    """64 TiB, the most that VHDX has: 2,097,152 blocks of 32 MiB, a sector bitmap's entry after every 128."""
    path, size = tmp_path / "large.vhdx", 64 << 40
    run("qemu-img", "create", "-f", "vhdx", "-o", "block_size=32M", path, size)
    places = [n * (4 << 30) + 12345 * SECTOR for n in (0, 1, 2, 1000, 16383)]
    run("qemu-io", "-f", "vhdx", *(word for n, at in enumerate(places) for word in ("-c", f"write -P {n + 1} {at} 512")), path)
    with Image.open(path) as image:
        assert image.sectors == size // SECTOR
        for n, at in enumerate(places):
            assert image.read(at // SECTOR - 1, 3) == bytes(SECTOR) + bytes([n + 1]) * SECTOR + bytes(SECTOR)


def test_a_log_that_was_not_replayed_is_refused_and_its_cure_works(tmp_path):
    """QEMU leaves its log's entries in the file; a header that names them again is that of a file which was not closed."""
    path, _ = make(tmp_path, "vhdx", "subformat=dynamic,block_size=1M", 8 * MIB, 6, 3)
    with open(path, "r+b") as file:
        head = file.read(2 * MIB)
        assert head[MIB:MIB + 4] == b"loge"
        header = max((head[at:at + 4096] for at in (65536, 131072)), key=lambda raw: raw[8:16][::-1])
        for at in (65536, 131072):
            file.seek(at)
            file.write(seal_vhdx(header[:48] + head[MIB + 32:MIB + 48] + header[64:]))
    with pytest.raises(ValueError, match=r"disk\.vhdx: VHDX: it was not closed in order.*qemu-img check -r all"):
        Image.open(path)
    run("qemu-img", "check", "-r", "all", path)
    run("qemu-img", "convert", "-f", "vhdx", "-O", "raw", path, tmp_path / "replayed")
    with Image.open(path) as image:
        assert image.read(0, image.sectors) == (tmp_path / "replayed").read_bytes()


@pytest.mark.parametrize("kind, name", [("qcow2", "qcow2"), ("vmdk", "VMDK"), ("vdi", "VDI"), ("qed", "QED"),
                                        ("parallels", "Parallels")])
def test_what_qemu_makes_and_we_do_not_read_is_named(tmp_path, kind, name):
    path = tmp_path / "disk"
    run("qemu-img", "create", "-f", kind, path, 4 * MIB)
    with pytest.raises(ValueError, match=rf"disk: is in {name} format.*qemu-img convert -O raw"):
        Image.open(path)


@pytest.mark.parametrize("subformat", ["monolithicFlat", "streamOptimized", "twoGbMaxExtentSparse"])
def test_all_of_vmdk_is_named(tmp_path, subformat):
    path = tmp_path / "disk.vmdk"
    run("qemu-img", "create", "-f", "vmdk", "-o", f"subformat={subformat}", path, 4 * MIB)
    with pytest.raises(ValueError, match="is in VMDK .*format"):
        Image.open(path)
