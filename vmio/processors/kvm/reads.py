"""One read of 4 KiB in each mode, part by part: our driver's exits, Linux's accesses under QEMU, our exits under KVM.

Ours: a driver that reads twice, less one that reads once, recorded on the model.  Under KVM: the
same record's exits to user space by the rules of `expect`, which a replay holds to (`recorded`).
Linux: what its drivers did to QEMU's devices between two marks of a recording (data/golden), and
for virtio a count (data/published.csv); of the machine around the disk these have nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from vmio import data
from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.papers.result import figure
from vmio.processors.kvm import expect, recorded
from vmio.processors.kvm.programs import READS
from vmio.processors.kvm.record import EXITS, Kind, Step

BLOCK = 4096
FIRST, BEHIND, MARKED = 0xA0, 0xA1, 2        # a recording's marks around its 4 KiB reads, and how many those are
TASK_FILE, STATUS, DATA = "write the task file", "read the status", "move the data"
BUS_MASTER, DOORBELL, PIC, HLT = "the bus master", "the doorbell", "the interrupt controller", "sleep"
PASSED = "passthrough"
RECORDINGS = {"emulated, PIO": "linux_ide_pio", "emulated, DMA": "linux_ide_dma", PASSED: "linux_nvme"}
# Why the numbers of a row are not all the same.
WHY = {
    ("emulated, PIO", TASK_FILE): "Linux selects the drive twice, and writes the features",
    ("emulated, DMA", TASK_FILE): "Linux selects the drive twice, and writes the features",
    ("emulated, PIO", STATUS): "Linux looks before and after each step",
    ("emulated, DMA", STATUS): "Linux looks before and after each step",
    ("emulated, PIO", BUS_MASTER): "Linux asks it who interrupted, for PIO, too",
    ("emulated, DMA", BUS_MASTER): "Linux reads its registers again before it writes them",
    ("emulated, PIO", DATA): "one REP INS; QEMU's device sees each unit; KVM hands on 1,024 bytes at a time",
    ("emulated, PIO", PIC): "not in the recording",
    ("emulated, DMA", PIC): "not in the recording",
    (PASSED, DOORBELL): "the guest's own device: no exit; QEMU's is emulated",
}
ASLEEP = "not in the recording; ring 3 can't halt under KVM"


class Part(NamedTuple):
    """One part of a read.  Exits a read: `ours` on the model, `kvm` to user space; `linux`: accesses; None: not recorded."""

    how: str
    part: str
    ours: float
    linux: float | None
    kvm: float
    why: str


def parts() -> list[Part]:
    """Return every part of a read, mode by mode."""
    rows = []
    for how in READS:
        once, twice = (_by_part(case.record().steps) for case in READS[how])
        linux = linux_parts(how)
        for part in ORDER:
            ours, kvm = (twice[n][part] - once[n][part] for n in (0, 1))
            if ours or part in linux:
                rows.append(_row(how, part, ours, linux.get(part), kvm))
    return rows + _passed()


def totals(how: str) -> tuple[float, float]:
    """Return (exits on the model, exits to user space under KVM) of one read, from the replays of whole drivers."""
    one, two = (recorded.replay(f"{how}, {n}") for n in (1, 2))
    return tuple(sum(two[side].values()) - sum(one[side].values()) for side in ("model", "kvm"))


@cache
def linux_parts(how: str) -> Counter:
    """Return Linux's accesses of one 4 KiB read by part; for a split driver its one kick."""
    if how not in RECORDINGS:
        return Counter({DOORBELL: figure("L01.4")})
    ops = json.loads(data.path(f"golden/{RECORDINGS[how]}.json").read_text(encoding="utf-8"))["ops"]
    marks = [at for at, op in enumerate(ops) if op[0] == "mark" and op[3] in (FIRST, BEHIND)]
    counts: Counter = Counter()
    for name, address, size, *rest in ops[marks[0] + 1:marks[1]]:
        if name in ("in", "out", "in*", "ins", "load", "store"):
            units = len(rest[0]) // 2 // size if name == "ins" else rest[1] if name == "in*" else 1
            counts[_where(address, name in ("out", "store"), name in ("load", "store"))] += units
    return Counter({part: count / MARKED for part, count in counts.items()})


def _by_part(steps: Iterable[Step]) -> tuple[Counter, Counter]:
    """Count (exits on the model, exits to user space under KVM) by part."""
    ours: Counter = Counter()
    kvm: Counter = Counter()
    for step in steps:
        if step.kind in EXITS:
            part = HLT if step.kind is Kind.LEFT_OUT else DOORBELL if step.kind is Kind.PRIVILEGED else _where(
                step.address, step.kind in (Kind.OUT, Kind.OUTS, Kind.STORE), False)
            ours[part] += 1
            kvm[part] += len(expect.exits(step))
    return ours, kvm


def _where(address: int, writes: bool, memory: bool) -> str:
    if memory:
        return DOORBELL
    if address in (0x20, 0x21, 0xA0, 0xA1):
        return PIC
    if address >= 0xC000:
        return BUS_MASTER
    return DATA if address == 0x1F0 else TASK_FILE if writes else STATUS


ORDER = (TASK_FILE, BUS_MASTER, DOORBELL, STATUS, DATA, PIC, HLT)


def _row(how: str, part: str, ours: float, linux: float | None, kvm: float) -> Part:
    why = ASLEEP if part == HLT else WHY[how, part] if {ours, kvm} != {linux} else ""
    return Part(how, part, ours, linux, kvm, why)


def _passed() -> list[Part]:
    """Return the parts of a read by a device of the guest's own; under KVM its registers are a slot of memory."""
    exits = disk.run(DiskParams(mode=PASSED, bytes=BLOCK)).exits
    stores, _ = recorded.counts("write to a mapped BAR", 2)
    return [_row(PASSED, DOORBELL, exits.get("EPT_VIOLATION", 0), linux_parts(PASSED)[DOORBELL], stores),
            _row(PASSED, HLT, exits["HLT"], None, 0)]
