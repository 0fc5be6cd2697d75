"""What a file is, by its content: magic bytes at its head, its tail, or one place between.

A container that is served as if it were a raw disk gives a guest the container's
own tables as sectors, so everything that is known and not read here is refused,
with the command that converts it.  Sources: QEMU's block drivers (block/*.c), the
file(1) data base, the formats' own specifications.
"""

import re
import shlex

from vmio.machine.contracts import DiskFile
from vmio.machine.media.medium import SECTOR
from vmio.machine.media.vhd_wire import FIXED, Footer

HEAD = 1024
GZIP, VHD, VHDX = "gzip", "VHD", "VHDX"
CONVERT, SIMG = "qemu-img convert -O raw {0} {1}", "simg2img {0} {1}"

# (offset in the file, magic bytes, format, command that makes a raw disk)
MAGICS = (
    (0, b"QFI\xfb", "qcow2", CONVERT),
    (0, b"QED\0", "QED", CONVERT),
    (0, b"KDMV", "VMDK", CONVERT),
    (0, b"COWD", "VMDK (ESX)", CONVERT),
    (0, b"\xbe\xba\xfe\xca\0\0\0\0", "VMDK (seSparse)", CONVERT),
    (64, b"\x7f\x10\xda\xbe", "VDI", CONVERT),
    (0, b"WithoutFreeSpace", "Parallels", CONVERT),
    (0, b"WithouFreSpacExt", "Parallels", CONVERT),
    (0, b"Bochs Virtual HD Image", "Bochs", CONVERT),
    (0, b"\x3a\xff\x26\xed", "Android sparse", SIMG),
    (0, b"EVF\x09\x0d\x0a\xff\0", "EWF (E01)", "ewfexport -t {1} -f raw {0}"),
    (0, b"\xfd7zXZ\0", "xz", "xz -dc {0} > {1}"),
    (0, b"LZIP", "lzip", "lzip -dc {0} > {1}"),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc {0} > {1}"),
    (0, b"\x04\x22\x4d\x18", "lz4", "lz4 -dc {0} > {1}"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop", "lzop -dc {0} > {1}"),
    (0, b"\x1f\x9d", "compress (.Z)", "gzip -dc {0} > {1}"),
    (0, b"PK\x03\x04", "zip", "unzip -p {0} > {1}"),
    (0, b"PK\x05\x06", "zip (empty)", "unzip -p {0} > {1}"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "7z e -so {0} > {1}"),
    (0, b"Rar!\x1a\x07", "rar", "unrar p -inul {0} > {1}"),
    (0, b"MSWIM\0\0\0", "WIM", "wimapply {0} FOLDER"),
)
# What has no magic of fixed bytes.
PATTERNS = (
    (re.compile(rb"<<< [ -~]{1,60} >>>"), "VDI", CONVERT),
    (re.compile(rb"BZh[1-9]"), "bzip2", "bzip2 -dc {0} > {1}"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*# *disk descriptorfile", re.I), "VMDK (descriptor)", CONVERT),
    (re.compile(rb"[^\0]{1,250}\.ovf\0.{6,256}?ustar", re.S | re.I), "OVA", "tar -xf {0}"),
)


def recognise(file: DiskFile) -> str | None:
    """Return GZIP, VHD, VHDX, or None for a raw disk.  ValueError, with what to do, for any other container.

    The footer of a fixed VHD is looked at first: what is before it is the guest's,
    and may look like anything.
    """
    head = file.read(0, min(file.size, HEAD))
    tail = file.read(file.size - min(file.size, SECTOR), min(file.size, SECTOR))
    if whole_fixed_vhd(tail, file.size):
        return VHD
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    if head.startswith(b"vhdxfile"):
        return VHDX
    if head.startswith(b"conectix"):
        return VHD
    for offset, magic, kind, command in MAGICS:
        if head[offset:offset + len(magic)] == magic:
            raise _refusal(file.name, kind, command)
    for pattern, kind, command in PATTERNS:
        if pattern.match(head):
            raise _refusal(file.name, kind, command)
    if b"conectix" in (tail[:8], tail[1:9]):
        return VHD
    if tail.startswith(b"koly"):
        raise _refusal(file.name, "DMG", CONVERT)
    return None


def whole_fixed_vhd(tail: bytes, size: int) -> bool:
    """Return whether `tail` is the footer of a fixed VHD that fills a file of `size` bytes to the byte."""
    footer = Footer.parse(tail)
    return footer is not None and footer.kind == FIXED and footer.size == size - footer.length


def _refusal(name: str, kind: str, command: str) -> ValueError:
    return ValueError(f"image {name}: is in {kind} format, which is not read here; make a raw disk of it first: "
                      + _fill(command, name))


def damaged(name: str, what: str) -> ValueError:
    """Return the ValueError for a VHD or VHDX file that isn't as its format says."""
    return ValueError(f"image {name}: {what}; if another program still reads it, make a raw disk of it: "
                      + _fill(CONVERT, name))


def _fill(command: str, name: str) -> str:
    return command.format(shlex.quote(name), shlex.quote(name + ".raw"))
