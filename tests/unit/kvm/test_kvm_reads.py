"""One 4 KiB read in each mode: the parts add up, what Linux did is what was counted elsewhere, and each difference has its reason."""

import json

import pytest

from vmio import data
from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.papers.result import figure
from vmio.processors.kvm import recorded, reads
from vmio.processors.kvm.programs import ALL, READS

PARTS = reads.parts()
KEPT = recorded.recorded()["replays"]


def of(how):
    return {part.part: (part.ours, part.linux, part.kvm) for part in PARTS if part.how == how}


def test_the_parts_of_a_read():
    assert of("emulated, PIO") == {
        "write the task file": (6, 8, 6), "the bus master": (0, 2, 0), "read the status": (4, 9, 4),
        "move the data": (1, 1024, 4), "the interrupt controller": (2, None, 2), "sleep": (1, None, 0)}
    assert of("emulated, DMA") == {
        "write the task file": (6, 8, 6), "the bus master": (8, 10, 8), "read the status": (3, 8, 3),
        "the interrupt controller": (2, None, 2), "sleep": (1, None, 0)}
    assert of("split") == {"the doorbell": (1, 1, 1), "sleep": (1, None, 0)}
    assert of("passthrough") == {"the doorbell": (0, 2, 0), "sleep": (1, None, 0)}


@pytest.mark.parametrize("how, row", [("emulated, PIO", "L01.1"), ("emulated, DMA", "L01.2"), ("passthrough", "L01.3"), ("split", "L01.4")])
def test_the_recording_has_what_was_counted_over_256_reads(how, row):
    """Two sources: a recorded stream of accesses, and the mean of QEMU's trace events."""
    assert sum(reads.linux_parts(how).values()) == figure(row)


@pytest.mark.parametrize("name", reads.RECORDINGS.values())
def test_a_recording_has_as_many_reads_between_its_marks_as_we_divide_by(name):
    ops = json.loads(data.path(f"golden/{name}.json").read_text())["ops"]
    first, behind = (next(at for at, op in enumerate(ops) if op[0] == "mark" and op[3] == mark) for mark in (0xA0, 0xA1))
    between = ops[first:behind]
    commands = [op for op in between if op[:2] == ["out", 0x1F7] or op[0] == "store" and op[1] == 0xFEBFD008]
    read = sum(len(op[3]) // 2 for op in between if op[0] == "ins")
    assert len(commands) == reads.MARKED and read in (0, 2 * 4096)


@pytest.mark.parametrize("how", READS)
def test_parts_add_up_to_the_replays_of_whole_drivers(how):
    mine = [part for part in PARTS if part.how == how]
    one, two = (KEPT[f"{how}, {n}"] for n in (1, 2))
    for side, name in (("model", "ours"), ("kvm", "kvm")):
        assert sum(two[side].values()) - sum(one[side].values()) == sum(getattr(part, name) for part in mine)
    assert not one["differences"] and not two["differences"]
    assert reads.totals(how) == tuple(sum(getattr(part, name) for part in mine) for name in ("ours", "kvm"))


def test_our_exits_are_those_of_the_modes():
    """The same as a disk workload counts, and as the first lesson shows."""
    for how, options in (("emulated, PIO", dict(transfer="multiple", width=4)), ("emulated, DMA", dict(transfer="dma")),
                         ("split", dict(mode="split")), ("passthrough", dict(mode="passthrough"))):
        assert disk.run(DiskParams(bytes=4096, **options)).exits_total == sum(part.ours for part in PARTS if part.how == how)


def test_each_difference_has_its_reason_and_nothing_else_has():
    for part in PARTS:
        assert bool(part.why) == (len({part.ours, part.linux, part.kvm}) > 1), part
    assert set(reads.WHY) == {(part.how, part.part) for part in PARTS if part.why and part.part != reads.HLT}


def test_the_end_of_an_interrupt_is_no_exit_of_a_record():
    """WRMSR: the bring-up's MSRs alone; each of 24 interrupts is ended in the processor."""
    for name in ("storvsc", "split, 1", "split, 2"):
        steps = ALL[name].record().steps
        assert KEPT[name]["model"]["WRMSR"] == KEPT[name]["kvm"]["WRMSR"] == 7
        assert sum(str(step.kind) == "end of interrupt" for step in steps) == sum(str(step.kind) == "interrupt" for step in steps)
