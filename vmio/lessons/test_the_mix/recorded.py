"""The row of a real Linux: as it was recorded in data/mix-linux.json, or booted here and now; both are the same.

    cell("2012")                 as it was recorded (`python -m vmio.lessons.test_the_mix.record` makes the file)
    boot(["2012"])               booted, where a kernel and Unicorn are; from then on `cell` gives what came of it

A boot takes a processor some fifteen seconds, so the matrix replays unless somebody asks for a live one.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from vmio import data
from vmio.experiments import many, mix_kinds as k
from vmio.experiments.mix_result import Device, Try
from vmio.lessons.test_the_mix import linux
from vmio.lessons.test_the_mix.linux import LinuxCell

FILE = "mix-linux.json"
LIVE: dict[tuple[str, str], LinuxCell] = {}         # (host, lie): what was booted in this process


@cache
def file() -> dict[str, Any]:
    """Return the recording, as plain data."""
    return json.loads(data.path(FILE).read_text(encoding="utf-8"))


def cell(host: str, lie: str = "none") -> LinuxCell:
    """Return the cell of Linux on a host: booted in this process, or else as it was recorded; ValueError for a name that there isn't."""
    return LIVE.get((host, lie)) or recorded(host, lie)


def live(one: LinuxCell) -> bool:
    """Return whether this cell was booted in this process."""
    return LIVE.get((one.host, one.lie)) is one


def boot(hosts: Sequence[str], lie: str = "none") -> list[LinuxCell]:
    """Boot Linux on these hosts, all cores at once, and return the cells; ValueError where it can't be booted."""
    return many.run(linux.run, [(host, lie) for host in hosts], LIVE, what="boots")


@cache
def recorded(host: str, lie: str = "none") -> LinuxCell:
    """Return the cell as it was recorded, whatever was booted; ValueError for a name that there isn't."""
    if k.host(host) and lie not in k.LIE_NAMES:
        raise ValueError(f"lie {lie!r}: choose one of {', '.join(k.LIE_NAMES)}")
    return from_plain(next(one for one in file()["cells"] if (one["host"], one["lie"]) == (host, lie)))


def from_plain(plain: dict[str, Any]) -> LinuxCell:
    """Return a cell out of what `dataclasses.asdict` and JSON have made of it."""
    devices = {name: Device(**{**plain[name], "tries": tuple(Try(**one) for one in plain[name]["tries"])}) for name in ("disk", "network")}
    asked = {name: tuple((version, agreed) for version, agreed in said) for name, said in plain["asked"].items()}
    whole: dict[str, Any] = {**plain, **devices, "asked": asked}
    return LinuxCell(**whole)
