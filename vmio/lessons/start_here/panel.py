"""Table and panel of *Start here*: one disk, three ways to reach it."""

from functools import lru_cache

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.lab.controls import choice, log2_slider
from vmio.lab.figures import CountBars, StackedBars
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.lab.steplines import StepLines
from vmio.table import table

TOTAL = 65_536   # bytes that each guest reads
MODES = ("emulated", "split", "passthrough")
REASONS = ("IO_INSTRUCTION", "VMCALL", "HLT", "EXTERNAL_INTERRUPT")


@lru_cache(maxsize=4096)
def run(mode, block=4096, queue_depth=1, guests=1):
    """Each of `guests` reads 64 KiB in blocks; emulated by PIO, one word at a time, as the oldest drivers do."""
    return disk.run(DiskParams(mode=mode, bytes=TOTAL, block=block, queue_depth=queue_depth, guests=guests,
                               string=False))


def modes_table():
    """16 reads of 4 KiB in each mode."""
    rows = []
    for mode in MODES:
        one = run(mode)
        rows.append((mode, one.exits_total, one.exits_total / one.requests, one.virtual_ns / one.requests / 1000,
                     one.sha256[:8]))
    return table(rows, ("mode", "exits", "exits a read", "us a read", "bytes read"),
                 title="one guest reads 64 KiB in 16 reads")


_exits = CountBars("Exits by reason", log=True, width=4.6, left=0.42, height=2.2)
_time = StackedBars("Time of all guests, added up", unit="us", width=4.6, height=2.5)
_rings = StepLines("Bytes in the rings", height=3.0)


def _rings_of(result):
    """What the occupancy figure shows; a flat line where there is no ring."""
    end = result.virtual_ns
    rings = result.rings or {"no ring": [(0, 0), (end, 0)]}
    return {"series": rings, "marks": {name: [] for name in rings}, "top": None}


def _view(result):
    params = result.params
    each = result.exits_total / result.requests
    fullest = max((used for steps in result.rings.values() for _, used in steps), default=0)
    counts = {reason: result.exits.get(reason, 0) for reason in REASONS}
    text = "\n".join([
        f"{params.mode}: {result.requests} reads of {params.block:,}",
        f"in flight {params.queue_depth}" + (" asked, ATA takes 1" if params.mode == "emulated" else ""),
        f"exits {result.exits_total:,}, {each:,.2f} a read",
        f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"interrupts {result.interrupts}, signals {result.signals}",
        f"fullest ring: {fullest:,} bytes",
        f"canaries intact: {sum(result.canaries.values())} of {params.guests}", "",
        table(counts.items(), ("exit reason", "count"))])
    times = {"time": {"guest": result.guest_ns / 1000, "exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    figures = [_exits.update(counts), _time.update(times), _rings.update(_rings_of(result))]
    return text, figures, {"edges": _edges(result), "title": f"Disk, {params.mode}", "canaries": result.canaries}


def _edges(result):
    """All three ways to the disk; those that this mode does not use carry a 0, which leaves them pale."""
    mode, reads = result.params.mode, result.requests
    emulated, split, passthrough = (mode == name for name in MODES)
    worker = result.exits_by_device.get("ata", 0) if emulated else result.signals
    return [edge("guest", "hypervisor", "exits", result.exits_total),
            edge("hypervisor", "host", "signals" if split else "to the worker", worker),
            edge("guest", "host", "requests by the ring", reads * split, kind="ring"),
            edge("guest", "device", "doorbells, no exit", reads * passthrough, kind="direct"),
            edge("host", "device", "reads", reads * (not passthrough), kind="data"),
            edge("host", "guest", "interrupts", result.interrupts * (not passthrough), kind="interrupt"),
            edge("device", "guest", "data and interrupts", reads * passthrough, kind="interrupt")]


def panel():
    """The whole course in one panel."""
    return Panel(run, [
        choice("mode", MODES, label="Mode"),
        log2_slider("block", 512, 65536, 4096, label="Bytes a read"),
        log2_slider("queue_depth", 1, 32, 1, label="In flight"),
        choice("guests", (1, 2, 4), label="Guests")],
        _view, name="start_here", live=MachineView(title="Disk", notes={"device": "one disk"}))
