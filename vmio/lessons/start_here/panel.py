"""Table and panel of *Start here*: one disk, three ways to reach it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams, DiskResult
from vmio.lab import charts
from vmio.lab.declared import declared
from vmio.lab.machine_view import Edge, MachineView, edge
from vmio.lab.panel import Panel, Shown
from vmio.table import table

READS = 16       # of each guest
MODES = ("emulated", "split", "passthrough")
REASONS = ("IO_INSTRUCTION", "VMCALL", "HLT", "EXTERNAL_INTERRUPT")


AHEAD = ((2, 16_384), (4, 8_192), (4, 16_384))      # (guests, block) whose emulation takes too long for a move: it runs before it is asked for
_known: dict[DiskParams, DiskResult] = {}


def run(mode: str, block: int = 4096, queue_depth: int = 1, guests: int = 1) -> DiskResult:
    """Each of `guests` reads 16 blocks; emulated by PIO, one word at a time, as the oldest drivers do, and one read at a time."""
    asked = _params(mode, block, queue_depth, guests)
    simulated = replace(asked, queue_depth=1) if mode == "emulated" else asked
    if simulated not in _known:
        _known[simulated] = disk.run(simulated)
    return replace(_known[simulated], params=asked)


def _params(mode: str, block: int, queue_depth: int, guests: int) -> DiskParams:
    return DiskParams(mode=mode, bytes=READS * block, block=block, queue_depth=queue_depth, guests=guests, string=False)


def _ahead() -> Iterator[None]:
    """Simulate the settings of AHEAD, a few ms at a time."""
    for guests, block in AHEAD:
        params = _params("emulated", block, 1, guests)
        for one in disk.stepwise(params):
            if params in _known:        # it has been asked for meanwhile
                break
            if one is not None:
                _known[params] = one
            yield


_going_ahead = _ahead()     # goes on after a move where it was


def _model(**asked: Any) -> Iterator[DiskResult]:
    """Yield what is asked for, and again while the kernel is idle and simulates what may be asked for next."""
    result = run(**asked)
    yield result
    if asked["mode"] == "emulated":
        for _ in _going_ahead:
            yield result


def modes_table() -> str:
    """16 reads of 4 KiB in each mode."""
    rows = []
    for mode in MODES:
        one = run(mode)
        rows.append((mode, one.exits_total, one.exits_total / one.requests, one.virtual_ns / one.requests / 1000,
                     one.sha256[:8]))
    return table(rows, ("mode", "exits", "exits per read", "us per read", "bytes read"),
                 title="one guest reads 64 KiB in 16 reads")


def _view(result: DiskResult) -> Shown:
    params = result.params
    each, inflight = result.exits_total / result.requests, 1 if params.mode == "emulated" else params.queue_depth
    fullest = max((used for steps in result.rings.values() for _, used in steps), default=0)
    counts = {reason: result.exits.get(reason, 0) for reason in REASONS}
    text = "\n".join([
        f"{params.mode}: {result.requests} reads of {params.block:,}",
        f"in flight {inflight}",
        f"exits {result.exits_total:,}, {each:,.2f} per read",
        f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"interrupts {result.interrupts}, signals {result.signals}",
        f"fullest ring: {fullest:,} bytes",
        f"canaries intact: {sum(result.canaries.values())} of {params.guests}",
        table(counts.items(), ("exit reason", "count"))])
    times = {part: us for part, us in result.parts_us.items() if part != "copy"}       # nothing is copied word by word
    shown = [charts.bars("Exits by reason", counts, "exits", log=True), charts.stack("Time of all guests, added up", {"time": times}, "us"),
             charts.rings("Bytes in the rings", result.rings) if result.rings else None]
    return text, shown, {"edges": _edges(result), "title": f"Disk, {params.mode}", "canaries": result.canaries}


def _edges(result: DiskResult) -> list[Edge]:
    """All three ways to the disk; those that this mode does not use carry a 0, which leaves them pale."""
    split, passthrough = (result.params.mode == name for name in MODES[1:])
    worker = result.signals if split else result.worker_exits
    return [edge("guest", "hypervisor", "exits", result.exits_total),
            edge("hypervisor", "host", "signals" if split else "to the worker", worker),
            edge("guest", "host", "requests by the ring", result.ring_requests, kind="ring"),
            edge("guest", "device", "doorbells, no exit", result.doorbells, kind="direct"),
            edge("host", "device", "reads", result.commands, kind="data"),
            edge("host", "guest", "interrupts", result.interrupts * (not passthrough), kind="interrupt"),
            edge("device", "guest", "interrupts", result.interrupts * passthrough, kind="interrupt")]


def panel() -> Panel:
    """The whole course in one panel."""
    return Panel(_model, [
        declared(DiskParams, "mode", "Mode"),
        declared(DiskParams, "block", "Bytes per read", high=16_384),
        declared(DiskParams, "queue_depth", "In flight", high=32),
        declared(DiskParams, "guests", "Guests", choices=(1, 2, 4))],
        _view, name="start_here", live=MachineView(title="Disk", notes={"device": "one disk"}),
        idle=lambda mode, **_: {"queue_depth": "an emulated disk takes one read at a time"} if mode == "emulated" else {})
