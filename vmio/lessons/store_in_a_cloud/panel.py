"""Tables, panel and report of *Store in a cloud*: eight guests on one disk, and the ways to keep one from the others."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

from vmio.experiments import many, trace
from vmio.experiments.cloud import run
from vmio.experiments.cloud_params import BULLY, DISK_MIB, MIB, MS, VICTIM, CloudParams
from vmio.experiments.cloud_queue import bucket_ends, bucket_theory, random_arrivals
from vmio.experiments.cloud_result import CloudResult
from vmio.experiments.cloud_variants import TURNS, VARIANTS, promised, variant
from vmio.experiments.compare import TRACES, recorded
from vmio.experiments.traces.request import Request, Requests
from vmio.lab import axes, charts
from vmio.lab.charts import Chart
from vmio.lab.controls import choice, slider
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.lab.report import Report
from vmio.table import number, table

BASE = CloudParams(moved_ns=100 * MS)
SHORT = CloudParams(duration_ns=300 * MS, moved_ns=30 * MS)
NOBODY = "nobody"
POLICIES = ("fifo", "fair", "limits")
SPANS = (5, 60)              # ms of requests: of the panel's first answer, and of its last
Settings: TypeAlias = dict[str, str | int | bool]
QUESTIONS = (
    "Under \"no policy\", what does a median of the victim's requests hide? Give p50, p99 and p99.9, and say where the difference comes from.",
    "A customer pays for a tail that stays below 1 ms. Which two ways would you offer, and what does each cost the other guests?",
    "A colleague says: \"Give the victim a virtual function, then nobody can disturb it.\" What do your numbers say?",
    "The disk is idle most of the time. Why is there a tail at all, and which number of your report shows it?",
    "How many victims can this disk keep within the objective beside one bully, and what gives way first? (The text does not say; find out.)",
)


@lru_cache
def ran(name: str, rate: int = 10_000) -> CloudResult:
    """One of the variants, a second long; while the bully is on it sends `rate` requests a second."""
    return run(variant(name, BASE.with_guest(BULLY, per_second=rate)))


@lru_cache(maxsize=1)
def alone() -> CloudResult:
    """The victim without any neighbour."""
    return run(replace(BASE, guests=(BASE.guest(VICTIM),)))


def tail_us(name: str, rate: int = 10_000) -> int:
    """The victim's 99th percentile in us."""
    return round(ran(name, rate)[VICTIM].at(990) / 1000)


def gone_percent(rate: int = 10_000) -> float:
    """How much of the victim's 99th percentile is gone when it has a function of its own, in % of that without a policy."""
    before, after = (ran(name, rate)[VICTIM].at(990) for name in ("no policy", "victim's function"))
    return round(100 * (before - after) / before, 1)


