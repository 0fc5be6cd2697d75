"""Reads a .deb file: an ar archive with a compressed tar in it.  Nothing is ever written by the names that stand in there.

Source: deb(5).
"""

import io
import lzma
import tarfile
import zlib
from collections.abc import Iterable, Iterator

from vmio.linux.deb_wire import AR_END, AR_MAGIC, AR_MEMBER

MOST = 1 << 30              # bytes of all files in a package together: a kernel has a tenth
_DATA = "data.tar"


class _Refused(ValueError):
    """Our own sentence, not the archive's reader's."""


def contents(deb: bytes, wanted: Iterable[str]) -> dict[str, bytes]:
    """Return {path: content} of the `wanted` files in a package's file.

    ValueError, one sentence, for what is no .deb, for one that is damaged or too large, for names that lead out of it, and for
    a wanted file that is not there, or is no ordinary file.
    """
    missing, found = set(wanted), {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_data_member(deb)), mode="r|*") as tar:
            total = 0
            for member in tar:
                name = member.name.removeprefix("./")
                if name.startswith("/") or ".." in name.split("/"):
                    raise _Refused(f"the name {member.name!r} leads out of the package")
                total += member.size
                if total > MOST:
                    raise _Refused(f"its files have more than {MOST:,} bytes")
                if name in missing:
                    content = tar.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise _Refused(f"{name} is no ordinary file")
                    found[name] = content.read()
                    missing.remove(name)
                    if len(found[name]) != member.size:
                        raise _Refused(f"{name} is cut off")
    except _Refused:
        raise
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, OverflowError, ValueError, RecursionError) as error:
        raise ValueError(f"its archive is damaged: {error}") from None
    if missing:
        raise ValueError(f"there is no {min(missing)} in it")
    return found


def _data_member(deb: bytes) -> bytes:
    """The compressed tar with the package's files."""
    for name, content in _members(deb):
        if name.startswith(_DATA):
            return content
    raise _Refused("there is no data.tar in it")


def _members(deb: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each member of an ar archive."""
    if not deb.startswith(AR_MAGIC):
        raise _Refused("it is no .deb: those begin with '!<arch>'")
    at = len(AR_MAGIC)
    while at + AR_MEMBER.size <= len(deb):
        member = AR_MEMBER.parse(deb, at)
        at += AR_MEMBER.size
        digits = member.size.strip(b" ")
        if member.end != AR_END or not digits.isdigit() or at + int(digits) > len(deb):
            raise _Refused("it is damaged, or truncated")
        yield member.name.rstrip(b" /").decode("latin-1"), deb[at:at + int(digits)]
        at += int(digits) + int(digits) % 2
