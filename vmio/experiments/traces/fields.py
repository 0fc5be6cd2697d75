"""Fields of a line as numbers: ASCII digits and nothing else, because `int()` takes much that no trace has."""

import re

from vmio.experiments.traces.request import DISK_END, MAX_DISCARDED, MAX_SECTORS, SECTOR, Request

_WHOLE = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,18}))?")
_MAX = (1 << 64) - 1


class Wrong(ValueError):
    """What is wrong with a line and what is allowed; whoever knows file and line puts them before it."""


def shown(text: str) -> str:
    """`text` for a message: printable, and not too long."""
    text = repr(text)[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."


def whole(text: str, name: str) -> int:
    """Return a whole number of 64 bits; `Wrong` for anything else."""
    if not _WHOLE.fullmatch(text) or int(text) > _MAX:
        raise Wrong(f"{name} {shown(text)}: only whole numbers, 0 to 2^64 - 1")
    return int(text)


def decimal(text: str, name: str, unit_ns: int) -> int:
    """Return a number with or without decimals, times `unit_ns`, in whole ns (what is less is cut off)."""
    found = _DECIMAL.fullmatch(text)
    if not found or int(found[1]) > _MAX:
        raise Wrong(f"{name} {shown(text)}: only digits, with a point before decimals")
    decimals = found[2] or "0"
    return int(found[1]) * unit_ns + int(decimals) * unit_ns // 10 ** len(decimals)


def sectors(text: str, name: str) -> int:
    """Return a number of bytes as sectors; `Wrong` if it is no multiple of 512: nothing is rounded."""
    count, rest = divmod(whole(text, name), SECTOR)
    if rest:
        raise Wrong(f"{name} {text} bytes: not a whole number of {SECTOR}-byte sectors")
    return count


def request(op: str, lba: int, count: int) -> Request:
    """Return a `Request`; `Wrong` for a length or an address that no disk has."""
    if op == "F":
        return Request("F", 0, 0)
    most = MAX_DISCARDED if op == "D" else MAX_SECTORS
    if not 1 <= count <= most:
        raise Wrong(f"lba {lba}, sectors {count}: 1 to {most} sectors")
    if lba + count > DISK_END:
        raise Wrong(f"lba {lba}, sectors {count}: a disk ends at sector 2^55 (2^64 bytes) at the latest")
    return Request(op, lba, count)
