"""Disk images: what is read, what is written where, and what is refused."""

import gzip

import pytest

from vmio.machine.storage import SECTOR, Image

DATA = bytes(range(256)) * 2 + b"\x5a" * SECTOR + b"\x00" * SECTOR


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(DATA)
    return path


def test_reads_sectors_of_a_file_and_of_bytes(path):
    for image in (Image.open(path), Image.open(str(path)), Image.open(DATA), Image.open(bytearray(DATA))):
        assert image.sectors == 3
        assert image.read(0, 3) == DATA and type(image.read(0)) is bytes
        assert image.read(1) == b"\x5a" * SECTOR and image.read(3, 0) == b""


def test_writes_do_not_reach_the_file(path):
    with Image.open(path) as image:
        image.write(1, b"\x11" * 1024)
        image.flush()
        assert image.read(0, 3) == DATA[:SECTOR] + b"\x11" * 1024
    assert path.read_bytes() == DATA


def test_writes_reach_a_writable_file(path):
    with Image.open(path, writable=True) as image:
        image.write(2, b"\x22" * SECTOR)
        image.flush()
        assert path.read_bytes() == DATA[:1024] + b"\x22" * SECTOR


def test_bytes_are_copied():
    source = bytearray(DATA)
    Image.open(source).write(0, b"\xff" * SECTOR)
    assert source == DATA


def test_gzip_is_known_by_its_magic_and_saved_plain(tmp_path):
    packed = tmp_path / "disk.bin"
    packed.write_bytes(gzip.compress(DATA))
    for image in (Image.open(packed), Image.open(gzip.compress(DATA))):
        image.write(0, b"\x33" * SECTOR)
        image.save(tmp_path / "out.img")
        assert (tmp_path / "out.img").read_bytes() == b"\x33" * SECTOR + DATA[SECTOR:]
    assert gzip.decompress(packed.read_bytes()) == DATA


@pytest.mark.parametrize("content, why", [
    (b"", "0 bytes"), (b"x" * 513, "513 bytes"), (b"\x1f\x8b" + b"x" * 510, "damaged gzip"),
    (gzip.compress(DATA, mtime=0)[:-20], "damaged gzip"), (gzip.compress(b"x" * 100, mtime=0), "100 bytes"), (gzip.compress(b"", mtime=0), "0 bytes"),
])
def test_what_is_no_disk_is_refused_with_its_name_and_value(tmp_path, content, why):
    path = tmp_path / "bad.img"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"bad\.img.*{why}"):
        Image.open(path)
    with pytest.raises(ValueError, match=why):
        Image.open(content)


def test_missing_directory_and_nonsense_are_refused(tmp_path):
    packed = tmp_path / "disk.gz"
    packed.write_bytes(gzip.compress(DATA))
    with pytest.raises(ValueError, match=r"none\.img.*No such file"):
        Image.open(tmp_path / "none.img")
    with pytest.raises(ValueError, match="directory"):
        Image.open(tmp_path)
    with pytest.raises(ValueError, match="neither a path nor bytes"):
        Image.open(3.5)
    with pytest.raises(ValueError, match="in place"):
        Image.open(packed, writable=True)
    with pytest.raises(ValueError, match="writable=True needs a file"):
        Image.open(DATA, writable=True)


@pytest.mark.parametrize("lba, count", [(3, 1), (0, 4), (-1, 1), (2, -1)])
def test_reading_beyond_the_end_is_refused(lba, count):
    with pytest.raises(ValueError, match="0 to 2 exist"):
        Image.open(DATA).read(lba, count)


def test_writing_beyond_the_end_or_half_a_sector_is_refused():
    image = Image.open(DATA)
    for lba, size in ((3, 512), (2, 1024), (-1, 512), (0, 100)):
        with pytest.raises(ValueError):
            image.write(lba, bytes(size))
    assert image.read(0, 3) == DATA
