"""Lesson 08's tables and panels: many guests on one disk, and shares that change while they run."""

from functools import lru_cache

import numpy as np

from vmio.hypervisor.policies import POLICIES
from vmio.lab.controls import choice, log2_slider, slider
from vmio.lab.figures import CountBars, Curves
from vmio.lab.panel import Panel
from vmio.table import table
from vmio.workloads.containers import ContainerParams, compare
from vmio.workloads.containers_probe import probe_table
from vmio.workloads.sharing import SharedGuest, SharingParams, noisy_neighbour, run_sharing, weights_tree
from vmio.workloads.sharing_result import jain

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


def containers_table(containers=4):
    """Containers on one kernel and on a kernel each: what it costs, and what a hostile one gets."""
    return f"{compare(ContainerParams(containers=containers)).table()}\n\n{probe_table()}"


_rates = Curves("MiB/s of each guest", "ms", "", width=5.4, height=3.4)
_latency = CountBars("Mean latency, us", width=4.6, left=0.24, height=2.2)


@lru_cache(maxsize=1024)
def _run(policy, weight, cap, depth, kib):
    guests = (SharedGuest("quiet", request_bytes=4096, queue_depth=1),
              SharedGuest("steady", weight=weight, request_bytes=256 << 10, queue_depth=8),
              SharedGuest("noisy", cap=cap * MIB or None, request_bytes=kib << 10, queue_depth=depth, start_ns=2 * MS))
    return run_sharing(SharingParams(guests, duration_ns=8 * MS, buckets=8), policy)


def _model(policy, weight, cap, depth, kib):
    return _run(policy, weight, cap, depth, kib)


def _view(result):
    names = [guest.name for guest in result.params.guests]
    after = slice(3, None)
    rates = [float(rate) for rate in (result.rates[:, after].mean(axis=1) / MIB).round(1)]
    means = [_mean_us(result, n, after) for n in range(len(names))]
    rows = [(guest.name, guest.weight, rate, mean) for guest, rate, mean in zip(result.params.guests, rates, means)]
    noisy_guest = result.params.guests[2]
    text = "\n".join([
        f"{result.policy}, from 3 ms on", f"noisy: {noisy_guest.queue_depth} reads of {noisy_guest.request_bytes >> 10} KiB",
        f"cap {noisy_guest.cap // MIB if noisy_guest.cap else 'none'}, Jain {result.jain:.3f}", "",
        table(rows, ("guest", "weight", "MiB/s", "us"))])
    middles = [round(float(at), 2) for at in (result.edges[:-1] + result.edges[1:]) / 2 / MS]
    series = {name: (middles, [float(rate) for rate in result.rates[n] / MIB]) for n, name in enumerate(names)}
    return text, [_latency.update(dict(zip(names, means))), _rates.update({"series": series})]


def panel():
    """A quiet guest, a steady one, and a noisy one that comes at 2 ms: who decides what they get?"""
    return Panel(_model, [
        choice("policy", POLICIES, "fifo", label="Policy"),
        slider("weight", 50, 400, 50, 100, label="Steady's weight"),
        slider("cap", 0, 2000, 250, 0, label="Noisy's cap"),
        log2_slider("depth", 1, 64, 32, label="Noisy's depth"),
        log2_slider("kib", 16, 256, 128, label="Noisy's KiB")],
        _view, name="lesson 08")
