"""Tables and panels of *Compare the modes*: one workload in all three modes, and where each step stops paying."""

from textwrap import wrap

from vmio.experiments import compare, compare_sweep, trace
from vmio.experiments.compare import MODES, TIMES_AND_SAVINGS, TRACES, TRANSFERS, WORKLOADS
from vmio.experiments.compare_sweep import MATTERS, STEPS
from vmio.experiments.disk import DELIVERY, IOMMU
from vmio.hypervisor.costs import PRESETS, CostModel
from vmio.lab.controls import choice, log2_slider, slider
from vmio.lab.panel import Panel
from vmio.lessons.compare_modes.figures import Cdf, ModeTimes, SweepLines
from vmio.table import table

_TITLE = "us a request, and % saved over the mode before"
WIDTH = 38      # letters of a panel's text


def run(workload="mix", **settings):
    """A `Comparison`: the requests of `workload` in all three modes."""
    return compare.compare(workload, **settings)


def transfers_table():
    """The same reads, and three ways to emulate the disk."""
    rows = []
    for transfer in TRANSFERS:
        one = run(transfer=transfer)
        emulated = one.results["emulated"]
        rows.append((transfer, emulated.exits_total / emulated.requests, one.us("emulated"), one.us("split"),
                     one.saved("split")))
    return table(rows, ("emulated by", "exits a read", "us a read", "split us", "splitting saves %"))


def traces_table():
    """Each recorded trace from its first request to its last, the emulated disk by DMA."""
    rows = []
    for name in TRACES:
        same = tuple(trace.load(compare.data.path("traces") / f"{name}.csv"))
        one = compare.Comparison({mode: compare.run(compare.params_of(mode), same) for mode in MODES})
        rows.append((name, len(same), *one.times_and_savings()))
    return table(rows, ("trace", "requests", *TIMES_AND_SAVINGS), title=_TITLE)


def presets_table():
    """From the oldest processor to the newest: the same 64 reads by DMA."""
    rows = [(name, CostModel.preset(name).hypercall_ns, *run(costs=name).times_and_savings()) for name in PRESETS]
    return table(rows, ("prices", "null exit ns", *TIMES_AND_SAVINGS), title=_TITLE)


# The big panel.

_time = ModeTimes("Virtual time a request")
_latency = Cdf("Latency: how many are done")


def _wrapped(sentences):
    return [line for one in sentences for line in wrap(one, WIDTH, subsequent_indent="  ")]


def _model(workload, transfer, block, reads, order, **settings):
    return run(workload, transfer=transfer, block=block, reads=reads, order=order, **settings), {
        "workload": workload, "transfer": transfer, "block": block, "reads": reads, "order": order, **settings}


def _about(one, asked):
    """What was run, in lines."""
    same = compare.requests(*(asked[name] for name in ("workload", "transfer", "block", "reads", "order")))
    reads, writes, flushes = (sum(request.op == op for request in same) for op in "RWF")
    mix = f"{asked['block']:,} bytes, {asked['reads']} % reads, {asked['order']}" if asked["workload"] == "mix" \
        else f"{reads} reads, {writes} writes, {flushes} flushes"
    plural = "s" if len(same) > 1 else ""
    return [f"{asked['workload']}: {len(same)} request{plural}, {sum(r.sectors for r in same) / 2:,g} KiB", mix,
            f"in flight {asked['queue_depth']}, emulated 1 by {asked['transfer']}",
            f"IOMMU {asked['iommu']}, interrupts {asked['delivery']}",
            f"prices {asked['costs']}", f"same bytes in all modes: {'yes' if one.same_bytes() else 'NO'}"]


def _view(answer):
    one, asked = answer
    rows = table(one.rows(), ("a request", "emul.", "split", "pass."))
    text = "\n".join([*_about(one, asked), "", rows, "", *_wrapped(one.words())])
    return text, [_time.update({mode: one.parts_us(mode) for mode in MODES}),
                  _latency.update({"series": {mode: [ns / 1000 for ns in one.results[mode].latencies] for mode in MODES}})]


def _settings():
    return [choice("iommu", IOMMU, "static", label="IOMMU"), choice("delivery", DELIVERY, label="Interrupts are"),
            choice("costs", PRESETS, "server-2022", label="Prices")]


def panel():
    """Any workload, three modes at once."""
    return Panel(_model, [
        choice("workload", WORKLOADS, label="Workload"),
        choice("transfer", TRANSFERS, "DMA", label="Emulated by"),
        log2_slider("block", 512, 65536, 4096, label="Mix: bytes"),
        slider("reads", 0, 100, 10, 100, label="Mix: % reads"),
        choice("order", ("sequential", "random"), label="Mix: order"),
        log2_slider("queue_depth", 1, 32, 1, label="In flight"), *_settings()], _view, name="compare_modes")


# Break-even.

_us = SweepLines("us a request")
_saved = SweepLines("% of the time saved by", limit=MATTERS)


def sweep(against="size", **settings):
    """A `Sweep`, remembered."""
    return compare_sweep.sweep(against, **settings)


def _sweep_view(answer):
    one, asked = answer
    xs = list(one.points)
    rows = [(x, *us) for x, *us in zip(xs, *(one.us(mode) for mode in MODES))]
    crowd = compare_sweep.CROWD
    text = "\n".join([
        f"against {one.against}: {one.unit}", f"emulated by {asked['transfer']}, IOMMU {asked['iommu']}",
        f"{crowd['guests']} guests, {crowd['queue_depth']} in flight (asked {asked['queue_depth']})"
        if one.against == "cores" else f"1 guest, {asked['queue_depth']} in flight; ATA takes 1",
        f"interrupts {asked['delivery']}", f"prices {asked['costs']}", "",
        table(rows, ("us at", "emul.", "split", "pass.")), "", *_wrapped(one.words())])
    savings = {mode: (xs, one.saved(mode)) for mode in MODES[1:]}
    return text, [_us.update({"series": {mode: (xs, one.us(mode)) for mode in MODES}, "xlabel": one.unit}),
                  _saved.update({"series": savings, "xlabel": one.unit})]


def break_even_panel():
    """Where does splitting stop mattering, where does passthrough stop paying?"""
    def model(**asked):
        return sweep(**asked), asked
    return Panel(model, [
        choice("against", STEPS, label="Against"), choice("transfer", TRANSFERS, "DMA", label="Emulated by"),
        choice("queue_depth", (1, 4, 16), label="In flight"), *_settings()], _sweep_view, name="compare_modes break-even")
