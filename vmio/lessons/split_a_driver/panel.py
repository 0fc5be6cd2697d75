"""Tables and panel of *Split a driver*: a read through a split driver, beside the emulated disk."""

from functools import lru_cache

from vmio.experiments import disk
from vmio.experiments.crossing import cross
from vmio.experiments.disk import DiskParams
from vmio.hypervisor.costs import PRESETS
from vmio.lab.controls import choice, log2_slider, slider
from vmio.lab.figures import CountBars, StackedBars
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.lessons.emulate_a_device import panel as emulated
from vmio.table import table

REQUESTS = 32


@lru_cache
def crossing(lba=2, sectors=8):
    """One read of the course's disk image on its way; see `vmio.experiments.crossing`."""
    return cross(lba, sectors, emulated.file_system())


def steps_table(one):
    """Who did what, and when."""
    return table([(step.ns, step.who, step.what) for step in one.steps], ("at ns", "who", "what"), "><<")


def bring_up_table(one):
    """The exits of finding the bus, opening the channel and asking the disk what it is, and those of the read."""
    names = sorted({*one.setup_exits, *one.exits})
    rows = [(name, one.setup_exits.get(name, 0), one.exits.get(name, 0)) for name in names]
    rows.append(("all", sum(one.setup_exits.values()), sum(one.exits.values())))
    return table(rows, ("exits by instruction", "bring-up", "the read"))


@lru_cache(maxsize=4096)
def run(queue_depth=1, block=4096, batch=8, host_cores=2, costs="server-2022", mode="split", transfer="pio"):
    """The `DiskResult` of 32 reads; equal questions get the same answer without another run."""
    return disk.run(DiskParams(mode=mode, bytes=REQUESTS * block, block=block, queue_depth=queue_depth, batch=batch,
                               host_cores=host_cores, costs=costs, transfer=transfer))


def modes_table(block=4096):
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
def _by_words(block):
    return disk.run(DiskParams(bytes=REQUESTS * block, block=block, string=False))


_exits = CountBars("Exits by instruction", width=4.6, left=0.27, height=2.2)
_time = StackedBars("Virtual time of 32 reads", unit="us", width=4.6, height=2.5)
_beside = CountBars("Exits per read", width=4.6, left=0.4, height=1.7)


def _model(queue_depth, block, batch, host_cores, costs):
    result = run(queue_depth, block, batch, host_cores, costs)
    beside = {"emulated, DMA": run(block=block, costs=costs, mode="emulated", transfer="dma"), "split": result}
    return result, {name: one.exits_total / REQUESTS for name, one in beside.items()}


def _view(answer):
    result, beside = answer
    rows = [(name, count, count / REQUESTS) for name, count in result.exits.items()]
    text = "\n".join([
        f"{REQUESTS} reads, {result.params.queue_depth} in flight",
        f"batch {result.params.batch}, host cores {result.params.host_cores}",
        f"exits {result.exits_total:,}, {result.exits_total / REQUESTS:.2f} a read",
        f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"signals {result.signals}, interrupts {result.interrupts}", "",
        table(rows, ("exits by", "count", "a read"))])
    names = ("VMCALL", "HLT")
    counts = {name: result.exits_by_instruction.get(name, 0) for name in names}
    times = {"time": {"guest": result.guest_ns / 1000, "exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    edges = [edge("guest", "hypervisor", "exits", result.exits_total),
             edge("hypervisor", "host", "signals", result.signals),
             edge("guest", "host", "requests by the ring", REQUESTS, kind="ring"),
             edge("host", "device", "commands", REQUESTS, kind="data"),
             edge("host", "guest", "interrupts", result.interrupts, kind="interrupt")]
    return (text, [_exits.update(counts), _time.update(times), _beside.update(beside)],
            {"edges": edges, "title": "Split disk"})


def panel():
    """32 reads through StorVSC and StorVSP: how many in flight, how large, how batched, on how many cores."""
    return Panel(_model, [
        log2_slider("queue_depth", 1, 32, 8, label="In flight"),
        log2_slider("block", 512, 16384, 4096, label="Bytes a read"),
        log2_slider("batch", 1, 32, 8, label="Batch"),
        slider("host_cores", 1, 4, 1, 2, label="Host cores"),
        choice("costs", PRESETS, "server-2022", label="Cost preset")],
        _view, name="split_a_driver", live=MachineView(title="Split disk", notes={"device": "NVMe disk"}))
