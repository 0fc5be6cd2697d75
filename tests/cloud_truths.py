"""What the panel of *Store in a cloud* must show: percentiles by numpy, exits and the disk's busy time as seen from outside."""

from dataclasses import replace

import numpy

from vmio.experiments import cloud
from vmio.experiments.cloud_params import CloudParams
from vmio.machine.probes import watch

from tests.panel_rig import Truth

MS, MIB = 10**6, 1 << 20
SPAN_MS, WINDOW_MS = 60, 5


def percentile(ns, percent):
    """By nearest rank, in us."""
    return float(numpy.percentile(ns, percent, method="inverted_cdf")) / 1000 if len(ns) else 0.0


def guests(policy, burst_ms):
    """The eight, as the panel has them."""
    made = []
    for guest in CloudParams().guests:
        if guest.name == "victim":
            guest = replace(guest, per_second=2500)
        if guest.name == "bully":
            guest = replace(guest, per_second=20_000, on_ns=int(burst_ms * MS), period_ns=20 * MS, longest=512 << 10)
        made.append(replace(guest, iops=3000, cap=125 * MIB) if policy == "limits" else guest)
    return tuple(made)


class Seen:
    """A run with eyes on it: each exit of each guest, and when the medium had something in hand."""

    def __init__(self, params):
        self.cloud = cloud._Cloud(params)
        self.loads, began = self.cloud.loads, self.cloud.began
        self.spans, self.began = [], began
        for guest in self.cloud.guests:
            guest.cpu.keep_trace(1 << 16)
        watch(self.cloud.nvme.disk.medium, "begun", lambda op, since, until: self.spans.append((since, until)))
        self.cloud.result()
        self.last = began + max(load.last_ns for load in self.loads)
        self.busy = self._covered(began)

    def exits(self, number, since):
        """So many of a guest began at `since` ns or later."""
        return sum(one.time >= self.began + since for one in self.cloud.guests[number].cpu.trace)

    def _covered(self, began):
        """How much of the time from the beginning on, in %: spans that overlap count once."""
        until, covered = began, 0
        for since, end in sorted(self.spans):
            covered += max(0, min(end, self.last) - max(since, until))
            until = max(until, end)
        return 100 * covered / (self.last - began)


def panel(policy, moved, arbitrated, burst_ms, objective_us):
    given = None if moved == "nobody" else moved
    turns = arbitrated and given is not None
    params = CloudParams(guests(policy, burst_ms), policy, duration_ns=SPAN_MS * MS, moved=given, arbitrated=turns,
                         function_weights=(4, 1) if turns else (1, 1))
    seen = Seen(params)
    victim, bully = seen.loads[0], seen.loads[-1]
    at = victim.plan.at
    later = sum(ns >= victim.switched_ns for ns in at) if given == "victim" else None
    took = [victim.latencies[row] for row in range(len(at))]
    windows = {}
    for ns, latency in zip(at, took):
        windows.setdefault(ns // (WINDOW_MS * MS), []).append(latency)
    kept = [percentile(each, 99) <= objective_us for each in windows.values()]
    counted = victim.by_function if later is not None else len(at)
    total = sum(plan.requests[row].sectors * 512 for plan in (load.plan for load in seen.loads) for row in range(len(plan.at)))
    tails = [percentile(list(load.latencies.values()), 99) for load in seen.loads]
    words = [SPAN_MS, len(at), percentile(took, 50), tails[0], objective_us, 100 * sum(kept) / len(kept),
             seen.exits(0, victim.switched_ns or 0) / counted, tails[-1], total * 1e3 / (seen.last - seen.began), seen.busy]
    assert later is None or later <= victim.by_function and bully.switched_ns is None
    return Truth(words, charts=[{"victim": [(ns / MS, latency / 1000) for ns, latency in zip(at, took)]},
                                {"victim": tails[0], "worst of the six": max(tails[1:-1]), "bully": tails[-1]}])
