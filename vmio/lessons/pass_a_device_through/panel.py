"""Tables and panels of *Pass a device through*: a device in the guest's own hands, and the IOMMU that makes it safe."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from vmio.experiments import disk, iotlb, late_writes
from vmio.experiments.disk import DiskParams, DiskResult
from vmio.experiments.iotlb import IotlbParams, IotlbResult
from vmio.experiments.late_writes import LateWritesParams, LateWritesResult
from vmio.hypervisor.costs import PRESETS
from vmio.lab import axes, charts
from vmio.lab.controls import toggle
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, unmoved
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel, Shown
from vmio.passthrough.strategies import STRATEGIES
from vmio.table import table

READS = 32
MODES = ("emulated", "split", "passthrough")
Hits: TypeAlias = tuple[IotlbResult, tuple[Sequence[int], Sequence[float]]]      # what was asked for, and the curve
WORKING_SETS = tuple(1 << n for n in range(3, 10))


@lru_cache(maxsize=4096)
def run(mode: str = "passthrough", queue_depth: int = 1, iommu: str = "static", delivery: str = "injected",
        interrupts: bool = True, costs: str = "server-2022") -> DiskResult:
    """32 reads of 4 KiB; equal questions get the same answer without another run."""
    return disk.run(DiskParams(mode=mode, bytes=READS * 4096, queue_depth=queue_depth, transfer="dma", iommu=iommu,
                               delivery=delivery, polled=not interrupts and mode != "split", costs=costs))


def modes_table() -> str:
    """The same reads three ways, and in each of passthrough's own."""
    rows = []
    for name, options in (("emulated, DMA", dict(mode="emulated")), ("split", dict(mode="split")), ("passthrough", {}),
                          ("  posted", dict(delivery="posted")), ("  polled", dict(interrupts=False)),
                          ("  16 in flight, injected", dict(queue_depth=16)),
                          ("  16 in flight, posted", dict(queue_depth=16, delivery="posted"))):
        one = run(**options)
        rows.append((name, one.setup_exits, one.exits_total / READS, one.interrupts / READS, one.virtual_ns / READS / 1000))
    return table(rows, ("way", "exits of the set-up", "exits per read", "interrupts per read", "us per read"),
                 title=f"{READS} reads of 4 KiB, one at a time if not said")


def what_exits_table() -> str:
    """What is left, by instruction: each count is for 32 reads."""
    names = ("emulated, DMA", "split", "passthrough", "polled", "16 in flight", "16, posted")
    results = (run(mode="emulated"), run(mode="split"), run(), run(interrupts=False), run(queue_depth=16),
               run(queue_depth=16, delivery="posted"))
    reasons = sorted({reason for one in results for reason in one.exits_by_instruction})
    return table([(reason, *(one.exits_by_instruction.get(reason, 0) for one in results)) for reason in reasons],
                 ("instruction", *names))


def strategies_table() -> str:
    """What each way to map buffers costs: exits and time per read."""
    rows = []
    for name in STRATEGIES:
        one = run(iommu=name)
        rows.append((name, one.exits_total / READS, one.guest_ns / READS, one.virtual_ns / READS / 1000))
    return table(rows, ("IOMMU", "exits per read", "guest's ns per read", "us per read"))


def window_table() -> str:
    """A device that reads what was taken from it, under both strategies."""
    strict, lazy = iotlb.window("strict"), iotlb.window("lazy")
    return table([(what, _short(one), _short(other)) for (what, one), (_, other) in zip(strict, lazy)],
                 ("what happens", "strict: the device gets", "lazy: the device gets"))


def _short(text: str) -> Any:
    return "a fault: not mapped" if "not mapped" in text else text


