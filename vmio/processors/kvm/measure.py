"""What an exit costs on this host, in nanoseconds, and how many of them an access takes.

The counts are exact and the same in every run: exits that reach user space, for
what KVM answers in the kernel is never reported.  The times are wall-clock time
and include what this Python loop adds to each exit that reaches it: more than half of
it on the host of data/kvm-recorded.json (vmio/bench/kvm.py has a loop in C beside it).
All kinds are measured in turn, round after round, so that a host that is busy
for a while disturbs all of them alike.
"""

import platform
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from vmio.processors.kvm.code import Code
from vmio.processors.kvm.steps import KINDS, Rig, compiled
from vmio.table import table

# Times as many of those that cost next to nothing, or noise hides them.
_MORE = {"REP INSB": 64, "CPUID": 32, "write to RAM": 512, "write to a mapped BAR": 512, "read of a read-only slot": 512}


class Row(NamedTuple):
    """One kind: accesses and exits of one run, doorbell rings, ns an access: median, smallest, largest of the rounds."""

    name: str
    accesses: int
    exits: int
    rings: int
    ns: float
    low: float
    high: float


def measure(accesses: int = 64, rounds: int = 41) -> list[Row]:
    """Return a `Row` for each of `KINDS`.  RuntimeError if the counts of two rounds differ."""
    counts = {kind: accesses * _MORE.get(kind, 1) for kind in KINDS}
    programs, nothing = {kind: compiled(KINDS[kind](count)) for kind, count in counts.items()}, compiled([])
    with Rig() as rig:
        samples: dict[str, list[tuple[int, int, int, float]]] = {kind: [] for kind in KINDS}
        for _ in range(rounds):
            for kind, code in programs.items():
                samples[kind].append(_sample(rig, code, nothing, counts[kind]))
    return [_row(kind, samples[kind]) for kind in KINDS]


def _sample(rig: Rig, code: Code, nothing: Code, accesses: int) -> tuple[int, int, int, float]:
    """(accesses, exits, rings, ns an access) of one run, without what an empty run takes."""
    rig.run(code)                                   # once unmeasured: the first touch of a page costs extra
    empty = min(rig.run(nothing).ns for _ in range(5))
    seen = rig.run(code)
    return accesses, len(seen.exits), seen.rings, (seen.ns - empty) / accesses


def _row(kind: str, samples: list[tuple[int, int, int, float]]) -> Row:
    counts = {sample[:3] for sample in samples}
    if len(counts) != 1:
        raise RuntimeError(f"{kind}: counts differ from round to round: {sorted(counts)}")
    ns = [sample[3] for sample in samples]
    return Row(kind, *counts.pop(), median(ns), min(ns), max(ns))


def host() -> dict[str, Any]:
    """Return which machine this was, for the record.  `nested`: it is itself a virtual machine, and says so."""
    model, flags = "", []
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            lines = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in info)}
        model, flags = lines.get("model name", ""), lines.get("flags", "").split()
    except OSError:
        pass
    return {"cpu": model, "nested": "hypervisor" in flags, "kernel": platform.release(),
            "python": platform.python_version()}


def to_table(rows: Sequence[Row]) -> str:
    """Return counts and times as fixed-width text."""
    cells = [(row.name, row.accesses, row.exits, row.rings, round(row.low, 1), round(row.ns, 1), round(row.high, 1))
             for row in rows]
    return table(cells, ("access", "accesses", "exits", "rings", "least ns", "median", "most"))


def to_dict(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return plain data for JSON."""
    return [row._asdict() for row in rows]
