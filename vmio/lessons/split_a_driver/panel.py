"""Tables and panel of *Split a driver*: a read through a split driver, beside the emulated disk."""

from functools import lru_cache
from typing import Any, TypeAlias

from vmio.experiments import disk
from vmio.experiments.crossing import Crossing, cross
from vmio.experiments.disk import DiskParams, DiskResult
from vmio.hypervisor.costs import PRESETS
from vmio.lab import charts
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, unmoved
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel, Shown
from vmio.lessons.emulate_a_device import panel as emulated
from vmio.table import table

REQUESTS = 32
Answer: TypeAlias = tuple[DiskResult, dict[str, float]]      # the run, and exits per read beside it


@lru_cache
def crossing(lba: int = 2, sectors: int = 8) -> Crossing:
    """One read of the course's disk image on its way; see `vmio.experiments.crossing`."""
    return cross(lba, sectors, emulated.file_system())


def steps_table(one: Crossing) -> str:
    """Who did what, and when."""
    return table([(step.ns, step.who, step.what) for step in one.steps], ("at ns", "who", "what"), "><<")


def bring_up_table(one: Crossing) -> str:
    """The exits of finding the bus, opening the channel and asking the disk what it is, and those of the read."""
    names = sorted({*one.setup_exits, *one.exits})
    rows = [(name, one.setup_exits.get(name, 0), one.exits.get(name, 0)) for name in names]
    rows.append(("all", sum(one.setup_exits.values()), sum(one.exits.values())))
    return table(rows, ("exits by instruction", "bring-up", "the read"))


@lru_cache(maxsize=4096)
def run(queue_depth: int = 1, block: int = 4096, batch: int = 8, host_cores: int = 2, costs: str = "server-2022",
        mode: str = "split", transfer: str = "pio") -> DiskResult:
    """The `DiskResult` of 32 reads; equal questions get the same answer without another run."""
    return disk.run(DiskParams(mode=mode, bytes=REQUESTS * block, block=block, queue_depth=queue_depth, batch=batch,
                               host_cores=host_cores, costs=costs, transfer=transfer))


def modes_table(block: int = 4096) -> str:
    """The same 32 reads, emulated and split."""
    rows = []
    for name, params in (("emulated, PIO by words", None), ("emulated, PIO by string I/O", dict(mode="emulated")),
                         ("emulated, DMA", dict(mode="emulated", transfer="dma")), ("split, one in flight", {}),
                         ("split, 8 in flight", dict(queue_depth=8)), ("split, 32 in flight", dict(queue_depth=32))):
        result = run(block=block, **params) if params is not None else _by_words(block)
        rows.append((name, result.exits_total / REQUESTS, result.interrupts / REQUESTS,
                     result.exit_ns / REQUESTS / 1000, result.virtual_ns / REQUESTS / 1000))
    return table(rows, ("way", "exits", "interrupts", "us in exits", "us in all"),
                 title=f"{REQUESTS} reads of {block:,} bytes, each costs")


@lru_cache
def _by_words(block: int) -> DiskResult:
    return disk.run(DiskParams(bytes=REQUESTS * block, block=block, string=False))


def _model(queue_depth: int, block: int, batch: int, host_cores: int, costs: str) -> Answer:
    result = run(queue_depth, block, batch, host_cores, costs)
    beside = {"emulated, DMA": run(block=block, costs=costs, mode="emulated", transfer="dma"), "split": result}
    return result, {name: one.exits_total / REQUESTS for name, one in beside.items()}


def _view(answer: Answer) -> Shown:
    result, beside = answer
    rows = [(name, count, count / REQUESTS) for name, count in result.exits.items()]
    text = "\n".join([
        f"{REQUESTS} reads, {result.params.queue_depth} in flight",
        f"batch {result.params.batch}, host cores {result.params.host_cores}",
        f"exits {result.exits_total:,}, {result.exits_total / REQUESTS:.2f} per read",
        f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"signals {result.signals}, interrupts {result.interrupts}", "",
        table(rows, ("exits by", "count", "per read"))])
    names = ("VMCALL", "HLT")
    counts = {name: result.exits_by_instruction.get(name, 0) for name in names}
    times = {"time": {part: us for part, us in result.parts_us.items() if part != "copy"}}     # the disk itself moves the data
    edges = [edge("guest", "hypervisor", "exits", result.exits_total),
             edge("hypervisor", "host", "signals", result.signals),
             edge("guest", "host", "requests by the ring", result.ring_requests, kind="ring"),
             edge("host", "device", "commands", result.commands, kind="data"),
             edge("host", "guest", "interrupts", result.interrupts, kind="interrupt")]
    shown = [charts.bars("Exits by instruction", counts, "exits"), charts.stack("Virtual time of 32 reads", times, "us"),
             charts.bars("Exits per read", beside, "exits per read")]
    return text, shown, {"edges": edges, "title": "Split disk"}


@later
def _idle(**params: Any) -> Asking:
    """Which controls change nothing, and why."""
    alone = params["queue_depth"] == 1 and (yield from unmoved(_model, _view, params, "batch", (1, 2, 4, 8, 16, 32)))
    return {"batch": "one request in flight is a batch of one"} if alone else {}


def panel() -> Panel:
    """32 reads through StorVSC and StorVSP: how many in flight, how large, how batched, on how many cores."""
    return Panel(_model, [
        declared(DiskParams, "queue_depth", "In flight", 8, high=32),
        declared(DiskParams, "block", "Bytes per read", high=16384),
        declared(DiskParams, "batch", "Batch", 8, high=32),
        declared(DiskParams, "host_cores", "Host cores", high=4),
        declared(DiskParams, "costs", "Cost preset", choices=PRESETS)],
        _view, name="split_a_driver", live=MachineView(title="Split disk", notes={"device": "NVMe disk"}), idle=_idle)