def _view(result: DiskResult) -> Shown:
    params = result.params
    rows = [(name, count, count / READS) for name, count in result.exits_by_instruction.items()] or [("none", 0, 0)]
    text = "\n".join([
        f"{READS} reads, {params.mode}", f"{params.queue_depth} in flight",
        f"exits {result.exits_total:,}, {result.exits_total / READS:.2f} per read",
        f"virtual time {result.virtual_ns / 1000:,.1f} us", f"interrupts {result.interrupts}",
        f"IOMMU {params.iommu}, {params.delivery}" if params.mode == "passthrough" else "",
        table(rows, ("exits by", "count", "per read"))])
    names = ("OUT", "IN", "VMCALL", "HLT", "EXTERNAL INTERRUPT")
    times = {"time": {"guest": result.guest_ns / 1000, "exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    edges = [edge("guest", "hypervisor", "exits", result.exits_total)]
    if params.mode == "passthrough":
        edges += [edge("guest", "device", "doorbells, no exit", result.doorbells, kind="direct"),
                  edge("device", "guest", "interrupts", result.interrupts, kind="interrupt")]
    else:
        split = params.mode == "split"
        edges += [edge("guest", "host", "requests by the ring", result.ring_requests, kind="ring")] * split
        edges += [edge("hypervisor", "host", *(("signals", result.signals) if split else ("to the worker", result.worker_exits))),
                  edge("host", "device", "commands", result.commands, kind="data"),
                  edge("host", "guest", "interrupts", result.interrupts, kind="interrupt")]
    counts = {name: result.exits_by_instruction.get(name, 0) for name in names}
    shown = [charts.bars("Exits by instruction", counts, "exits"), charts.stack("Virtual time of 32 reads", times, "us")]
    return text, shown, {"edges": edges, "title": f"Disk, {params.mode}"}


def _idle(**params: Any) -> dict[str, str]:
    """Which controls change nothing, and why."""
    if params["mode"] == "passthrough":
        found = {}
        if not params["interrupts"]:
            found["delivery"] = "a guest that polls takes no interrupts"
        elif params["queue_depth"] == 1:
            found["delivery"] = "with one read in flight the guest sleeps, and an interrupt stops nobody"
        if not run(**params).exits_total:
            found["costs"] = "a preset prices exits, and there are none"
        return found
    found = dict.fromkeys(("iommu", "delivery"), "only passthrough heeds them")
    return {**found, "queue_depth": "an ATA disk takes one request at a time"} if params["mode"] == "emulated" else \
        {**found, "interrupts": "this split driver never polls"}


def modes_panel() -> Panel:
    """One workload, three modes, and passthrough's own choices."""
    return Panel(run, [
        declared(DiskParams, "mode", "Mode", "passthrough"),
        declared(DiskParams, "queue_depth", "In flight", high=32),
        declared(DiskParams, "iommu", "IOMMU", choices=STRATEGIES),
        declared(DiskParams, "delivery", "Interrupts are"),
        toggle("interrupts", True, label="Interrupts on"),
        declared(DiskParams, "costs", "Cost preset", choices=PRESETS)],
        _view, name="pass_a_device_through modes", live=MachineView(title="Disk", notes={"device": "NVMe disk"}), idle=_idle)


@lru_cache(maxsize=1024)
def hits(pages: int, entries: int) -> IotlbResult:
    """`vmio.experiments.iotlb.hits`, remembered."""
    return iotlb.hits(pages, entries)


_whole: set = set()     # sizes of the IOTLB whose curves were counted to their ends


def _hits_model(pages: int, entries: int) -> Iterator[Hits]:
    """Yield the hits asked for, with a curve through more and more working sets."""
    asked, rates = hits(pages, entries), []
    for at, size in enumerate(WORKING_SETS):
        rates.append(hits(size, entries).hit_rate * 100)
        if size == WORKING_SETS[-1] or at >= 2 and entries not in _whole:
            yield asked, (WORKING_SETS[:at + 1], tuple(rates))
    _whole.add(entries)


def _hits_view(answer: Hits) -> Shown:
    result, curve = answer
    text = "\n".join([f"{result.pages} pages in use", f"IOTLB of {result.entries} entries",
                      f"{result.accesses:,} accesses", f"hits {result.hits:,}", f"misses {result.misses:,}",
                      f"hit rate {result.hit_rate * 100:.1f} %"])
    x, y = axes.log("pages in use", (), WORKING_SETS), axes.linear("% of accesses", (), top=100)
    return text, [charts.lines("IOTLB hits", {"hits": curve}, x, y, at=result.pages)]


def iotlb_panel() -> Panel:
    """How much memory a device may use before its translations no longer fit."""
    return Panel(_hits_model, [declared(IotlbParams, "pages", "Pages in use", low=8, high=512),
                               declared(IotlbParams, "entries", "IOTLB entries", low=16, high=256)],
                 _hits_view, name="pass_a_device_through iotlb")


@lru_cache(maxsize=512)
def late(strategy: str, batch: int, late_by: int, entries: int) -> LateWritesResult:
    """`vmio.experiments.late_writes.run`, remembered."""
    return late_writes.run(LateWritesParams(strategy, batch, late_by, entries))


def _late_model(**asked: int) -> dict[str, LateWritesResult]:
    """Both modes with the same buffers."""
    return {"strict": late("strict", 1, asked["late_by"], asked["entries"]), "lazy": late("lazy", **asked)}


def _late_view(both: dict[str, LateWritesResult]) -> Shown:
    asked = both["lazy"].params
    ns = {name: one.driver_ns / (asked.buffers + asked.late_by) for name, one in both.items()}
    rows = [("pages overwritten", *(one.landed for one in both.values())),
            ("secret bytes read", *(one.leaked for one in both.values())),
            ("foreign bytes damaged", *(one.damaged for one in both.values())),
            ("late writes refused", *(one.refused for one in both.values())),
            ("times the IOTLB was told", *(one.invalidations for one in both.values())),
            ("driver's ns per buffer", *ns.values())]
    text = "\n".join([
        f"{asked.buffers} buffers, each used once more", f"{asked.late_by} buffers after it was taken away",
        f"lazy: told for {asked.batch} at a time", "", table(rows, ("", "strict", "lazy"))])
    ends = {name: {"overwritten": one.landed, "refused": one.refused} for name, one in both.items()}
    return text, [charts.stack("Late writes into pages that were given away", ends, "pages"),
                  charts.bars("What the driver pays", ns, "ns per buffer")]


@later
def _late_idle(**asked: int) -> Asking:
    """Which controls of the late writes change nothing, and why; what the IOTLB's size does only a run can know."""
    if asked["batch"] == 1:
        return {"entries": "told for each buffer, the IOTLB keeps nothing old"}
    if (yield from unmoved(_late_model, _late_view, asked, "entries", (16, 32, 64, 128, 256))):
        return {"entries": "all that is kept too long fits into each of these"}
    return {}


def late_panel() -> Panel:
    """A device that uses its buffers too late: what strict mode refuses, and what lazy mode lets through."""
    return Panel(_late_model, [
        declared(LateWritesParams, "batch", "Batch"), declared(LateWritesParams, "late_by", "Late by, buffers"),
        declared(LateWritesParams, "entries", "IOTLB entries", low=16, high=256)],
        _late_view, name="pass_a_device_through late", idle=_late_idle)
