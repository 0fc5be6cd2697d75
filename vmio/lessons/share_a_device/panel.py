"""Tables and panels of *Share a device*: many guests on one disk, and shares that change while they run."""

from functools import lru_cache
from math import inf

import numpy as np

from vmio.experiments.containers import ContainerParams, compare
from vmio.experiments.containers_probe import probe_table
from vmio.experiments.disk import DiskParams, run
from vmio.experiments.hot_cores import run_hot_cores
from vmio.experiments.sharing import SharedGuest, SharingParams, noisy_neighbour, run_sharing, weights_tree
from vmio.experiments.sharing_result import jain
from vmio.host.policies import POLICIES
from vmio.lab.controls import choice, log2_slider, slider
from vmio.lab.figures import Curves
from vmio.lab.panel import Panel
from vmio.lab.style import TEXT
from vmio.table import table

MIB = 1 << 20
MS = 1_000_000
SIZES = (1, 4, 16, 64, 256)


def _mean_us(result, guests, buckets):
    """Mean latency in us of the requests that ended in these buckets; 0.0 if none did."""
    requests = result.requests[guests, buckets]
    total = float(np.nansum(result.latency[guests, buckets] * requests))
    return round(total / max(int(requests.sum()), 1) / 1000, 1)


@lru_cache
def noisy(policy):
    """Three quiet guests, and from 5 ms on a noisy one: a `SharingResult`."""
    return run_sharing(noisy_neighbour(), policy)


def quiet_us(policy, late):
    """Mean latency of a quiet guest's reads, before the noisy one comes or (`late`) after, in us."""
    return _mean_us(noisy(policy), slice(0, 3), slice(10, None) if late else slice(0, 10))


def noisy_table():
    """What the quiet guests suffer, by policy: before and after the noisy one comes."""
    rows = []
    for policy in POLICIES:
        result = noisy(policy)
        quiet = [quiet_us(policy, late) for late in (False, True)]
        rows.append((policy, *quiet, quiet[1] / quiet[0], float(result.percentiles[:3, 2].max() / 1000),
                     float(result.bytes[3].sum() / MIB / 0.015)))
    return table(rows, ("policy", "quiet us before", "us after", "times", "worst us", "noisy MiB/s"),
                 title="three guests with one 4 KiB read at a time; a fourth comes with 64 reads of 256 KiB")


def shares_table():
    """Weights 50, 50 and 300: what each guest gets before and after the third comes."""
    rows = []
    for policy in POLICIES:
        result = run_sharing(weights_tree(), policy)
        parts = result.shares
        rows.append((policy, *(f"{100 * float(parts[n, 2:18].mean()):.1f}" for n in (0, 1)),
                     *(f"{100 * float(parts[n, 22:].mean()):.1f}" for n in (0, 1, 2))))
    return table(rows, ("policy", "A0 alone %", "A1 alone %", "A0 %", "A1 %", "B %"), "<>>>>>")


def live(policy="mclock"):
    """Three equal guests; then a's weight is tripled, b is capped, and the cap is taken away: a `SharingResult`."""
    guests = tuple(SharedGuest(name, queue_depth=32) for name in "abc")
    changes = ((5 * MS, "a", {"weight": 300}), (10 * MS, "b", {"cap": 200 * MIB}), (15 * MS, "b", {"cap": None}))
    return run_sharing(SharingParams(guests, changes=changes), policy)


def live_table(result):
    """MiB/s of each guest in each quarter of the run."""
    names = [guest.name for guest in result.params.guests]
    rows = [(f"{5 * n} to {5 * n + 5} ms", what, *(float(result.rates[g, 10 * n + 1:10 * n + 10].mean() / MIB)
                                                    for g in range(len(names))))
            for n, what in enumerate(("equal weights", "a weighs 300", "b capped at 200 MiB/s", "cap gone"))]
    return table(rows, ("when", "what changed", *names))


