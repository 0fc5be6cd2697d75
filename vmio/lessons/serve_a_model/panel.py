"""Tables and the panel of *Serve a model*: requests for a small network, several tenants, one engine or more."""

from collections.abc import Iterator
from functools import lru_cache

from vmio.attacks.defence import without
from vmio.drivers.accelerator_plan import Plan
from vmio.experiments import many, serving, serving_handover, serving_law
from vmio.experiments.serving_params import BULLIES, ENDLESS, ENGINES, FUNCTIONS, NOBODY, SERVICE, WAYS, ServingParams
from vmio.experiments.serving_result import ServingResult
from vmio.hardware.accelerator.function import EngineFunction
from vmio.lab import axes, charts
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.lab.parts import again
from vmio.machine.contracts import Options
from vmio.table import number, table

ANSWERS = 100               # of each tenant, in the panel
PARTS = 10                  # in which the panel shows them
COUNT = 400                 # of each tenant, in the tables
HUGE = BULLIES[1]
FITTED, TOLD = (1, 8, 64), (2, 30, 256, 450, 512, 1_024, 4_096)      # images a call: measured for the line, and foretold by it
RATES = (20_000, 60_000, 100_000, 140_000)
RULES = [(batch, wait_us) for wait_us in (0, 25, 50, 100, 200) for batch in (1, 4, 16, 64)]


@lru_cache(maxsize=256)
def run(way: str = FUNCTIONS, batch: int = 16, bully: str = NOBODY, slice_us: int = 16, **changes: int) -> ServingResult:
    """The run with these parameters, the others as they are declared."""
    settings: Options = {"count": COUNT, **changes}
    return serving.run(ServingParams(way, batch=batch, bully=bully, slice_us=slice_us, **settings))


def answers_by_service(tenants: int = 3, rate: int = 40_000) -> int:
    """How many answers a second each tenant gets by the service, one image in a call; the mean of all."""
    result = run(SERVICE, batch=1, tenants=tenants, rate=rate, count=200)
    return round(sum(each.per_second for each in result.tenants) / tenants)


def p99_beside_a_bully(rate: int = 40_000) -> float:
    """The 99th percentile of all answers by functions, in us, beside somebody with huge calls and slices of 1,024 us."""
    return round(run(bully=HUGE, slice_us=1_024, rate=rate, count=200).percentile(99) / 1000)


def ways_table() -> str:
    """Each way with one image in a call, and with up to 16."""
    rows = []
    for batch in (1, 16):
        for way in WAYS:
            one = run(way, batch)
            rows.append((way, batch, one.images_per_call, one.percentile(50) / 1000, one.percentile(99) / 1000,
                         sum(each.per_second for each in one.tenants) / len(one.tenants), one.exits_per_image, one.busy, one.switches, one.wrong))
    return table(rows, ("way", "at most", "images a call", "p50 us", "p99 us", "images/s each", "exits/image", "engine busy %", "switches", "wrong"),
                 "<" + 9 * ">")


def bullies_table() -> str:
    """What tenants notice of a bully, by each way."""
    rows = []
    for way in WAYS:
        for bully in BULLIES:
            one = run(way, bully=bully)
            his = one.bully
            rows.append((way, bully, one.percentile(50) / 1000, one.percentile(99) / 1000, one.fairness, one.wrong,
                         None if his is None else 100 * his.engine_ns / one.ns, None if his is None else his.ended, None if his is None else his.refused))
    return table(rows, ("way", "beside them", "p50 us", "p99 us", "Jain's index", "wrong", "bully: % of engine", "ended", "refused"), "<<" + 7 * ">")


def slices_table() -> str:
    """Huge calls beside the tenants, and slices from short to long."""
    rows = []
    for way in (SERVICE, FUNCTIONS):
        for slice_us in (1, 16, 128, 1_024):
            one = run(way, bully=HUGE, slice_us=slice_us, count=100)
            his = one.bully
            rows.append((way, slice_us, one.percentile(50) / 1000, one.percentile(99) / 1000, one.switches,
                         None if his is None else his.images * 1e3 / one.ns, one.fairness))
    return table(rows, ("way", "slice us", "p50 us", "p99 us", "switches", "bully: images/us", "Jain's index"), "<" + 6 * ">")


