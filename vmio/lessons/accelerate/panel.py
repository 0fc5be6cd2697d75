"""Tables and panel of *Accelerate*: a small network on a matrix engine, and what each way to it costs."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

from vmio.attacks.catalogue import attacks
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.drivers.accelerator_plan import Plan
from vmio.experiments import accelerator, digits
from vmio.experiments.accelerator import AcceleratorParams, AcceleratorResult
from vmio.experiments.accelerator_params import DIGITS, MODES
from vmio.experiments.accelerator_sweep import WAYS, sweep, to_table
from vmio.hardware.accelerator import job as work
from vmio.hardware.accelerator.registers import DESCRIPTOR, Op
from vmio.lab import axes, charts
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.table import number, table

ALL = {"registers only": WAYS["registers"], "emulated, with a ring": WAYS["emulated"], "split": WAYS["split"],
       "passthrough": WAYS["passthrough"], "a virtual function": replace(WAYS["passthrough"], function="virtual")}
SIZES = (1, 64, 1024, 16_384)        # images a call that the table has, and that the panel counts by itself
SAID = {PASS: "nothing", REJECT: "nothing, and it is noticed", FAIL: "damage", WEDGED: "no end: others wait for ever"}
Counted: TypeAlias = dict[int, AcceleratorResult]        # by images a call


@lru_cache(maxsize=512)
def counted(mode: str, batch: int, hidden: int) -> AcceleratorResult:
    """One call of so many images by this way, all blank: time does not depend on what they show."""
    return accelerator.run(replace(WAYS[mode], batch=batch, count=batch, hidden=hidden), images=bytes(digits.PIXELS))


@lru_cache(maxsize=1)
def all_ways() -> dict[str, AcceleratorResult]:
    """The 450 digits in one call, by each way."""
    return {name: accelerator.run(params) for name, params in ALL.items()}


def load_exits(hidden: int = DIGITS) -> int:
    """How many exits a network of this size takes to get onto the chip by registers."""
    return accelerator.run(replace(WAYS["registers"], hidden=hidden, count=1, batch=1)).load.exits


def share(batch: int = 1) -> float:
    """How fast a guest that has the engine for itself is, in percent of bare metal, at so many images a call."""
    return round(counted("passthrough", batch, DIGITS).of_bare, 1)


def call_table() -> str:
    """The descriptors of one call with all 450 images, and how long the engine takes for each."""
    rows = []
    for each in Plan(digits.load().network).call(450, 0, 1 << 20):
        job = DESCRIPTOR.parse(each)
        shape = f"{job.rows} x {job.depth} by {job.depth} x {job.cols}" if job.op == Op.MATMUL else f"{job.rows * job.cols:,} bytes"
        rows.append((Op(job.op).name, shape, job.rows * job.cols * job.depth or None, work.duration(job) / 1000))
    return table(rows, ("operation", "of what", "products", "us"), "<<>>")


def ways_table() -> str:
    """Exits, time and results of the 450 digits in one call, by each way."""
    rows = [(name, one.load.exits, one.calls.exits, one.calls.interrupts, one.calls.ns / 1000, f"{one.right} of {one.images}", one.predictions_sha256[:8])
            for name, one in all_ways().items()]
    return table(rows, ("way", "exits, load", "exits, call", "interrupts", "us, call", "right", "SHA-256 of all"), "<>>>>>>")


def reasons_table() -> str:
    """Which instructions of the call exited, by each way."""
    names = list(dict.fromkeys(name for one in all_ways().values() for name in one.calls.exits_by_instruction))
    rows = [(way, *(one.calls.exits_by_instruction.get(name, 0) for name in names)) for way, one in all_ways().items()]
    return table(rows, ("way", *names))


def sizes_table() -> str:
    """Each way over the size of a call."""
    return to_table(list(sweep(batches=SIZES)))


def shared_table() -> str:
    """One, two and four guests on one engine: by turns of the host's service, and by virtual functions."""
    rows = []
    for batch in (256, 4096):
        for guests in (1, 2, 4):
            turns, functions = (accelerator.run(replace(way, guests=guests, batch=batch, count=4096)) for way in (ALL["split"], ALL["a virtual function"]))
            rows.append((batch, guests, max(turns.each_ns) / 1000, turns.switches, max(functions.each_ns) / 1000, functions.switches))
    return table(rows, ("images a call", "guests", "us by the service", "switches", "us by functions", "switches"))


def attacks_table() -> str:
    """Each attack on the engine, with its wall and without."""
    rows = [(one.id.removeprefix("engine-"), one.mode, one.wall, SAID[one.run().verdict], SAID[one.run(defended=False).verdict])
            for one in attacks().values() if one.id.startswith("engine-")]
    return table(rows, ("attack", "mode", "wall", "with the wall", "without"))


# The panel.

def _model(mode: str, batch: int, hidden: int) -> Iterator[tuple[dict[str, Any], Counted]]:
    """What the controls say first, then the other sizes of a call one by one."""
    settings, points = {"mode": mode, "batch": batch, "hidden": hidden}, {}
    for size in dict.fromkeys((batch, *SIZES)):
        points[size] = counted(mode, size, hidden)
        yield settings, dict(sorted(points.items()))


def _from(points: Counted, percent: int) -> str:
    least = next((size for size, one in points.items() if one.of_bare >= percent), None)
    return f"{percent} %: " + (f"from {number(least)} images a call on" if least else "at no size that was counted")


def _view(ran: tuple[dict[str, Any], Counted]) -> Shown:
    settings, points = ran
    one = points[settings["batch"]]
    calls, us = one.calls, one.calls.ns / 1000
    hidden = settings["hidden"]
    text = "\n".join([
        f"{settings['mode']}: {number(one.images)} image{'s' * (one.images > 1)} in one call", f"a network of {number(74 * hidden)} weights", "",
        f"exits, to load it        {number(one.load.exits):>8}", f"exits of the call        {number(calls.exits):>8}",
        f"images for each exit     {number(one.images / calls.exits):>8}", f"interrupts               {number(calls.interrupts):>8}",
        f"us, the guest's call     {number(us):>8}", f"us, on bare metal        {number(one.bare_ns / 1000):>8}",
        f"% of bare metal          {number(one.of_bare):>8}", "", f"sizes counted: {len(points)}", _from(points, 90), _from(points, 98)])
    shares = {settings["mode"]: (list(points), [each.of_bare for each in points.values()])}
    grown = charts.lines("How fast, beside bare metal", shares, axes.log("images a call", (), SIZES), axes.linear("% of bare metal", (), top=100),
                         at=settings["batch"], limits={"98 %": 98})
    engine, exits = one.bare_ns / 1000, calls.exit_ns / 1000
    times = {"guest": {"exit": exits, "device": engine, "waiting": us - exits - engine}, "bare metal": {"exit": 0, "device": engine, "waiting": 0}}
    return text, [grown, charts.stack("Where the time of the call goes", times, "us")]


def panel() -> Panel:
    """One call: in which mode, how many images, how large a network."""
    return Panel(_model, [
        declared(AcceleratorParams, "mode", "Mode", "passthrough", choices=MODES),
        declared(AcceleratorParams, "batch", "Images a call", 1),
        declared(AcceleratorParams, "hidden", "Hidden sums", low=8, high=128)], _view, name="accelerate")
