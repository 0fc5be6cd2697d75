"""Tables and panels of *Pass a device through*: a device in the guest's own hands, and the IOMMU that makes it safe."""

from functools import lru_cache

from vmio.experiments import disk, iotlb
from vmio.experiments.disk import DiskParams
from vmio.hypervisor.costs import PRESETS
from vmio.lab.controls import choice, log2_slider, toggle
from vmio.lab.figures import CountBars, Curves, StackedBars
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.passthrough.strategies import STRATEGIES
from vmio.table import table

READS = 32
MODES = ("emulated", "split", "passthrough")
WORKING_SETS = tuple(1 << n for n in range(3, 10))


@lru_cache(maxsize=4096)
def run(mode="passthrough", queue_depth=1, iommu="static", delivery="injected", interrupts=True, costs="server-2022"):
    """32 reads of 4 KiB; equal questions get the same answer without another run."""
    return disk.run(DiskParams(mode=mode, bytes=READS * 4096, queue_depth=queue_depth, transfer="dma", iommu=iommu,
                               delivery=delivery, polled=not interrupts and mode != "split", costs=costs))


def modes_table():
    """The same reads three ways, and in each of passthrough's own."""
    rows = []
    for name, options in (("emulated, DMA", dict(mode="emulated")), ("split", dict(mode="split")), ("passthrough", {}),
                          ("  posted", dict(delivery="posted")), ("  polled", dict(interrupts=False)),
                          ("  16 in flight, injected", dict(queue_depth=16)),
                          ("  16 in flight, posted", dict(queue_depth=16, delivery="posted"))):
        one = run(**options)
        rows.append((name, one.setup_exits, one.exits_total / READS, one.interrupts / READS, one.virtual_ns / READS / 1000))
    return table(rows, ("way", "exits of the set-up", "exits a read", "interrupts a read", "us a read"),
                 title=f"{READS} reads of 4 KiB, one at a time if not said")


def what_exits_table():
    """What is left, by instruction: each count is for 32 reads."""
    names = ("emulated, DMA", "split", "passthrough", "polled", "16 in flight", "16, posted")
    results = (run(mode="emulated"), run(mode="split"), run(), run(interrupts=False), run(queue_depth=16),
               run(queue_depth=16, delivery="posted"))
    reasons = sorted({reason for one in results for reason in one.exits_by_instruction})
    return table([(reason, *(one.exits_by_instruction.get(reason, 0) for one in results)) for reason in reasons],
                 ("instruction", *names))


def strategies_table():
    """What each way to map buffers costs: exits and time a read."""
    rows = []
    for name in STRATEGIES:
        one = run(iommu=name)
        rows.append((name, one.exits_total / READS, one.guest_ns / READS, one.virtual_ns / READS / 1000))
    return table(rows, ("IOMMU", "exits a read", "guest's ns a read", "us a read"))


def window_table():
    """A device that reads what was taken from it, under both strategies."""
    strict, lazy = iotlb.window("strict"), iotlb.window("lazy")
    return table([(what, _short(one), _short(other)) for (what, one), (_, other) in zip(strict, lazy)],
                 ("what happens", "strict: the device gets", "lazy: the device gets"))


def _short(text):
    return "a fault: not mapped" if "not mapped" in text else text


_exits = CountBars("Exits by instruction", width=4.6, left=0.42, height=2.4)
_time = StackedBars("Virtual time of 32 reads", unit="us", width=4.6, height=2.5)


def _view(result):
    params = result.params
    rows = [(name, count, count / READS) for name, count in result.exits_by_instruction.items()] or [("none", 0, 0)]
    text = "\n".join([
        f"{READS} reads, {params.mode}", f"{params.queue_depth} in flight",
        f"exits {result.exits_total:,}, {result.exits_total / READS:.2f} a read",
        f"virtual time {result.virtual_ns / 1000:,.1f} us", f"interrupts {result.interrupts}",
        f"IOMMU {params.iommu}, {params.delivery}" if params.mode == "passthrough" else "",
        table(rows, ("exits by", "count", "a read"))])
    names = ("OUT", "IN", "VMCALL", "HLT", "EXTERNAL INTERRUPT")
    times = {"time": {"guest": result.guest_ns / 1000, "exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    edges = [edge("guest", "hypervisor", "exits", result.exits_total)]
    if params.mode == "passthrough":
        edges += [edge("guest", "device", "doorbells, no exit", READS, kind="direct"),
                  edge("device", "guest", "data and interrupts", READS, kind="interrupt")]
    else:
        edges += [edge("hypervisor", "host", "requests", READS, kind="data"),
                  edge("host", "device", "commands", READS, kind="data"),
                  edge("host", "guest", "interrupts", result.interrupts, kind="interrupt")]
    counts = {name: result.exits_by_instruction.get(name, 0) for name in names}
    return text, [_exits.update(counts), _time.update(times)], {"edges": edges, "title": f"Disk, {params.mode}"}


def modes_panel():
    """One workload, three modes, and passthrough's own choices."""
    return Panel(run, [
        choice("mode", MODES, "passthrough", label="Mode"),
        log2_slider("queue_depth", 1, 32, 1, label="In flight"),
        choice("iommu", STRATEGIES, "static", label="IOMMU"),
        choice("delivery", ("injected", "posted"), label="Interrupts are"),
        toggle("interrupts", True, label="Interrupts on"),
        choice("costs", PRESETS, "server-2022", label="Cost preset")],
        _view, name="pass_a_device_through modes", live=MachineView(title="Disk", notes={"device": "NVMe disk"}))


_hits = Curves("IOTLB hits", "pages in use", "% of accesses", logx=True, width=5.2, top=105)


@lru_cache(maxsize=1024)
def hits(pages, entries):
    """`vmio.experiments.iotlb.hits`, remembered."""
    return iotlb.hits(pages, entries)


def _hits_model(pages, entries):
    return hits(pages, entries), [hits(n, entries).hit_rate * 100 for n in WORKING_SETS]


def _hits_view(answer):
    result, rates = answer
    text = "\n".join([f"{result.pages} pages in use", f"IOTLB of {result.entries} entries",
                      f"{result.accesses:,} accesses", f"hits {result.hits:,}", f"misses {result.misses:,}",
                      f"hit rate {result.hit_rate * 100:.1f} %"])
    return text, [_hits.update({"series": {"hits": (WORKING_SETS, rates)}, "at": result.pages})]


def iotlb_panel():
    """How much memory a device may use before its translations no longer fit."""
    return Panel(_hits_model, [log2_slider("pages", 8, 512, 64, label="Pages in use"),
                               log2_slider("entries", 16, 256, 64, label="IOTLB entries")],
                 _hits_view, name="pass_a_device_through iotlb")