def models_table() -> str:
    """Models from small to large, by functions."""
    rows = []
    for hidden in (8, 32, 128, 512):
        law, one = law_of(FUNCTIONS, hidden), run(hidden=hidden, count=200)
        rows.append((hidden, serving.network(hidden).weight_bytes, Plan(serving.network(hidden)).piece, law.fixed / 1000, law.each, one.exits_per_image,
                     one.percentile(50) / 1000, one.percentile(99) / 1000, one.busy))
    return table(rows, ("hidden sums", "bytes of weights", "images on the chip", "us a call", "+ ns an image", "exits/image", "p50 us", "p99 us", "engine busy %"))


# On paper.

@lru_cache
def law_of(way: str = FUNCTIONS, hidden: int = 32) -> serving_law.CallLaw:
    """The line through a few sizes of a call."""
    sizes = FITTED if hidden < 512 else FITTED[:2]         # of the largest model, so many images don't fit on the chip at once
    return serving_law.fitted({images: serving_law.call_ns(way, images, hidden) for images in sizes}, hidden)


def law_table() -> str:
    """What the line says of sizes that it has not seen, and what was counted."""
    law, rows = law_of(), []
    for images in TOLD:
        ns = serving_law.call_ns(FUNCTIONS, images)
        rows.append((images, ns / 1000, law.straight(images) / 1000, f"{100 * (law.straight(images) / ns - 1):+.2f}", law.ns(images) / 1000,
                     f"{100 * (law.ns(images) / ns - 1):+.2f}"))
    title = f"a call by functions takes {law.fixed / 1000:.3f} us and {law.each:.2f} ns an image; {law.piece} images fit on the chip at once"
    return table(rows, ("images", "counted us", "the line us", "off by %", "with pieces us", "off by %"), 6 * ">", title)


def queue_table() -> str:
    """Requests one by one to a tenant with an engine of its own: how long they take, counted and by two formulas."""
    call, setup, rows = serving_law.call_ns(ENGINES, 1), serving_law.setup_ns(ENGINES), []
    for rate in RATES:
        one = run(ENGINES, 1, tenants=1, rate=rate, wait_us=0, count=4_000).tenants[0]
        by = [serving_law.latency_ns(rate, call, extra) for extra in (0, setup)]
        rows.append((rate, rate * call / 1e7, one.mean_ns / 1000, by[0] / 1000, by[1] / 1000, f"{100 * (by[1] / one.mean_ns - 1):+.1f}"))
    return table(rows, ("requests/s", "load %", "counted us", "M/D/1 us", "with waking up us", "off by %"), 6 * ">",
                 f"a call takes {call / 1000:.3f} us, a guest that sleeps {setup / 1000:.2f} us more")


# A tenant that leaves.

def handover_table() -> str:
    """What the next owner of a tenant's function finds on the chip, with the scrub and without."""
    rows = []
    for scrubbed in (True, False):
        if scrubbed:
            found = serving_handover.run()
        else:
            with without(EngineFunction, "clear", lambda self: None):
                found = serving_handover.run()
        rows.append(("scrubbed" if scrubbed else "not scrubbed", found.pieces, found.found, (found.given_ns - found.asked_ns) / 1000,
                     sum(found.answers), found.wrong))
    return table(rows, ("the chip is", "pieces of weights", "found by the next", "us without an owner", "answers of both", "wrong"), "<" + 5 * ">")


# Rules.

def _ruled(rule: tuple[int, int]) -> ServingResult:
    return serving.run(ServingParams(batch=rule[0], wait_us=rule[1], count=COUNT))


@lru_cache(maxsize=1)
def rules() -> dict[tuple[int, int], ServingResult]:
    """The run of each rule (images, us) by functions, on all cores of this machine."""
    return dict(zip(RULES, many.run(_ruled, RULES, what="rules"), strict=True))


