"""Tables and panels of *Compare the modes*: one workload in all three modes, and where each step stops paying."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any, TypeAlias

from vmio.experiments import compare, compare_sweep, trace
from vmio.experiments.compare import MODES, TIMES_AND_SAVINGS, TRACES, TRANSFERS, WORKLOADS
from vmio.experiments.compare_sweep import MATTERS, STEPS
from vmio.experiments.disk import DiskParams
from vmio.hypervisor.costs import PRESETS, CostModel
from vmio.lab import charts
from vmio.lab.controls import Control, choice, slider
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.lessons.compare_modes import figures
from vmio.machine.contracts import Options
from vmio.table import table

_TITLE = "us per request, and % saved over the mode before"
WIDTH = 38      # letters of a panel's text
Answer: TypeAlias = tuple[compare.Comparison, Options]        # what was counted, and what was asked for
Swept: TypeAlias = tuple[compare_sweep.Sweep, Options]        # the same of a sweep, as far as it has come


def run(workload: str = "mix", **settings: Any) -> compare.Comparison:
    """A `Comparison`: the requests of `workload` in all three modes."""
    return compare.compare(workload, **settings)


def transfers_table() -> str:
    """The same reads, and three ways to emulate the disk."""
    rows = []
    for transfer in TRANSFERS:
        one = run(transfer=transfer)
        emulated = one.results["emulated"]
        rows.append((transfer, emulated.exits_total / emulated.requests, one.us("emulated"), one.us("split"),
                     one.saved("split")))
    return table(rows, ("emulated by", "exits per read", "us per read", "split us", "splitting saves %"))


def traces_table() -> str:
    """Each recorded trace from its first request to its last, the emulated disk by DMA."""
    rows = []
    for name in TRACES:
        same = tuple(trace.load(compare.data.path("traces") / f"{name}.csv"))
        one = compare.Comparison({mode: compare.run(compare.params_of(mode), same) for mode in MODES})
        rows.append((name, len(same), *one.times_and_savings()))
    return table(rows, ("trace", "requests", *TIMES_AND_SAVINGS), title=_TITLE)


def presets_table() -> str:
    """From the oldest processor to the newest: the same 64 reads by DMA."""
    rows = [(name, CostModel.preset(name).hypercall_ns, *run(costs=name).times_and_savings()) for name in PRESETS]
    return table(rows, ("prices", "null exit ns", *TIMES_AND_SAVINGS), title=_TITLE)


# The big panel.

def _wrapped(sentences: list[str]) -> list[str]:
    return [line for one in sentences for line in wrap(one, WIDTH, subsequent_indent="  ")]


def _model(workload: str, transfer: str, block: int, reads: int, **settings: Any) -> Answer:
    return run(workload, transfer=transfer, block=block, reads=reads, **settings), {
        "workload": workload, "transfer": transfer, "block": block, "reads": reads, **settings}


def _about(one: compare.Comparison, asked: Options) -> list[str]:
    """What was run, in lines."""
    same = compare.requests(*(asked[name] for name in ("workload", "transfer", "block", "reads")))
    reads, writes, flushes = (sum(request.op == op for request in same) for op in "RWF")
    mix = f"{asked['block']:,} bytes, {asked['reads']} % reads" if asked["workload"] == "mix" \
        else f"{reads} reads, {writes} writes, {flushes} flushes"
    plural = "s" if len(same) > 1 else ""
    return [f"{asked['workload']}: {len(same)} request{plural}, {sum(r.sectors for r in same) / 2:,g} KiB", mix,
            f"in flight {asked['queue_depth']}, emulated 1 by {asked['transfer']}",
            f"IOMMU {asked['iommu']}, interrupts {asked['delivery']}",
            f"prices {asked['costs']}", f"same bytes in all modes: {'yes' if one.same_bytes() else 'NO'}"]


def _view(answer: Answer) -> Shown:
    one, asked = answer
    rows = table(one.rows(), ("per request", "emul.", "split", "pass."))
    text = "\n".join([*_about(one, asked), "", rows, "", *_wrapped(one.words())])
    latencies = {mode: [ns / 1000 for ns in one.results[mode].latencies] for mode in MODES}
    return text, [charts.stack("Virtual time per request", {mode: one.parts_us(mode) for mode in MODES}, "us"),
                  figures.done("Requests done", latencies)]


ASLEEP = "with one request in flight the guest sleeps, and an interrupt stops nobody"


def _idle(workload: str, transfer: str, block: int, reads: int, **settings: Any) -> dict[str, str]:
    """Which controls change nothing, and why."""
    found = {} if workload == "mix" else dict.fromkeys(("block", "reads"), "a recorded trace has requests of its own")
    if len(compare.requests(workload, transfer, block, reads)) == 1:
        found |= dict.fromkeys(("queue_depth", "delivery"), "there is only one request")
    elif settings["queue_depth"] == 1:
        found["delivery"] = ASLEEP
    return found


def _settings() -> list[Control]:
    return [declared(DiskParams, "iommu", "IOMMU"), declared(DiskParams, "delivery", "Interrupts are"),
            declared(DiskParams, "costs", "Cost preset", choices=PRESETS)]


def panel() -> Panel:
    """Any workload, three modes at once."""
    return Panel(_model, [
        choice("workload", WORKLOADS, label="Workload"),
        choice("transfer", TRANSFERS, "DMA", label="Emulated by"),
        declared(DiskParams, "block", "Mix: bytes", high=65536),
        slider("reads", 0, 100, 10, 100, label="Mix: % reads"),
        declared(DiskParams, "queue_depth", "In flight", high=32), *_settings()], _view, name="compare_modes", idle=_idle)


# Break-even.

def sweep(against: str = "size", **settings: Any) -> compare_sweep.Sweep:
    """A `Sweep`, remembered."""
    return compare_sweep.sweep(against, **settings)


_swept: dict = {}      # settings: the whole sweep


def _sweep_model(**asked: Any) -> Iterator[Swept]:
    """Yield sweeps of more and more steps; of settings that were asked for before, the whole at once."""
    key = tuple(asked.items())
    for one in (_swept[key],) if key in _swept else compare_sweep.growing(**asked):
        yield one, asked
    _swept[key] = one


def _sweep_view(answer: Swept) -> Shown:
    one, asked = answer
    xs, steps = list(one.points), STEPS[one.against]
    words = one.words() if len(xs) == len(steps) else [f"counted at {len(xs)} of {len(steps)} steps so far"]
    rows = [(x, *us) for x, *us in zip(xs, *(one.us(mode) for mode in MODES))]
    crowd = compare_sweep.CROWD
    text = "\n".join([
        f"against {one.against}: {one.unit}", f"emulated by {asked['transfer']}, IOMMU {asked['iommu']}",
        f"{crowd['guests']} guests, {crowd['queue_depth']} in flight (asked {asked['queue_depth']})"
        if one.against == "cores" else f"1 guest, {asked['queue_depth']} in flight; ATA takes 1",
        f"interrupts {asked['delivery']}", f"prices {asked['costs']}", "",
        table(rows, ("us at", "emul.", "split", "pass.")), "", *_wrapped(words)])
    savings = {mode: (xs, one.saved(mode)) for mode in MODES[1:]}
    return text, [figures.swept("Time per request", {mode: (xs, one.us(mode)) for mode in MODES}, one.unit, "us", steps),
                  figures.swept("Time saved over the mode before", savings, one.unit, "%", steps, MATTERS)]


def _sweep_idle(against: str, queue_depth: int, **_: Any) -> dict[str, str]:
    """Which controls of the break-even change nothing, and why."""
    if against == "cores":
        return {"queue_depth": "the crowd of guests that shares the cores has a depth of its own"}
    return {"delivery": ASLEEP} if queue_depth == 1 else {}


def break_even_panel() -> Panel:
    """Where does splitting stop mattering, where does passthrough stop paying?"""
    return Panel(_sweep_model, [
        choice("against", STEPS, label="Against"), choice("transfer", TRANSFERS, "DMA", label="Emulated by"),
        declared(DiskParams, "queue_depth", "In flight", choices=(1, 4, 16)), *_settings()], _sweep_view, name="compare_modes break-even",
        idle=_sweep_idle)
