"""A fleet's day: its guests are placed, half hours go by, and at an hour some hosts are emptied.

    day = run(FleetParams(hosts=1000, evacuate=3))
    print(day.table())
"""

from collections import Counter
from collections.abc import Sequence

from vmio import progress
from vmio.manage.fleet.evacuate import Evacuation, evacuate, fullest
from vmio.manage.fleet.guests import REPLICAS, STEPS, FleetGuest, day, guests, leaving
from vmio.manage.fleet.host import FleetHost
from vmio.manage.fleet.params import FleetParams
from vmio.manage.fleet.place import Own, Placement
from vmio.manage.fleet.result import FleetResult, HalfHour
from vmio.manage.fleet.service import BUSY, Curve, curve

BATCH = 1000           # guests between two steps of the bar


def run(chosen: FleetParams, own: Own | None = None) -> FleetResult:
    """Place all guests, by the policy or by one's `own`, and let a day go by; ValueError for parameters that can't be."""
    chosen.check()
    placement, parts = Placement(chosen.hosts, chosen.racks, chosen.policy, own), day(chosen.seed)
    reserve = _reserve(placement, chosen.reserve)
    refused, report, steps = 0, None, []
    gone = leaving(chosen.guests_in_all // REPLICAS, chosen.churn, chosen.seed)
    asking = guests(chosen.guests_in_all + REPLICAS * len(gone), chosen.load, chosen.seed)
    with progress.bar(STEPS + len(asking) // BATCH, "fleet") as step:
        for guest in asking:
            if guest.number == chosen.guests_in_all:
                refused -= _go(placement, asking, gone)
            refused += placement.place(guest) is None
            if guest.number % BATCH == BATCH - 1:
                step()
        used = sum(bool(host.guests) for host in placement.hosts)
        lost = majority_lost(placement)
        for number, now in enumerate(parts):
            if chosen.evacuate and number == chosen.step:
                for host in reserve:
                    placement.reopen(host)
                report = evacuate(placement, fullest(placement, chosen.evacuate), now, chosen.link)
            steps.append(half_hour(placement.hosts, curve(chosen.mode), now))
            step()
    return FleetResult(chosen, chosen.guests_in_all - refused, refused, used, lost, tuple(steps), report or Evacuation())


def _go(placement: Placement, asking: Sequence[FleetGuest], services: Sequence[int]) -> int:
    """Let all guests of these services go; returns how many of them had found no host."""
    homeless = 0
    for service in services:
        for guest in asking[service * REPLICAS:(service + 1) * REPLICAS]:
            if guest.number in placement.where:
                placement.remove(guest)
            else:
                homeless += 1
    return homeless


def _reserve(placement: Placement, count: int) -> list[FleetHost]:
    """Close `count` hosts, the last of each rack in turn."""
    racks: dict[int, list[FleetHost]] = {}
    for host in placement.hosts:
        racks.setdefault(host.rack, []).append(host)
    found: list[FleetHost] = []
    while len(found) < count:
        found += [row.pop() for row in racks.values() if row][:count - len(found)]
    for host in found:
        placement.close(host)
    return found


def half_hour(hosts: Sequence[FleetHost], of: Curve, parts: Sequence[float]) -> HalfHour:
    """Return how busy the hosts with guests are, and how long a read takes on those that are not too busy."""
    busy, reads, timed, time_us = [], 0.0, 0.0, 0.0
    for host in hosts:
        if host.guests:
            total, squares = host.asked(parts)
            busy.append(of.busy(total, squares))
            reads += total
            if (latency := of.latency_us(total, squares)) is not None:
                timed, time_us = timed + total, time_us + latency * total
    return HalfHour(reads, sum(busy) / len(busy) if busy else 0.0, max(busy, default=0.0), sum(one > BUSY for one in busy), time_us / timed if timed else None)


def majority_lost(placement: Placement) -> int:
    """Return how many services lose two of their replicas or more if the worst rack fails."""
    racks: Counter[int] = Counter()
    for there in placement.racks_of.values():
        racks.update(rack for rack, count in there.items() if count > 1)
    return max(racks.values(), default=0)