def scale_table():
    """One request a guest at a time, 1 to 256 guests under mClock: fair, and the same device in all."""
    rows = []
    for guests in SIZES:
        result = run_sharing(SharingParams(tuple(SharedGuest(f"g{n}", queue_depth=4) for n in range(guests))), "mclock")
        total = float(result.bytes.sum() / MIB / 0.02)
        rows.append((guests, total, total / guests, jain(result.bytes.sum(axis=1)),
                     float(result.percentiles[:, 1].max() / 1000)))
    return table(rows, ("guests", "MiB/s in all", "MiB/s each", "Jain", "p99 us"))


def cost_table():
    """What an I/O through a split driver costs, 1 to 256 guests with 4 reads of 4 KiB in flight each."""
    rows = []
    for guests in SIZES:
        result = run(DiskParams(mode="split", guests=guests, queue_depth=4, bytes=16 * 4096))
        each = result.requests
        rows.append((guests, each, result.exits_total / each, result.interrupts / each,
                     (result.exit_ns + result.guest_ns) // each))
    return table(rows, ("guests", "requests", "exits per I/O", "interrupts per I/O", "vCPU ns per I/O"))


def containers_table(containers=4):
    """Containers on one kernel and on a kernel each: what it costs, and what a hostile one gets."""
    return f"{compare(ContainerParams(containers=containers)).table()}\n\n{probe_table()}"


def cores_table():
    """Eight guests with 32 reads of 512 bytes each, while the host's cores come and go."""
    params = DiskParams(guests=8, queue_depth=32, block=512, bytes=704 << 10)
    return run_hot_cores(params, (1, 2, 4, 2, 1)).table()


class _Lines(Curves):
    """Curves over ms whose names at the right end keep apart."""

    def __init__(self, title, logy=False):
        super().__init__(title, "ms", "", logy=logy, width=4.6, height=2.3)

    def _build(self, data):
        super()._build(data)
        self.axes.xaxis.set_label_coords(1.11, -0.05)         # beside the numbers: there is no room below

    def _move(self, data):
        super()._move(data)
        points, least = 72 / self.figure.dpi, -inf
        heights = {name: float(self.axes.transData.transform(end.xy)[1]) * points for name, end in self._ends.items()}
        for name in sorted(heights, key=heights.get):
            least = max(heights[name], least + TEXT)
            self._ends[name].set_position((8, least - heights[name]))


def _over_time(result, groups):
    """({name: (when, MiB/s)}, {name: (when, ms)}): the mean of the guests of each of `groups` {name: rows}, by bucket."""
    middles = [round(float(at), 2) for at in (result.edges[:-1] + result.edges[1:]) / 2 / MS]
    rates, latencies = {}, {}
    for name, rows in groups.items():
        rates[name] = middles, [float(rate) for rate in result.rates[rows].mean(axis=0) / MIB]
        means = [(at, _mean_us(result, rows, slice(n, n + 1)) / 1000) for n, at in enumerate(middles)
                 if result.requests[rows, n].any()]
        latencies[name] = [at for at, _ in means], [ms for _, ms in means]
    return rates, latencies


_noisy_figures = _Lines("MiB/s of each guest"), _Lines("Mean latency, ms", logy=True)
_live_figures = _Lines("MiB/s of each guest"), _Lines("Mean latency, ms")


@lru_cache(maxsize=1024)
def _noisy(policy, quiet, weight, reservation, cap, depth, kib):
    guests = (*(SharedGuest(f"quiet{n}", request_bytes=4096, queue_depth=1) for n in range(quiet)),
              SharedGuest("steady", weight=weight, reservation=reservation * MIB, request_bytes=256 << 10, queue_depth=8),
              SharedGuest("noisy", cap=cap * MIB or None, request_bytes=kib << 10, queue_depth=depth, start_ns=2 * MS))
    return run_sharing(SharingParams(guests, duration_ns=8 * MS, buckets=8), policy)


def _noisy_model(**settings):
    return settings, _noisy(**settings)


def _noisy_view(ran):
    settings, result = ran
    quiet, after = settings["quiet"], slice(3, None)
    groups = {"quiet": slice(0, quiet), "steady": slice(quiet, quiet + 1), "noisy": slice(quiet + 1, quiet + 2)}
    rows = [(name, len(result.requests[part]), float(result.rates[part, after].mean() / MIB),
             _mean_us(result, part, after) / 1000, float(np.nanmax(result.percentiles[part, 2]) / MS))
            for name, part in groups.items()]
    cap = f"cap {settings['cap']:,} MiB/s" if settings["cap"] else "no cap"
    text = "\n".join([
        f"{result.policy}, from 3 ms on", "quiet:  1 read of 4 KiB each",
        f"steady: 8 of 256 KiB, weight {settings['weight']},", f"        reserves {settings['reservation']:,} MiB/s",
        f"noisy:  {settings['depth']} of {settings['kib']} KiB,",
        f"        {cap}", "",
        table(rows, ("guest", "how many", "MiB/s", "ms", "worst")), "", f"Jain's index by weight: {result.jain:.3f}"])
    rates, latencies = _over_time(result, groups)
    return text, [figure.update({"series": series}) for figure, series in zip(_noisy_figures, (rates, latencies))]


def panel():
    """Quiet guests, a steady one, and a noisy one that comes at 2 ms: who decides what they get?"""
    return Panel(_noisy_model, [
        choice("policy", POLICIES, "fifo", label="Policy"),
        slider("quiet", 1, 8, 1, 3, label="Quiet guests"),
        slider("weight", 50, 400, 50, 100, label="Steady weighs"),
        slider("reservation", 0, 4000, 500, 0, label="Reservation"),
        slider("cap", 0, 2000, 250, 0, label="Noisy's cap"),
        log2_slider("depth", 1, 64, 32, label="Noisy's depth"),
        log2_slider("kib", 32, 256, 128, label="Noisy's KiB")],
        _noisy_view, name="share_a_device")


@lru_cache(maxsize=1024)
def _live(policy, weight, cap, reservation):
    guests = tuple(SharedGuest(name, request_bytes=128 << 10, queue_depth=16) for name in "abc")
    changes = ((5 * MS, "a", {"weight": weight}), (10 * MS, "b", {"cap": cap * MIB or None}),
               (15 * MS, "c", {"reservation": reservation * MIB}))
    return run_sharing(SharingParams(guests, changes=changes), policy)


def _live_model(**settings):
    return settings, _live(**settings)


def _live_view(ran):
    settings, result = ran
    what = ("all equal", f"a weighs {settings['weight']}", f"b cap {settings['cap'] or 'none'}",
            f"c min {settings['reservation']}")
    rows = [(5 * n, what[n], *(round(float(rate)) for rate in result.rates[:, 10 * n + 1:10 * n + 10].mean(axis=1) / MIB))
            for n in range(4)]
    text = "\n".join([
        f"{result.policy}, MiB/s: three guests with", "16 reads of 128 KiB at a time each", "",
        table(rows, ("ms", "change", "a", "b", "c")), "", f"requests: {result.requests.sum():,}"])
    rates, latencies = _over_time(result, {name: slice(n, n + 1) for n, name in enumerate("abc")})
    return text, [figure.update({"series": series}) for figure, series in zip(_live_figures, (rates, latencies))]


def live_panel():
    """Three equal guests, and three changes of their shares in mid run."""
    return Panel(_live_model, [
        choice("policy", POLICIES, "mclock", label="Policy"),
        slider("weight", 50, 400, 50, 300, label="a weighs"),
        slider("cap", 0, 2000, 250, 250, label="b's cap"),
        slider("reservation", 0, 4000, 500, 2500, label="c reserves")],
        _live_view, name="share_a_device live")
