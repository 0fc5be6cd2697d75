"""An archive as the kernel unpacks it: cpio in its "newc" format, in reproducible bytes.

Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
from collections.abc import Iterable
from typing import NamedTuple

MAGIC = b"070701"
_LAST = "TRAILER!!!"
_MOST = 0xFFFF_FFFF         # a field has eight hexadecimal digits


class Member(NamedTuple):
    """What an archive holds: `mode` as in stat(2), `data` a file's content or a link's target, `device` (major, minor)."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str) -> Member:
    """Return a folder that its owner may change and everybody may enter."""
    return Member(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, mode: int = 0o644) -> Member:
    """Return an ordinary file."""
    return Member(name, stat.S_IFREG | mode, data)


def link(name: str, target: str) -> Member:
    """Return a symbolic link."""
    return Member(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int) -> Member:
    """Return a character device, for its owner only."""
    return Member(name, stat.S_IFCHR | 0o600, b"", (major, minor))


def archive(members: Iterable[Member]) -> bytes:
    """Return the bytes: the members in their order, owned by root, of 1970.  ValueError for a name that can't be in one."""
    out = bytearray()
    for number, member in enumerate([*members, Member(_LAST, 0)], 1):
        if not member.name or "\0" in member.name or member.name.startswith("/"):
            raise ValueError(f"cpio: the name {member.name!r} is empty, absolute or holds a zero byte")
        if len(member.data) > _MOST:
            raise ValueError(f"cpio: {member.name} has {len(member.data):,} bytes; the format holds {_MOST:,}")
        name = member.name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(member.mode) else 1
        fields = (number if member.name != _LAST else 0, member.mode, 0, 0, links, 0, len(member.data), 0, 0, *member.device, len(name), 0)
        out += MAGIC + b"".join(b"%08X" % field for field in fields) + name
        out += bytes(-len(out) % 4)
        out += member.data
        out += bytes(-len(out) % 4)
    return bytes(out)