def guests_table() -> str:
    """What each guest sends, and when."""
    rows = []
    for guest in BASE.guests:
        known = guest.requests()
        writes, size = sum(each.op == "W" for each in known), sum(each.sectors for each in known) / 2 / len(known)
        when = "at random" if guest.on_ns == guest.period_ns else f"{guest.on_ns // MS} ms of each {guest.period_ns // MS}"
        rows.append((guest.name, guest.trace, len(known), 100 * writes // len(known), size, guest.per_second, when))
    return table(rows, ("guest", "recorded", "requests", "% writes", "KiB each", "a second", "it is on"), "<<>>>><")


def ways_table() -> str:
    """The victim's latency in each variant, and what the bully and the disk have of it."""
    rows = [_way(name, ran(name)) for name in VARIANTS]
    return table([_way("alone", alone()), *rows], WAY_HEAD)


WAY_HEAD = ("way", "p50 us", "p99 us", "p99.9 us", "kept %", "exits", "bully p50 us", "MB/s", "busy %", "Jain")


def _way(name: str, one: CloudResult) -> tuple:
    victim, bully = one[VICTIM], next((each for each in one.guests if each.guest.name == BULLY), None)
    return (name, *(victim.at(each) / 1000 for each in (500, 990, 999)), one.kept(), victim.exits_a_request,
            None if bully is None else bully.at(500) / 1000, one.rate / 1e6, one.busy, round(one.jain, 3))


def guest_table(name: str) -> str:
    """All guests of one variant."""
    return ran(name).table()


def move_table() -> str:
    """How a guest went over to its function, in the four variants in which one does: times since the first request could come."""
    rows = []
    for name in VARIANTS:
        one = ran(name)
        if one.params.moved is not None:
            guest = one[one.params.moved]
            went = guest.switched_ns or 0
            rows.append((name, one.params.moved_ns / MS, went / MS, len(guest.latencies) - guest.by_function, guest.by_function,
                         "yes" if _digests(one) == _digests(ran("no policy")) else "no"))
    return table(rows, ("way", "given, ms", "in use, ms", "by StorVSP", "by function", "same bytes"), "<>>>>>")


def _digests(one: CloudResult) -> list[str]:
    return [guest.sha256 for guest in one.guests]


def queue_table() -> str:
    """Random arrivals at a disk that takes one request at a time: the wait that was measured, and theory's."""
    rows = [(rho, one.wait_ns / 1000, one.theory_ns / 1000, 100 * (one.wait_ns / one.theory_ns - 1))
            for rho in (0.1, 0.3, 0.5, 0.7, 0.9) for one in (random_arrivals(rho, 20_000),)]
    return table(rows, ("busy", "mean wait us", "theory us", "% off"))


def bucket_table(rate: int = 300, size: int = 30, requests: int = 60) -> str:
    """Requests that come at once to a full bucket: when each is over, and when the closed form lets it go."""
    ends, theory = bucket_ends(rate, size, requests), bucket_theory(rate, size, requests)
    rows = [(at, ends[at - 1] / MS, theory[at - 1] / MS) for at in (1, size, size + 1, size + 2, requests)]
    return table(rows, ("request", "over, ms", "may go, ms"))


@lru_cache(maxsize=1)
def window_table() -> str:
    """A bully that reads and writes without a pause: how many bytes may be at the disk, its throughput, the victim's tail."""
    load = CloudParams(duration_ns=10 * MS).with_guest(BULLY, per_second=20_000, on_ns=100 * MS)
    rows = []
    for name, window in (("weights", None), ("weights", 2 * MIB), ("weights", 8 * MIB), ("no policy", None)):
        one = run(replace(variant(name, load), window=window))
        said = {"weights": "as few as keep it busy", "no policy": "all"}[name] if window is None else f"{window // MIB} MiB"
        rows.append((name, said, one.rate / 1e6, one[VICTIM].at(990) / 1000))
    return table(rows, ("policy", "at the disk", "MB/s", "victim's p99 us"), "<<>>")


def tail_of(point: tuple[str, int]) -> int:
    """The victim's 99th percentile in ns at a point of a sweep: (variant, seed)."""
    name, seed = point
    return run(variant(name, replace(SHORT, seed=seed)))[VICTIM].at(990)


@lru_cache(maxsize=1)
def luck_table(seeds: int = 6) -> str:
    """The same with other arrivals: the least and the greatest 99th percentile of so many seeds, counted on all cores."""
    names = ("no policy", "weights", "victim's function", "victim's, by turns")
    points = [(name, seed) for name in names for seed in range(1, seeds + 1)]
    found = dict(zip(points, many.run(tail_of, points, what="seeds")))
    rows = [(name, *(end(found[name, seed] for seed in range(1, seeds + 1)) / 1000 for end in (min, max))) for name in names]
    return table(rows, ("way", "least p99 us", "greatest p99 us"))


def of_file(path: str, volume: str | None = None) -> Requests:
    """Return the requests of a trace in any form that is known, or of one of ours by its name, folded onto the lab's small disk.

    ValueError, in one sentence, for what is no trace or has no reads, writes and flushes.
    """
    known = recorded(path) if path in TRACES else trace.load(path, volume)
    end = DISK_MIB << 11
    short = [each._replace(sectors=min(each.sectors, MIB >> 9)) for each in known if each.op in "RWF"]
    if not short:
        raise ValueError(f"trace {path}: no reads, writes or flushes are in it")
    return [Request(each.op, each.lba % (end - each.sectors), each.sectors) for each in short]


def with_trace(path: str = "untar", volume: str | None = None) -> str:
    """The victim has another trace: a file, or the name of one of ours."""
    base = SHORT.with_guest(VICTIM, trace=tuple(of_file(path, volume)))
    names = ("no policy", "weights", "victim's function", "victim's, by turns")
    return table([_way(name, run(variant(name, base))) for name in names], WAY_HEAD, title=f"the victim sends {path}")


def report() -> Report:
    """The lab's report with its questions, the table of all ways, the guests of one, and both figures of the panel's first setting."""
    made = Report("L1 · Store in a cloud", QUESTIONS)
    made.table("Each way", WAY_HEAD, [_way("alone", alone()), *(_way(name, ran(name)) for name in VARIANTS)])
    made.chart(charts.bars("The victim's 99th percentile", {name: ran(name)[VICTIM].at(990) / 1000 for name in VARIANTS}, "us", log=True))
    return made


# The panel.

@lru_cache(maxsize=512)
def _small(policy: str, moved: str, arbitrated: bool, burst_ms: float, ms: int) -> CloudResult:
    """A short run with small bursts: `ms` of requests, all of them measured."""
    weights = TURNS if arbitrated else (1, 1)
    given = None if moved == NOBODY else moved
    base = CloudParams(policy=policy, duration_ns=ms * MS, moved=given, window_ns=5 * MS,
                       arbitrated=arbitrated and given is not None, function_weights=weights)
    base = base.with_guest(BULLY, per_second=20_000, on_ns=round(burst_ms * MS), period_ns=20 * MS, longest=512 << 10)
    base = base.with_guest(VICTIM, per_second=2500)
    return run(promised(base))


def _model(policy: str, moved: str, arbitrated: bool, burst_ms: float, objective_us: int) -> Iterator[CloudResult]:
    for ms in SPANS:
        one = _small(policy, moved, arbitrated and moved != NOBODY, burst_ms, ms)
        yield replace(one, params=replace(one.params, objective_ns=objective_us * 1000))


def _view(one: CloudResult) -> Shown:
    params, victim, bully = one.params, one[VICTIM], one[BULLY]
    others = max(each.at(990) for each in one.guests[1:-1])
    turns = ", functions take turns" if params.arbitrated else ""
    text = "\n".join([
        f"{params.policy}; own function: {params.moved or NOBODY}{turns}", "",
        f"ms of requests           {params.duration_ns // MS:>8}", f"victim's requests        {len(victim.latencies):>8}",
        f"victim's p50 us          {number(victim.at(500) / 1000):>8}", f"victim's p99 us          {number(victim.at(990) / 1000):>8}",
        f"its objective us         {number(params.objective_ns / 1000):>8}", f"windows that kept it, %  {number(one.kept()):>8}",
        f"exits a request          {number(victim.exits_a_request):>8}", f"bully's p99 us           {number(bully.at(990) / 1000):>8}",
        f"MB/s in all              {number(one.rate / 1e6):>8}", f"disk busy, %             {number(one.busy):>8}"])
    came, took = [ns / MS for ns in victim.came_ns], [ns / 1000 for ns in victim.latencies]
    objective = params.objective_ns / 1000
    waits: Chart | None = None
    if came:
        waits = charts.lines("Each request of the victim", {VICTIM: (came, took)}, axes.linear("virtual time in ms", (), top=params.duration_ns / MS),
                             axes.log("us", took, (10, 100, 1000, 10_000)), limits={"objective": objective})
    tails = {VICTIM: victim.at(990) / 1000, "worst of the six": others / 1000, BULLY: bully.at(990) / 1000}
    return text, [waits, charts.bars("99 of 100 requests take at most", tails, "us", log=True)]


def _idle(policy: str, moved: str, arbitrated: bool, burst_ms: float, objective_us: int) -> dict[str, str]:
    return {"arbitrated": "only one function is used, the host's"} if moved == NOBODY else {}


def panel() -> Panel:
    """Eight guests: the host's policy, who has a function, whether functions take turns, how long the bully's bursts are."""
    return Panel(_model, [
        declared(CloudParams, "policy", "Policy", "fifo", choices=POLICIES),
        choice("moved", (NOBODY, VICTIM, BULLY), NOBODY, "Own function"),
        declared(CloudParams, "arbitrated", "Turns at the disk"),
        slider("burst_ms", 0.5, 1.25, 0.25, 1.0, "Burst, ms"),
        choice("objective_us", (100, 250, 500, 1000, 2000), 500, "Objective, us")],
        _view, name="store in a cloud", idle=_idle)
