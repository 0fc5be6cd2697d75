"""Benchmarks: what this machine reaches, as ratios within one run.  `python -m vmio bench`.

What is compared takes turns, in samples of equal length and of processor time: a
burst of other work on the machine then neither counts nor falls on one side alone.
The median of a row's samples is its value, printed with where four fifths of them
lie.  No test has a limit on them; the design's targets are printed beside.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from statistics import median, quantiles
from time import process_time_ns
from typing import Any, NamedTuple, TypeVar

from vmio import console, progress

NAMES = ("exits", "disk", "dirty", "net", "setup", "start", "watch", "checkpoint", "sharing", "growth", "containers", "panels", "slider", "classroom", "kvm")
SCHEMA = "vmio.bench/1"
SAMPLE_NS = 2_000_000     # shorter than what a scheduler gives a process at a time, so most samples are undisturbed
ROUNDS = 25

Name = TypeVar("Name")


class Row(NamedTuple):
    """One line: `value` is the median of the samples, four fifths of which lie from `low` to `high`."""

    what: str
    value: float
    low: float
    high: float
    target: str


def main(only: str | None = None, as_json: bool = False) -> None:
    """Run all benchmarks, or the one named; ValueError names those there are."""
    if only is not None and only not in NAMES:
        raise ValueError(f"benchmark {only!r}: choose one of {', '.join(NAMES)}")
    results, spread = {}, {}
    names = NAMES if only is None else (only,)
    with progress.bar(len(names), "bench") if as_json else nullcontext() as step:
        for name in names:
            rows = importlib.import_module(f"vmio.bench.{name}").measure()
            results[name] = {row.what: row.value for row in rows}
            spread[name] = {row.what: [row.low, row.high] for row in rows}
            if step is not None:
                step()
                continue
            for what, value, low, high, target in rows:         # they tell how far it is
                console.say(f"{name:7}  {what:72} {value:>14,.3f}  ({low:,.3f} to {high:,.3f})   {target}")
    if as_json:
        console.say(json.dumps({"schema": SCHEMA, **results, "spread": spread}))


def row(what: str, samples: Sequence[float], target: str = "") -> Row:
    """Return the `Row` of some samples."""
    tenths = quantiles(samples, n=10, method="inclusive") if len(samples) > 1 else samples
    return Row(what, median(samples), tenths[0], tenths[-1], target)


def ratios(samples: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return each sample over the other that was taken in the same round."""
    return [one / other for one, other in zip(samples, others, strict=True)]


def turns(subjects: Mapping[Name, Callable[[], float]], rounds: int = ROUNDS) -> dict[Name, list[float]]:
    """Call each of {name: function} once a round, in turn; return {name: [what it returned, ...]}."""
    samples: dict[Name, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            samples[name].append(subject())
    return samples


def sampler(work: Callable[..., Any], clock: Callable[[], int] = process_time_ns) -> Callable[[], float]:
    """Return a function that measures `work(n)`, n operations or as many as it returns, in ns of processor time each.

    One sample lasts SAMPLE_NS or a little more: n is settled here, by a trial that also warms up.
    """
    count = 1
    while (trial := _taken(work, count, clock))[0] < SAMPLE_NS // 4:
        count *= 2
    taken, done = trial
    count = max(1, round(done * SAMPLE_NS / taken))

    def sample() -> float:
        taken, done = _taken(work, count, clock)
        return taken / done
    return sample


def cost(work: Callable[..., Any], clock: Callable[[], int] = process_time_ns) -> Any:
    """Return a function that measures `work()`, a whole that can't be cut: ns of processor time."""
    def whole() -> int:
        start = clock()
        work()
        return clock() - start
    return whole


def _taken(work: Callable[..., Any], count: int, clock: Callable[[], int]) -> tuple[int, int]:
    """(ns, operations)."""
    start = clock()
    done = work(count)
    return clock() - start, done or count
