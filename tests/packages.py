"""Small .deb files and kernel modules, made by hand, good and bad."""

import io
import lzma
import struct
import tarfile


def tarball(files, kind="xz", change=None):
    """A compressed tar of {name: bytes}; `change(TarInfo)` spoils a member."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=f"w:{kind}", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if change:
                change(info)
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def member(name, content, size=None, end="`\n"):
    """A member of an ar archive."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content) if size is None else size:<10}{end}"
    return head.encode() + content + b"\n" * (len(content) % 2)


def deb(files, kind="xz", change=None):
    """A .deb with these files."""
    return b"!<arch>\n" + member("debian-binary", b"2.0\n") + member("control.tar.xz", lzma.compress(b"")) + member(
        f"data.tar.{kind}/", tarball(files, kind, change))


def module(info, name=b".modinfo", magic=b"\x7fELF\x02\x01"):
    """An ELF file whose section `name` holds `info`."""
    names = b"\0.shstrtab\0" + name + b"\0"
    head = bytearray(64)
    head[:6] = magic
    struct.pack_into("<Q", head, 40, 64 + len(names) + len(info))
    struct.pack_into("<HHH", head, 58, 64, 3, 1)
    def section(at, where, size):
        data = bytearray(64)
        struct.pack_into("<I", data, 0, at)
        struct.pack_into("<QQ", data, 24, where, size)
        return bytes(data)
    return bytes(head) + names + info + bytes(64) + section(1, 64, len(names)) + section(11, 64 + len(names), len(info))
