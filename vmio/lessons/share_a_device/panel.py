"""Tables and panels of *Share a device*: many guests on one disk, and shares that change while they run."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from vmio.experiments.containers.kernels import ContainerParams, compare
from vmio.experiments.disk import DiskParams, run
from vmio.experiments.hot_cores import run_hot_cores
from vmio.experiments.sharing import SharedGuest, SharingParams, noisy_neighbour, run_sharing, weights_tree
from vmio.experiments.sharing_result import SharingResult, jain
from vmio.host.policies import POLICIES
from vmio.lab import axes, charts
from vmio.lab.charts import Chart
from vmio.lab.controls import choice, slider
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, still
from vmio.lab.panel import Panel, Shown
from vmio.machine.contracts import Options
from vmio.table import table

KIB, MIB = 1 << 10, 1 << 20
MS = 1_000_000
SIZES = (1, 4, 16, 64, 256)


def _mean_us(result: SharingResult, guests: slice, buckets: slice) -> float:
    """Mean latency in us of the requests that ended in these buckets; 0.0 if none did."""
    requests = result.requests[guests, buckets]
    total = (result.latency[guests, buckets] * requests).flat().there().sum()
    return round(total / max(int(requests.sum()), 1) / 1000, 1)
Ran: TypeAlias = tuple[Options, SharingResult]      # how the controls stand, and the run


@lru_cache
def noisy(policy: str) -> SharingResult:
    """Three quiet guests, and from 5 ms on a noisy one: a `SharingResult`."""
    return run_sharing(noisy_neighbour(), policy)


def quiet_us(policy: str, late: bool) -> float:
    """Mean latency of a quiet guest's reads, before the noisy one comes or (`late`) after, in us."""
    return quiet_mean_us(noisy(policy), 3, late)


def quiet_mean_us(result: SharingResult, quiet: int, late: bool) -> float:
    """Mean latency of the first `quiet` guests' reads in us, before the noisy one comes, after 10 buckets, or (`late`) after."""
    return _mean_us(result, slice(0, quiet), slice(10, None) if late else slice(0, 10))


def noisy_table() -> str:
    """What the quiet guests suffer, by policy: before and after the noisy one comes."""
    rows = []
    for policy in POLICIES:
        result = noisy(policy)
        quiet = [quiet_us(policy, late) for late in (False, True)]
        rows.append((policy, *quiet, quiet[1] / quiet[0], float(result.percentiles[:3, 2].max() / 1000),
                     float(result.bytes[3].sum() / MIB / 0.015)))
    return table(rows, ("policy", "quiet us before", "us after", "times", "worst us", "noisy MiB/s"),
                 title="three guests with one 4 KiB read at a time; a fourth comes with 64 reads of 256 KiB")


def shares_table() -> str:
    """Weights 50, 50 and 300: what each guest gets before and after the third comes."""
    rows = []
    for policy in POLICIES:
        result = run_sharing(weights_tree(), policy)
        parts = result.shares
        rows.append((policy, *(f"{100 * float(parts[n, 2:18].mean()):.1f}" for n in (0, 1)),
                     *(f"{100 * float(parts[n, 22:].mean()):.1f}" for n in (0, 1, 2))))
    return table(rows, ("policy", "A0 alone %", "A1 alone %", "A0 %", "A1 %", "B %"), "<>>>>>")


def live(policy: str = "mclock") -> SharingResult:
    """Three equal guests; then a's weight is tripled, b is capped, and the cap is taken away: a `SharingResult`."""
    guests = tuple(SharedGuest(name, queue_depth=32) for name in "abc")
    changes = ((5 * MS, "a", {"weight": 300}), (10 * MS, "b", {"cap": 200 * MIB}), (15 * MS, "b", {"cap": None}))
    return run_sharing(SharingParams(guests, changes=changes), policy)


def live_table(result: SharingResult) -> str:
    """MiB/s of each guest in each quarter of the run."""
    names = [guest.name for guest in result.params.guests]
    rows = [(f"{5 * n} to {5 * n + 5} ms", what, *(float(result.rates[g, 10 * n + 1:10 * n + 10].mean() / MIB)
                                                    for g in range(len(names))))
            for n, what in enumerate(("equal weights", "a weighs 300", "b capped at 200 MiB/s", "cap gone"))]
    return table(rows, ("when", "what changed", *names))


