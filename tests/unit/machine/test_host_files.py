"""Files and devices of the host as disks: size is not memory, nothing is written, and what has no size is refused."""

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from vmio.machine.media import hostfile
from vmio.machine.media.hostfile import HostFile
from vmio.machine.storage import SECTOR, Image

TIB = 1 << 40
posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and resource limits as POSIX has them")

RUN = """
import hashlib, json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from vmio.experiments import disk, trace
from vmio.machine.storage import Image
requests = trace.load(sys.argv[1])
image = Image.open(sys.argv[2]) if len(sys.argv) > 2 else None
for params in ({}, {"transfer": "dma"}, {"mode": "split"}, {"mode": "passthrough"}):
    result = disk.run(disk.DiskParams(**params), requests, image)
    print(result.sha256, len(result.images[0].own), result.images[0].read(7) == trace.payload(1, 1))
"""


def run_in_1_gib(*arguments):
    """What `RUN` prints, a line for each mode, in a process with 1 GiB of addresses."""
    done = subprocess.run([sys.executable, "-c", RUN, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@posix
def test_a_tebibyte_in_every_mode_in_little_memory(tmp_path):
    """A sparse raw disk, and no disk at all: 512 bytes at sector 2,000,000,000."""
    from hashlib import sha256
    path, trace = tmp_path / "big.img", tmp_path / "trace.csv"
    with open(path, "wb") as file:
        file.truncate(TIB)
        file.seek(2_000_000_000 * SECTOR)
        file.write(b"marker")
    trace.write_text("time_us,op,lba,sectors\n0,R,2000000000,1\n1,W,7,1\n")
    wanted = sha256(b"marker".ljust(SECTOR, b"\0")).hexdigest()
    assert run_in_1_gib(trace, path) == [f"{wanted} 1 True"] * 4
    wanted = sha256((2_000_000_000).to_bytes(8, "little") * 64).hexdigest()
    assert run_in_1_gib(trace) == [f"{wanted} 1 True"] * 4
    with open(path, "rb") as file:
        assert file.read(8 * SECTOR) == bytes(8 * SECTOR)
    assert os.stat(path).st_blocks * 512 < 1 << 20


def test_a_disk_of_any_size_is_read_by_position(tmp_path):
    path = tmp_path / "big.img"
    with open(path, "wb") as file:
        file.truncate(TIB)
        file.seek(TIB - 6)
        file.write(b"at end")
    with Image.open(path) as image:
        last = TIB // SECTOR - 1
        assert image.sectors == last + 1 and image.read(last) == b"at end".rjust(SECTOR, b"\0")
        image.write(last, b"\x12" * SECTOR)
        assert image.read(last - 1, 2) == bytes(SECTOR) + b"\x12" * SECTOR and image.read(0) == bytes(SECTOR)
        with pytest.raises(ValueError, match=f"sectors {last} to {last + 1} asked, 0 to {last} exist"):
            image.read(last, 2)
        with pytest.raises(ValueError, match="written"):
            image.write(last, bytes(2 * SECTOR))


def test_a_writable_file_takes_writes_and_discards(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"\x01" * 5000 * SECTOR)
    with Image.open(path, writable=True) as image:
        assert image.writable
        image.discard(1, 4098)
        image.write(4098, b"\x02" * SECTOR)
        image.flush()
        assert path.read_bytes() == b"\x01" * SECTOR + bytes(4097 * SECTOR) + b"\x02" * SECTOR + b"\x01" * 901 * SECTOR
        with pytest.raises(ValueError, match="only multiples of 512"):
            image.write(0, b"x")
    packed = tmp_path / "disk.gz"
    packed.write_bytes(gzip.compress(bytes(SECTOR)))
    with pytest.raises(ValueError, match=r"a gzip file can't be written in place"):
        Image.open(packed, writable=True)


@posix
def test_what_has_no_size_is_refused_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").write_bytes(b"")
    cases = [(tmp_path / "pipe", r"pipe: a pipe has no size; copy what it gives to a file first \(cat .*pipe > disk.img\)"),
             ("/dev/zero", "/dev/zero: a character device has no size"), (tmp_path, "Is a directory"),
             (tmp_path / "empty", "empty: 0 bytes; a disk is a positive multiple"), (tmp_path / "none", "No such file"),
             ("a\0b", "null")]
    if os.path.exists("/proc/version"):
        cases.append(("/proc/version", "/proc/version: a file of the kernel's has no size; copy"))
    for path, why in cases:
        with pytest.raises(ValueError, match=why):
            Image.open(path)
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for path, _ in cases:
        with pytest.raises(ValueError):
            Image.open(path)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@posix
def test_standard_input_is_a_disk_if_it_is_a_file(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"\x07" * SECTOR)
    program = "from vmio.machine.storage import Image; print(Image.open('/dev/stdin').read(0)[:4].hex())"
    with open(path, "rb") as file:
        assert subprocess.run([sys.executable, "-c", program], stdin=file, capture_output=True).stdout == b"07070707\n"
    done = subprocess.run([sys.executable, "-c", program], input=path.read_bytes(), capture_output=True)
    assert b"/dev/stdin: a pipe has no size" in done.stderr


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(8 * SECTOR))
    with Image.open(path) as image:
        os.truncate(path, 3 * SECTOR)
        assert image.read(2) == bytes(SECTOR)
        with pytest.raises(ValueError, match=r"disk\.img: ends at byte 1536, bytes up to 2048 are needed; the file is cut short"):
            image.read(2, 2)


def test_a_host_without_positional_reads(tmp_path, monkeypatch):
    """Windows has no pread: the same file, read by seeking."""
    monkeypatch.delattr(os, "pread", raising=False)
    spec = importlib.util.spec_from_file_location("hostfile_of_windows", hostfile.__file__)
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(range(256)) * 4)
    file = other.HostFile.open(str(path), writable=True)
    file.write(512, b"abc")
    assert file.read(510, 6) == b"\xfe\xffabc\x03" and file.size == 1024 and file.read(0, 2) == b"\0\1"
    file.close()


def test_a_file_is_closed_when_it_is_forgotten(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(SECTOR))
    file = HostFile.open(str(path))
    fd = file.fd
    del file
    with pytest.raises(OSError):
        os.fstat(fd)


def test_a_block_device(tmp_path):
    """A loop device: its size is where seeking to its end leads, and it is not written."""
    if not sys.platform.startswith("linux") or os.geteuid() or not shutil.which("losetup"):
        pytest.skip("NO LOOP DEVICE: no block device was read (needs Linux, root and losetup)")
    path = tmp_path / "disk.img"
    path.write_bytes(b"".join(n.to_bytes(8, "little") * 64 for n in range(4096)))
    before = path.read_bytes()
    made = subprocess.run(["losetup", "-f", "--show", path], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"NO LOOP DEVICE: no block device was read ({made.stderr.strip()})")
    device = made.stdout.strip()
    try:
        with Image.open(device) as image:
            assert image.sectors == 4096 and image.read(4095) == (4095).to_bytes(8, "little") * 64
            image.write(0, b"\xaa" * SECTOR)
            assert image.read(0, 2) == b"\xaa" * SECTOR + before[SECTOR:2 * SECTOR]
        with Image.open(device, writable=True) as image:
            image.write(1, b"\xbb" * SECTOR)
            image.flush()
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
    assert path.read_bytes() == before[:SECTOR] + b"\xbb" * SECTOR + before[2 * SECTOR:]
