"""What a served model should cost, worked out on paper: how long a call takes, and how long a request waits.

**A call** of `b` images takes `fixed + b * each` ns, as long as its images fit on the chip at once; each further piece adds the time
to fetch descriptors of its own.  Two numbers, found by measuring a few sizes, tell of all others.

**A request** that comes at random to a server with one call at a time waits, on average, for what is before it:

    M/D/1                 rate * S^2 / (2 * (1 - rate * S))                          S: how long each call takes, always the same

A guest that sleeps takes longer for the first request after a pause, by a set-up time D in which it wakes up.  Then all wait longer by

                          (2 * D + rate * D^2) / (2 * (1 + rate * D))

Sources: A. K. Erlang, 1909, F. Pollaczek, 1930, and A. Khinchin, 1932 (M/D/1, M/G/1); P. D. Welch, "On a Generalized M/G/1 Queuing Process
in Which the First Customer of Each Busy Period Receives Exceptional Service", Operations Research 12 (1964).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmio.drivers.accelerator_plan import Plan
from vmio.experiments import accelerator, digits, serving
from vmio.experiments.accelerator_params import DIGITS
from vmio.experiments.accelerator_sweep import WAYS
from vmio.experiments.serving_params import SERVICE, ServingParams
from vmio.hardware.accelerator.registers import FETCH_NS

BY = {SERVICE: "split", "functions": "passthrough", "engines": "passthrough"}       # a way's mode, for a call alone
ONE_PIECE = 4                   # descriptors of a call whose images fit on the chip at once: images in, two layers, sums out
PAUSE = 1_000                   # requests a second, at which nearly all find a guest that sleeps


def call_ns(way: str, images: int, hidden: int = DIGITS) -> int:
    """Return how long one call of so many images takes a guest that is alone, in ns, counted on the machine."""
    params = replace(WAYS[BY[way]], batch=images, count=images, hidden=hidden)
    return accelerator.run(params, images=bytes(digits.PIXELS)).calls.ns


@dataclass(frozen=True)
class CallLaw:
    """`fixed` + images * `each` ns; the images beyond `piece` have descriptors of their own, as `hidden` sums leave no room for more."""

    fixed: float
    each: float
    hidden: int

    @property
    def piece(self) -> int:
        """Return how many images fit on the chip at once."""
        return Plan(serving.network(self.hidden)).piece

    def straight(self, images: int) -> float:
        """Return what the line says, in ns, as if all images fitted on the chip at once."""
        return self.fixed + images * self.each

    def ns(self, images: int) -> float:
        """Return what the whole law says, in ns."""
        descriptors = len(Plan(serving.network(self.hidden)).call(images, 0, 0))
        return self.straight(images) + (descriptors - ONE_PIECE) * FETCH_NS


def fitted(points: Mapping[int, float], hidden: int = DIGITS) -> CallLaw:
    """Return the law whose line has the least squares of its distances from `points` {images: ns}.  ValueError for fewer than two."""
    if len(points) < 2:
        raise ValueError(f"points {len(points)}: a line needs two or more")
    mean_x, mean_y = sum(points) / len(points), sum(points.values()) / len(points)
    each = sum((x - mean_x) * (y - mean_y) for x, y in points.items()) / sum((x - mean_x) ** 2 for x in points)
    return CallLaw(mean_y - each * mean_x, each, hidden)


def latency_ns(rate: float, call: float, setup: float = 0) -> float:
    """Return the mean latency of requests at random, `rate` a second: one call each, of `call` ns, after a pause `setup` ns more.

    Infinite where more comes than can be served.
    """
    per_ns = rate / 1e9
    load = per_ns * call
    if load >= 1:
        return float("inf")
    return call + per_ns * call ** 2 / (2 * (1 - load)) + (2 * setup + per_ns * setup ** 2) / (2 * (1 + per_ns * setup))


def setup_ns(way: str, count: int = 300) -> float:
    """Return by how much a request that finds its guest asleep takes longer, in ns: the mean of so many that come far apart."""
    alone = serving.run(ServingParams(way, tenants=1, rate=PAUSE, batch=1, wait_us=0, count=count)).tenants[0]
    return alone.mean_ns - call_ns(way, 1)