def rules_table() -> str:
    """Each rule: what it costs and how long it lets wait."""
    rows = [(wait_us, *(f"{rules()[batch, wait_us].percentile(99) / 1000:.0f} us, {rules()[batch, wait_us].exits_per_image:.2f}" for batch in (1, 4, 16, 64)))
            for wait_us in dict.fromkeys(wait for _, wait in RULES)]
    return table(rows, ("waits at most us", "1 image", "up to 4", "up to 16", "up to 64"), 5 * ">", "p99 and exits per image, by functions")


def report_rows() -> list[tuple[str, int, float, float, float]]:
    """The same for the report: way, images, p50 and p99 in us, exits per image."""
    return [(way, batch, run(way, batch).percentile(50) / 1000, run(way, batch).percentile(99) / 1000, run(way, batch).exits_per_image)
            for way in WAYS for batch in (1, 16)]


# The panel.

@again
def _model(**settings: str | int) -> Iterator[ServingResult]:
    """The first answers at once, the others in parts."""
    known: Options = {**settings}
    return serving.in_parts(ServingParams(count=ANSWERS, **known), PARTS)


def _view(result: ServingResult) -> Shown:
    bully, params = result.bully, result.params
    slowest = min(each.per_second for each in result.tenants)
    text = "\n".join([
        f"{params.way}: {number(min(each.images for each in result.tenants))} of {number(params.count)} answers each", "",
        f"images in a call         {number(result.images_per_call):>8}", f"exits per image          {number(result.exits_per_image):>8}",
        f"images/s, slowest tenant {number(round(slowest)):>8}", f"us, p50 of all answers   {number(result.percentile(50) / 1000):>8}",
        f"us, p99 of all answers   {number(result.percentile(99) / 1000):>8}", f"engine busy, %           {number(result.busy):>8}",
        f"Jain's index of its time {number(result.fairness):>8}", f"switches of guests       {number(result.switches):>8}",
        f"answers not as known     {number(result.wrong):>8}", "",
        *(["no bully"] if bully is None else [f"the bully's images       {number(bully.images):>8}", f"its jobs, ended          {number(bully.ended):>8}",
                                              f"its jobs, refused        {number(bully.refused):>8}"])])
    waits = {each.name: ([ns / 1000 for ns in sorted(each.latencies)], [100 * (at + 1) / each.images for at in range(each.images)])
             for each in result.tenants}
    us = [us for xs, _ in waits.values() for us in xs]
    grown = charts.lines("How long the answers take", waits, axes.linear("us", us), axes.linear("% of its answers", (), top=100),
                         limits={"99 %": 99})
    whole = result.ns * result.engines / 100
    parts = {each.name: each.engine_ns / whole for each in result.tenants} | ({"bully": bully.engine_ns / whole} if bully else {})
    whose = "the engine" if result.engines == 1 else f"all {result.engines} engines"
    return text, [grown, charts.bars(f"Who has {whose}", {**parts, "nobody": 100 - sum(parts.values())}, "% of the time", color="device")]


def _idle(way: str, bully: str, batch: int, **others: int) -> dict[str, str]:
    """Which controls change nothing, and why."""
    why = {"wait_us": "a call has one image, and waits for no other"} if batch == 1 else {}
    if way == ENGINES:
        return {**why, "slice_us": "each guest has an engine of its own"}
    if bully == NOBODY or way == SERVICE and bully == ENDLESS:
        return {**why, "slice_us": "no call takes as long as the shortest slice"}
    return why


def panel() -> Panel:
    """Three tenants: by which way, how much comes, how it is put into calls, and who is beside them."""
    return Panel(_model, [
        declared(ServingParams, "way", "Way", SERVICE),
        declared(ServingParams, "bully", "Beside them"),
        declared(ServingParams, "rate", "Requests/s, each", low=20_000, high=160_000, step=20_000),
        declared(ServingParams, "batch", "Images a call", 1, high=64),
        declared(ServingParams, "wait_us", "Wait, us", high=200, step=25),
        declared(ServingParams, "slice_us", "Slice, us", low=8, high=1_024),
        declared(ServingParams, "hidden", "Hidden sums", low=8, high=128)], _view, name="serve_a_model", idle=_idle)
