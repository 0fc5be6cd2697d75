"""Axes as plain data: where they begin and end, and which places carry which words.

An axis is {"label", "kind", "low", "high", "ticks": [[value, text], ...]}.  Its
kind says where a value stands between the ends (`place`):

    linear     in proportion
    log        by its logarithm: each step of the same length is a factor
    count      from 0: linear to 1, then by its logarithm, so 0, 1, 10, 100 are equally far apart
"""

from collections.abc import Iterable
from math import ceil, floor, log10
from typing import Any

from vmio.table import number

STEPS = (1, 2, 2.5, 5, 10)
Axis = dict[str, Any]       # plain data, as above


def ceiling(value: float) -> float:
    """The next round number: an axis that stands still while its data move a little.  1 for what isn't above 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 6, 8, 10) if step * power >= value * 0.999999)


def place(axis: Axis, value: float) -> float:
    """Where `value` stands on the axis, from 0 (its low end) to 1 (its high end); outside of them for values outside."""
    low, high, at = (_stretched(axis["kind"], end) for end in (axis["low"], axis["high"], value))
    return (at - low) / (high - low)


def _stretched(kind: object, value: float) -> float:
    if kind == "linear" or kind == "count" and value < 1:
        return value
    return log10(value) + (kind == "count")


def linear(label: str, values: Iterable[float], top: float | None = None, steps: int = 5) -> Axis:
    """From 0, or a round number below the least, to one above the largest of `values` (to `top` if given), at most so many `steps`."""
    low, high = min([0.0, *values]), ceiling(max([0.0, *values])) if top is None else top
    low = -ceiling(-low) if low < 0 else 0
    power = 10.0 ** floor(log10((high - low) / steps))
    step = next(step * power for step in STEPS if (high - low) / (step * power) <= steps * 1.000001)
    ticks = [round(n * step, 10) for n in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]
    return {"label": label, "kind": "linear", "low": low, "high": high, "ticks": [_tick(value) for value in ticks]}


def count(label: str, values: Iterable[float]) -> Axis:
    """From 0 to the power of ten above the largest of `values`, a tick at each power of ten."""
    powers = max(1, ceil(log10(max([1, *values])) - 1e-9))
    return {"label": f"{label}, each step ten times the last", "kind": "count", "low": 0, "high": 10 ** powers,
            "ticks": [_tick(value) for value in (0, *(10 ** power for power in range(powers + 1)))]}


def log(label: str, values: Iterable[float], steps: Iterable[float] = ()) -> Axis:
    """A little more than `values`, all above 0, span: ticks at `steps` if given, else at 1, (2, 5,) times powers of ten."""
    values, steps = list(values), list(steps)
    if steps:
        return {"label": label, "kind": "log", "low": steps[0] / 1.06, "high": steps[-1] * 1.06, "ticks": [_tick(x) for x in steps]}
    low, high = min(values), max(values)
    places = [step * 10.0 ** power for power in range(floor(log10(low)) - 1, ceil(log10(high)) + 1) for step in (1, 2, 5)]
    low, high = max(x for x in places if x < low * 0.98), min(x for x in places if x > high * 1.02)
    marked = [x for x in places if low <= x <= high and (high / low <= 150 or f"{x:e}".startswith("1"))]
    return {"label": label, "kind": "log", "low": low, "high": high, "ticks": [_tick(x) for x in marked]}


def _tick(value: float) -> list[object]:
    return [value, number(value)]