def scale_table() -> str:
    """One request a guest at a time, 1 to 256 guests under mClock: fair, and the same device in all."""
    rows = []
    for guests in SIZES:
        result = run_sharing(SharingParams(tuple(SharedGuest(f"g{n}", queue_depth=4) for n in range(guests))), "mclock")
        total = float(result.bytes.sum() / MIB / 0.02)
        rows.append((guests, total, total / guests, jain(result.bytes.sum(axis=1)),
                     float(result.percentiles[:, 1].max() / 1000)))
    return table(rows, ("guests", "MiB/s in all", "MiB/s each", "Jain", "p99 us"))


def cost_table() -> str:
    """What an I/O through a split driver costs, 1 to 256 guests with 4 reads of 4 KiB in flight each."""
    rows = []
    for guests in SIZES:
        result = run(DiskParams(mode="split", guests=guests, queue_depth=4, bytes=16 * 4096))
        each = result.requests
        rows.append((guests, each, result.exits_total / each, result.interrupts / each,
                     (result.exit_ns + result.guest_ns) // each))
    return table(rows, ("guests", "requests", "exits per I/O", "interrupts per I/O", "vCPU ns per I/O"))


def containers_table(containers: int = 4) -> str:
    """Containers on one kernel and on a kernel each: what it costs."""
    return compare(ContainerParams(containers=containers)).table()


def cores_table() -> str:
    """Eight guests with 32 reads of 512 bytes each, while the host's cores come and go."""
    params = DiskParams(guests=8, queue_depth=32, block=512, bytes=704 << 10)
    return run_hot_cores(params, (1, 2, 4, 2, 1)).table()


def _over_time(result: SharingResult,
               groups: dict[str, slice]) -> tuple[dict[str, tuple[list, list]], dict[str, tuple[list, list]]]:
    """({name: (when, MiB/s)}, {name: (when, ms)}): the mean of the guests of each of `groups` {name: rows}, by bucket."""
    middles = [round(float(at), 2) for at in (result.edges[:-1] + result.edges[1:]) / 2 / MS]
    rates, latencies = {}, {}
    for name, rows in groups.items():
        rates[name] = middles, [float(rate) for rate in result.rates[rows].mean(axis=0) / MIB]
        means = [(at, _mean_us(result, rows, slice(n, n + 1)) / 1000) for n, at in enumerate(middles)
                 if result.requests[rows, n].any()]
        latencies[name] = [at for at, _ in means], [ms for _, ms in means]
    return rates, latencies


def _charts(result: SharingResult, groups: dict[str, slice], latency: Callable[[str, list[float]], axes.Axis]) -> list[Chart | None]:
    """Both figures of a run: throughput, and latency on the axis that `latency(label, values)` makes."""
    rates, latencies = _over_time(result, groups)
    when = axes.linear("virtual time in ms", (), top=result.params.duration_ns / MS)
    values = [[y for _, ys in series.values() for y in ys] for series in (rates, latencies)]
    return [charts.lines("Throughput of each guest", rates, when, axes.linear("MiB/s", values[0], steps=4)),
            charts.lines("Mean latency", latencies, when, latency("ms", values[1])) if values[1] else None]


@lru_cache(maxsize=1024)
def _noisy(policy: str, quiet: int, weight: int, reservation: int, cap: int, depth: int, kib: int) -> SharingResult:
    guests = (*(SharedGuest(f"quiet{n}", request_bytes=4096, queue_depth=1) for n in range(quiet)),
              SharedGuest("steady", weight=weight, reservation=reservation * MIB, request_bytes=256 << 10, queue_depth=8),
              SharedGuest("noisy", cap=cap * MIB or None, request_bytes=kib << 10, queue_depth=depth, start_ns=2 * MS))
    return run_sharing(SharingParams(guests, duration_ns=8 * MS, buckets=8), policy)


def _noisy_model(**settings: Any) -> Ran:
    return settings, _noisy(**settings)


def _noisy_view(ran: Ran) -> Shown:
    settings, result = ran
    quiet, after = settings["quiet"], slice(3, None)
    groups = {"quiet": slice(0, quiet), "steady": slice(quiet, quiet + 1), "noisy": slice(quiet + 1, quiet + 2)}
    rows = [(name, len(result.requests[part]), float(result.rates[part, after].mean() / MIB),
             _mean_us(result, part, after) / 1000, float(result.percentiles[part, 2].there().max() / MS))
            for name, part in groups.items()]
    alone, beside = (_mean_us(result, groups["quiet"], buckets) for buckets in (slice(0, 2), after))     # it comes at 2 ms
    cap = f"cap {settings['cap']:,} MiB/s" if settings["cap"] else "no cap"
    text = "\n".join([
        f"{result.policy}, from 3 ms on", "quiet:  1 read of 4 KiB each",
        f"steady: 8 of 256 KiB, weight {settings['weight']},", f"        reserves {settings['reservation']:,} MiB/s",
        f"noisy:  {settings['depth']} of {settings['kib']} KiB,",
        f"        {cap}", "",
        table(rows, ("guest", "how many", "MiB/s", "ms", "worst")), "", "beside the noisy guest a quiet one", f"waits {beside / alone:.2f} times as long as before"])
    return text, _charts(result, groups, axes.log)


_HEEDS = {"weight": ("drr", "fair", "mclock"), "reservation": ("mclock",), "cap": ("limits", "mclock")}     # which policies


def _heedless(policy: str) -> dict[str, str]:
    """Which shares a policy does not know."""
    return {name: f"{policy} heeds no such share" for name, those in _HEEDS.items() if policy not in those}


@later
def _noisy_idle(**settings: Any) -> Asking:
    """Which controls beside the noisy neighbour change nothing, and why; what a share could do only a run can know."""
    found = _heedless(settings["policy"])
    ends: dict[str, tuple[tuple[Any, ...], str]] = {
        "weight": ((50, 400), "steady gets as much with any weight"), "reservation": ((0, 4000), "steady gets as much without one"),
        "cap": ((0, 250), "noisy never asks for so much")}
    if settings["depth"] == 1:
        ends["policy"] = tuple(POLICIES), "the disk takes each request as it comes, so none is to be chosen"
    return found | (yield from still(_noisy_model, _noisy_view, settings, {name: ends[name] for name in ends if name not in found}))


def panel() -> Panel:
    """Quiet guests, a steady one, and a noisy one that comes at 2 ms: who decides what they get?"""
    return Panel(_noisy_model, [
        choice("policy", POLICIES, "fifo", label="Policy"),
        slider("quiet", 1, 8, 1, 3, label="Quiet guests"),
        declared(SharedGuest, "weight", "Steady weighs", low=50, high=400, step=50),
        declared(SharedGuest, "reservation", "Reservation", 0, high=4000, step=500, factor=MIB),
        declared(SharedGuest, "cap", "Noisy's cap", 0, low=0, high=2000, step=250, factor=MIB, none=0),
        declared(SharedGuest, "queue_depth", "Noisy, in flight", 32, high=64, name="depth"),
        declared(SharedGuest, "request_bytes", "Noisy's KiB", 128, low=32, high=256, name="kib", factor=KIB)],
        _noisy_view, name="share_a_device", idle=_noisy_idle)


@lru_cache(maxsize=1024)
def _live(policy: str, weight: int, cap: int, reservation: int) -> SharingResult:
    guests = tuple(SharedGuest(name, request_bytes=128 << 10, queue_depth=16) for name in "abc")
    changes = ((5 * MS, "a", {"weight": weight}), (10 * MS, "b", {"cap": cap * MIB or None}),
               (15 * MS, "c", {"reservation": reservation * MIB}))
    return run_sharing(SharingParams(guests, changes=changes), policy)


def _live_model(**settings: Any) -> Ran:
    return settings, _live(**settings)


def _live_view(ran: Ran) -> Shown:
    settings, result = ran
    what = ("all equal", f"a weighs {settings['weight']}", f"b cap {settings['cap'] or 'none'}",
            f"c min {settings['reservation']}")
    rows = [(5 * n, what[n], *(round(float(rate)) for rate in result.rates[:, 10 * n + 1:10 * n + 10].mean(axis=1) / MIB))
            for n in range(4)]
    text = "\n".join([
        f"{result.policy}, MiB/s: three guests with", "16 reads of 128 KiB at a time each", "",
        table(rows, ("ms", "change", "a", "b", "c")), "", f"requests: {result.requests.sum():,}"])
    return text, _charts(result, {name: slice(n, n + 1) for n, name in enumerate("abc")}, axes.linear)


def live_panel() -> Panel:
    """Three equal guests, and three changes of their shares in mid run."""
    return Panel(_live_model, [
        choice("policy", POLICIES, "mclock", label="Policy"),
        declared(SharedGuest, "weight", "a weighs", 300, low=50, high=400, step=50),
        declared(SharedGuest, "cap", "b's cap", 250, low=0, high=2000, step=250, factor=MIB, none=0),
        declared(SharedGuest, "reservation", "c reserves", 2500, high=4000, step=500, factor=MIB)],
        _live_view, name="share_a_device live", idle=lambda policy, **_: _heedless(policy))
