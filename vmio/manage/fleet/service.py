"""A host as a curve: from its guests' reads a second to how busy it is and how long a read takes.

    core time of a read   c = a + b r + d x       r: of a guest, x: of all guests, in reads a second
    busy                  u = c x / cores
    time of a read        t = e + f r + g w(u)    w: what a queue before so many cores waits, by Erlang

A split driver tells its host less often the more it has to tell, so b and d are below zero there.  Where guests differ, r is its mean over all
reads, that is the sum of squares of their rates over the sum.  The six numbers are fitted by least squares of the relative error.
Source of w: A. K. Erlang, 1917: the delay of a queue before several servers, in units of the time of service.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from vmio.manage.fleet.calibrate import CORES, FIT, HELD, NS, Measured, recorded, words
from vmio.table import table

BUSY = 0.9           # above it Microsoft calls a host overloaded (% Total Run Time of its logical processors), and the curve says no time


def waits(busy: float, cores: int = CORES) -> float:
    """Return how long a request waits for one of `cores` that are `busy`, 0 to below 1, in times of service: Erlang's formula."""
    lost, load = 1.0, busy * cores
    for servers in range(1, cores + 1):
        lost = load * lost / (servers + load * lost)
    return lost / (1 - busy * (1 - lost)) / (cores - load)


@dataclass(frozen=True)
class Curve:
    """The fitted numbers of a mode: `core` are a, b, d, and `time` are e, f, g, for rates in thousands a second."""

    core: tuple[float, ...]
    time: tuple[float, ...]

    def busy(self, total: float, squares: float) -> float:
        """Return the part of the cores that these reads need, above 1 if they need more; `squares` is the sum of the guests' rates squared."""
        return self._core_ns(total, squares) * total / (CORES * NS) if total else 0.0

    def latency_us(self, total: float, squares: float) -> float | None:
        """Return the mean time of a read in us; None on a host that is busier than `BUSY`, where no time is steady."""
        busy = self.busy(total, squares)
        if busy > BUSY or not total:
            return None
        return sum(number * part for number, part in zip(self.time, (1.0, squares / total / 1000, waits(busy))))

    def _core_ns(self, total: float, squares: float) -> float:
        return sum(number * part for number, part in zip(self.core, (1.0, squares / total / 1000, total / 1000)))


def sums(rates: Sequence[float]) -> tuple[float, float]:
    """Return the sum of guests' rates and the sum of their squares: all that a curve asks of a host."""
    return sum(rates), sum(rate * rate for rate in rates)


def least_squares(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> tuple[float, ...]:
    """Return the numbers k for which row . k comes nearest to what is `wanted`, by the squares of the relative errors.

    Without numpy, which a browser may lack: the normal equations, by elimination with the largest pivot.
    """
    rows = [[part / value for part in row] for row, value in zip(rows, wanted)]
    size = len(rows[0])
    system = [[sum(row[i] * row[j] for row in rows) for j in range(size)] + [sum(row[i] for row in rows)] for i in range(size)]
    for at in range(size):
        best = max(range(at, size), key=lambda i: abs(system[i][at]))
        system[at], system[best] = system[best], system[at]
        for i in range(size):
            if i != at:
                factor = system[i][at] / system[at][at]
                system[i] = [left - factor * right for left, right in zip(system[i], system[at])]
    return tuple(system[at][size] / system[at][at] for at in range(size))


def fit(points: Sequence[Measured]) -> Curve:
    """Return the curve through the points that are there to be fitted."""
    used = [(one, *sums(one.rates)) for one in points if one.use == FIT]
    core = least_squares([(1.0, squares / total / 1000, total / 1000) for _, total, squares in used], [one.core_ns for one, _, _ in used])
    half = Curve(core, ())
    time = least_squares([(1.0, squares / total / 1000, waits(half.busy(total, squares))) for _, total, squares in used], [one.latency_us for one, _, _ in used])
    return Curve(core, time)


@cache
def curve(mode: str) -> Curve:
    """Return the curve of a mode, fitted to the points that are kept in data/fleet.csv."""
    return fit(recorded(mode))


@dataclass(frozen=True)
class Error:
    """A point beside the curve: what the machine counted, what the curve says, in per cent of the first how far it is off."""

    point: Measured
    busy: float
    core_percent: float
    latency_percent: float


def errors(points: Sequence[Measured], of: Curve) -> list[Error]:
    """Return how far the curve is off at each point."""
    found = []
    for one in points:
        total, squares = sums(one.rates)
        busy, time = of.busy(total, squares), of.latency_us(total, squares)
        core = busy * CORES * NS / total
        found.append(Error(one, busy, 100 * (core / one.core_ns - 1), 100 * ((time or 0.0) / one.latency_us - 1)))
    return found


def worst(found: Sequence[Error]) -> tuple[float, float]:
    """Return the mean and the largest error of a read's time in per cent, without signs, at the points that were held out."""
    held = [abs(one.latency_percent) for one in found if one.point.use == HELD]
    return sum(held) / len(held), max(held)


def to_table(found: Sequence[Error]) -> str:
    """Return the points with their errors as text."""
    rows = [(one.point.mode, one.point.use, words(one.point.mix), f"{100 * one.busy:.0f}", one.point.core_ns / 1000, f"{one.core_percent:+.1f}",
             one.point.latency_us, f"{one.latency_percent:+.1f}") for one in found]
    return table(rows, ("mode", "point", "guests*reads/s", "busy %", "core us", "error %", "a read, us", "error %"), "<<<>>>>>")
