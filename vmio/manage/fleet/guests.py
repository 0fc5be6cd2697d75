"""The guests of a fleet, and what they ask for at which time of the day.

Sizes, kinds and the shape of the day are made up: a model, no recording.  Guests come as services of three replicas, which
should not all be lost at once, so they ask for the same and are told apart by their service's number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi
from random import Random

REPLICAS = 3
STEPS = 48                                     # of a day: half hours
HOURS = 24 / STEPS                             # of a step
KINDS = ("office", "web", "batch")
PEAKS = (13.0, 20.0, 3.0)                      # the hour of each kind's peak
FLOORS = (0.1, 0.3, 0.15)                      # what it asks for twelve hours later, in parts of the peak
SIZES = ((2, 2000), (7, 3000), (15, 3500), (30, 4000))      # (GiB, reads a second at the peak)
OFTEN = (4, 3, 2, 1)                           # of ten services, how many are of each size
JITTER, CROWD = 0.1, 1.25                      # how far a half hour is off its shape; how many times the peak a crowd asks for


@dataclass(frozen=True, eq=False)
class FleetGuest:
    """One guest: its memory in GiB and its reads a second at the peak."""

    number: int
    service: int
    kind: int
    memory: int
    rate: float


def guests(count: int, load: int, seed: int) -> list[FleetGuest]:
    """Return `count` guests, service by service as they come; `load` is in per cent of what their sizes ask for."""
    random, found = Random(f"guests {seed}"), []
    for number in range(count):
        if number % REPLICAS == 0:
            size, kind = random.choices(SIZES, OFTEN)[0], random.randrange(len(KINDS))
        found.append(FleetGuest(number, number // REPLICAS, kind, size[0], size[1] * load / 100))
    return found


def leaving(services: int, percent: int, seed: int) -> list[int]:
    """Return which of so many services go, as many in a hundred, in the order in which they do."""
    return Random(f"leaving {seed}").sample(range(services), services * percent // 100)


@lru_cache(maxsize=64)
def day(seed: int) -> tuple[tuple[float, ...], ...]:
    """Return for each half hour the part of its peak that each kind asks for; once a day a crowd comes to the web, for an hour."""
    random = Random(f"day {seed}")
    crowd = random.randrange(2 * 9, 2 * 22)
    steps = []
    for step in range(STEPS):
        parts = []
        for kind, (peak, floor) in enumerate(zip(PEAKS, FLOORS)):
            hill = (1 + cos(2 * pi * (step * HOURS - peak) / 24)) / 2
            part = (floor + (1 - floor) * hill) * random.uniform(1 - JITTER, 1)
            parts.append(CROWD if KINDS[kind] == "web" and step - crowd in (0, 1) else part)
        steps.append(tuple(parts))
    return tuple(steps)


def asked(of: Sequence[FleetGuest], parts: Sequence[float]) -> list[float]:
    """Return each guest's reads a second, where each kind asks for such a part of its peak."""
    return [guest.rate * parts[guest.kind] for guest in of]
