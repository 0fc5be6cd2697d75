"""What a file is, is told by its content: what is not read here is named, with the command that converts it."""

import gzip
import io
import tarfile

import pytest

from vmio.__main__ import main
from vmio.machine.media import gunzip
from vmio.machine.storage import SECTOR, Image

DATA = bytes(range(256)) * 2 * 8
TRACE = "time_us,op,lba,sectors\n0,R,0,1\n"


def ova():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("machine.ovf"))
    return out.getvalue()


CONVERTED = "qemu-img convert -O raw"
CONTAINERS = [
    (b"QFI\xfb\0\0\0\3", "qcow2", CONVERTED), (b"QED\0", "QED", CONVERTED), (b"KDMV\1", "VMDK", CONVERTED),
    (b"COWD", "VMDK", CONVERTED), (b"\xbe\xba\xfe\xca\0\0\0\0", "VMDK", CONVERTED),
    (b"# Disk DescriptorFile\nversion=1\n", "VMDK", CONVERTED), (b"\xef\xbb\xbf# disk descriptorfile\r\n", "VMDK", CONVERTED),
    (b"<<< Oracle VM VirtualBox Disk Image >>>\n", "VDI", CONVERTED), (bytes(64) + b"\x7f\x10\xda\xbe", "VDI", CONVERTED),
    (b"WithouFreSpacExt", "Parallels", CONVERTED), (b"Bochs Virtual HD Image", "Bochs", CONVERTED),
    (b"\xfd7zXZ\0", "xz", "xz -dc"), (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"), (b"BZh91AY&SY", "bzip2", "bzip2 -dc"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"), (b"LZIP\1", "lzip", "lzip -dc"), (b"\x1f\x9d\x90", "compress", "gzip -dc"),
    (b"PK\3\4", "zip", "unzip -p"), (b"7z\xbc\xaf\x27\x1c", "7z", "7z e -so"), (b"Rar!\x1a\x07\1\0", "rar", "unrar p -inul"),
    (b"\x3a\xff\x26\xed", "Android sparse", "simg2img"), (ova()[:1024], "OVA", "tar -xf"),
]


@pytest.mark.parametrize("length", [4096, 4096 + 77, 1024])
@pytest.mark.parametrize("magic, kind, cure", CONTAINERS)
def test_containers_are_named_with_their_cure(tmp_path, magic, kind, cure, length):
    path = tmp_path / "my disk.img"
    path.write_bytes(magic.ljust(length, b"\5"))
    with pytest.raises(ValueError) as caught:
        Image.open(path)
    said = str(caught.value)
    assert said.startswith(f"image {path}: is in {kind}") and f"{cure} '" in said + " '" and "\n" not in said
    assert f"'{path}'" in said                                         # as a shell takes it
    with pytest.raises(ValueError, match=kind):
        Image.open(path.read_bytes())


def test_a_dmg_is_known_by_its_tail(tmp_path):
    path = tmp_path / "disk.dmg"
    path.write_bytes(bytes(700) + b"koly".ljust(512, b"\0"))
    with pytest.raises(ValueError, match="is in DMG format.*qemu-img convert -O raw"):
        Image.open(path)


@pytest.mark.parametrize("head", [b"QFI", b"\xfd7zXY\0", b"BZh0", b"PK\1\2", b"<<< \0", b"conect", b"vhdxfil", b"# a comment\n",
                                  b"\x28\xb5\x2f\xfe", bytes(60) + b"\x7f\x10\xda\xbe"])
def test_what_only_looks_like_it_is_a_raw_disk(tmp_path, head):
    path = tmp_path / "disk.vhdx"                                      # a name says nothing
    path.write_bytes(head.ljust(4096, b"\6"))
    with Image.open(path) as image:
        assert image.sectors == 8 and image.read(0, 8) == head.ljust(4096, b"\6")


@pytest.mark.parametrize("command", ["run", "qtest"])
@pytest.mark.parametrize("content, kind", [(b"QFI\xfb".ljust(4096, b"\0"), "qcow2"), (b"BZh9".ljust(4096, b"\0"), "bzip2"),
                                           (b"vhdxfile".ljust(4096, b"\0"), "VHDX"), (b"conectix".ljust(1536, b"\0"), "VHD")])
def test_both_commands_say_so_and_end_with_2(tmp_path, monkeypatch, capsys, command, content, kind):
    path, trace = tmp_path / "disk.img", tmp_path / "trace.csv"
    path.write_bytes(content)
    trace.write_text(TRACE)
    monkeypatch.setattr("sys.stdin", io.StringIO("inb 0x80\n"))
    arguments = ["run", "--trace", str(trace), "--image", str(path)] if command == "run" else ["qtest", "--drive", str(path)]
    assert main(arguments) == 2
    out, said = capsys.readouterr()
    assert out == "" and said.count("\n") == 1 and "disk.img: " in said and kind in said and path.read_bytes() == content


# --- gzip -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("max_in_memory", [1 << 20, 1024])
def test_gzip_is_unpacked_into_memory_or_into_a_file(tmp_path, monkeypatch, max_in_memory):
    monkeypatch.setattr(gunzip, "IN_MEMORY", max_in_memory)
    monkeypatch.setattr(gunzip, "CHUNK", 512)
    content = DATA + bytes(4096) + DATA[::-1] + bytes(1024)            # with holes within and at the end
    path = tmp_path / "disk.img.gz"
    path.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))      # two members are one file
    with Image.open(path) as image:
        assert image.sectors * SECTOR == len(content) and image.read(0, image.sectors) == content
        image.write(1, b"\x44" * SECTOR)
        assert image.read(0, 3) == content[:SECTOR] + b"\x44" * SECTOR + content[2 * SECTOR:3 * SECTOR]
    assert [one.name for one in tmp_path.iterdir()] == ["disk.img.gz"]


def test_gzip_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(gunzip, "MAX_BYTES", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes((1 << 20) + 512)))
    with pytest.raises(ValueError, match=r"bomb\.gz: unpacks to more than 0 GiB, the limit for gzip; unpack it into a file first"):
        Image.open(path)


def test_what_is_packed_is_looked_at_too(tmp_path):
    path = tmp_path / "disk.gz"
    for content, why in ((b"QFI\xfb".ljust(1024, b"\0"), "qcow2"), (gzip.compress(DATA), "packed with gzip twice")):
        path.write_bytes(gzip.compress(content))
        with pytest.raises(ValueError, match=rf"disk\.gz: .*{why}"):
            Image.open(path)
