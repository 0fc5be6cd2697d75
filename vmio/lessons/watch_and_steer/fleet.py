"""Tables of *Watch and steer* about many hosts: how far a fitted curve is off, what each policy costs, and what a reserve is for."""

from functools import lru_cache

from vmio.manage.fleet.calibrate import HELD, measure, recorded, words
from vmio.manage.fleet.fleet import run
from vmio.manage.fleet.params import FleetParams
from vmio.manage.fleet.policies import FIRST, POLICIES, SPREAD
from vmio.manage.fleet.result import FleetResult
from vmio.manage.fleet.service import curve, errors, sums
from vmio.table import table

HOSTS, GUESTS, LEAVING = 40, 800, 2
AGAIN = ((2, 3000),)              # the point at which the machine runs once more, in the lesson


@lru_cache(maxsize=64)
def fleet(policy: str = FIRST, mode: str = "emulated", reserve: int = 0, guests: int = GUESTS, evacuate: int = LEAVING) -> FleetResult:
    """A day of the lesson's hosts."""
    return run(FleetParams(hosts=HOSTS, guests=guests, policy=policy, mode=mode, reserve=reserve, evacuate=evacuate))


def points_table() -> str:
    """The points that no curve was fitted to: what the machine counted there, and how far the curve is off."""
    rows = [(one.point.mode, words(one.point.mix), f"{100 * one.busy:.0f}", one.point.latency_us, f"{one.latency_percent:+.1f}")
            for mode in ("emulated", "split") for one in errors(recorded(mode), curve(mode)) if one.point.use == HELD]
    return table(rows, ("mode", "guests*reads/s", "cores busy, %", "a read, us", "curve is off by, %"), "<<>>>")


def again() -> str:
    """One of these points, run on the machine now."""
    kept = next(one for one in recorded("split") if one.mix == AGAIN)
    reads, _, latency_us = measure("split", kept.rates)
    said = curve("split").latency_us(*sums(kept.rates))
    return f"{reads} reads: {latency_us:.1f} us each now, {kept.latency_us:.1f} when it was recorded, {said:.1f} by the curve"


def policies_table() -> str:
    """What each policy costs, and what it saves."""
    rows = [(policy, one.used, f"{100 * one.most_busy:.0f}", one.overloaded_hours, one.majority_lost, one.evacuation.moved, len(one.evacuation.no_room),
             one.evacuation.minutes) for policy in POLICIES for one in (fleet(policy),)]
    return table(rows, ("policy", "hosts used", "busiest, %", "hours over 90 %", "lost with a rack", "moved", "no room", "minutes"))


def reserve_table() -> str:
    """The same evacuation with hosts in reserve and without."""
    rows = [(policy, reserve, one.placed, len(one.evacuation.no_room), one.evacuation.minutes, one.majority_lost)
            for policy in (FIRST, SPREAD) for reserve in (0, LEAVING) for one in (fleet(policy, reserve=reserve, guests=840),)]
    return table(rows, ("policy", "in reserve", "placed", "no room", "minutes", "lost with a rack"))


def modes_table() -> str:
    """The same guests by three ways to their disks."""
    rows = [(mode, f"{100 * one.most_busy:.0f}", one.overloaded_hours, one.latency_us) for mode in ("emulated", "split", "passthrough") for one in (fleet(mode=mode),)]
    return table(rows, ("mode", "busiest, %", "hours over 90 %", "a read at the peak, us"))


def used(guests: int = GUESTS) -> int:
    """How many hosts have guests by first fit."""
    return fleet(guests=guests, evacuate=0).used
