"""What an exit costs on this host, in nanoseconds, and how many of them an access takes.

The counts are exact and the same in every run; the times are wall-clock time
and include what this Python loop adds to each exit that reaches it (a
microsecond or two).  All kinds are measured in turn, round after round, so that a host
that is busy for a while disturbs all of them alike.
"""

import platform
from statistics import median
from typing import NamedTuple

from vmio.kvm.code import Code
from vmio.kvm.fast import Doorbell
from vmio.kvm.guest import DATA, Guest
from vmio.kvm.vcpu import End
from vmio.table import table

PORT, BELL_PORT = 0x80, 0x84
DEVICE, BELL, BAR, ROM = 0xFEB0_0000, 0xFEB0_1000, 0xE000_0000, 0xE010_0000     # guest-physical addresses
_SECONDS = 30.0


class Kind(NamedTuple):
    """A way to reach a device: `step(code)` appends the instruction, which makes `units` accesses.

    `more` times as many of those that cost next to nothing, or noise hides them.
    """

    name: str
    step: object
    units: int = 1
    more: int = 1


KINDS = (
    Kind("OUT", lambda code: code.out(PORT, 1)),
    Kind("IN", lambda code: code.in_(PORT)),
    Kind("MMIO write", lambda code: code.store(DEVICE, 1)),
    Kind("MMIO read", lambda code: code.load(DEVICE)),
    Kind("REP OUTSB, a byte", lambda code: code.rep_outs(PORT, DATA, 512), 512),
    Kind("REP INSB, a byte", lambda code: code.rep_ins(PORT, DATA, 4096), 4096),
    Kind("write to a read-only slot", lambda code: code.store(ROM, 1)),
    Kind("doorbell (ioeventfd), port", lambda code: code.out(BELL_PORT, 1)),
    Kind("doorbell (ioeventfd), memory", lambda code: code.store(BELL, 1)),
    Kind("write to a mapped BAR", lambda code: code.store(BAR, 1), more=64),
)


class Row(NamedTuple):
    """One kind: accesses and exits of one run, doorbell rings, ns an access: median, smallest, largest of the rounds."""

    name: str
    accesses: int
    exits: int
    rings: int
    ns: float
    low: float
    high: float


def measure(accesses=512, rounds=7):
    """A `Row` for each of `KINDS`.  RuntimeError if the counts of two rounds differ."""
    with Guest() as guest:
        guest.vm.add_slot(BAR, 4096)
        guest.vm.add_slot(ROM, 4096, readonly=True)
        bells = Doorbell(guest.vm, BELL_PORT, 1, port=True), Doorbell(guest.vm, BELL)
        samples = {kind: [] for kind in KINDS}
        for _ in range(rounds):
            for kind in KINDS:
                samples[kind].append(_sample(guest, kind, accesses, bells))
    return [_row(kind, samples[kind]) for kind in KINDS]


def _sample(guest, kind, accesses, bells):
    """(accesses, exits, rings, ns an access) of one run, without what an empty run takes."""
    code = Code()
    times = -(-accesses // kind.units) * kind.more
    for _ in range(times):
        kind.step(code)
    _run(guest, code)                               # once unmeasured: the first touch of a page costs extra
    empty = min((_run(guest, Code()) for _ in range(5)), key=lambda run: run.ns)
    for bell in bells:
        bell.rings()
    run = _run(guest, code)
    total = times * kind.units
    return total, len(run.exits) - len(empty.exits), sum(bell.rings() for bell in bells), (run.ns - empty.ns) / total


def _run(guest, code):
    run = guest.run(code, seconds=_SECONDS)
    if run.end is not End.DONE:
        raise RuntimeError(f"the measuring program didn't finish: {run}")
    return run


def _row(kind, samples):
    counts = {sample[:3] for sample in samples}
    if len(counts) != 1:
        raise RuntimeError(f"{kind.name}: counts differ from round to round: {sorted(counts)}")
    ns = [sample[3] for sample in samples]
    return Row(kind.name, *counts.pop(), median(ns), min(ns), max(ns))


def host():
    """Which machine this was, for the record."""
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    except OSError:
        pass
    return {"cpu": model, "kernel": platform.release(), "python": platform.python_version()}


def to_table(rows):
    """Counts and times as fixed-width text."""
    cells = [(row.name, row.accesses, row.exits, row.rings, round(row.ns, 1), round(row.low, 1), round(row.high, 1))
             for row in rows]
    return table(cells, ("access", "accesses", "exits", "rings", "ns each", "least", "most"))


def to_dict(rows):
    """Plain data for JSON."""
    return [row._asdict() for row in rows]
