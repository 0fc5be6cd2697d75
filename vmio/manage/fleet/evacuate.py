"""A host must be emptied: its guests move, one after the other, by the arithmetic of live migration.

Each host has one link, which carries one migration at a time, out or in; so the time of an evacuation is decided by whoever
is the bottleneck, the host that is emptied or the one that takes most.  How long one migration takes, how many rounds it needs and
for how long its guest stands still is `vmio.manage.migration.cyclic`: exact for a guest that writes into its pages in a circle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vmio.machine.memory import PAGE
from vmio.manage.fleet.guests import FleetGuest
from vmio.manage.fleet.host import FleetHost
from vmio.manage.fleet.place import Placement
from vmio.manage.migration.cyclic import NS, Guest, Prediction, predict
from vmio.manage.migration.rules import rule

USED = 2                   # one in so many pages of a guest is in use, and written in a circle; the others are zeros
PAGES_A_READ = 2           # pages that a guest writes for each read: the data, and what it makes of them
GIB_PAGES = (1 << 30) // PAGE


def moving(guest: FleetGuest, part: float, link: int) -> Prediction:
    """Return how the migration of a guest that asks for such a part of its peak goes, over `link` MB/s, by QEMU's rule."""
    pages = guest.memory * GIB_PAGES
    return predict(Guest(pages, pages // USED, round(guest.rate * part * PAGES_A_READ)), link * 1_000_000, rule("qemu"))


@dataclass
class Evacuation:
    """What came of it: guests `moved`, those for whom no host had room, those that can't be moved while they run."""

    hosts: list[int] = field(default_factory=list)
    moved: int = 0
    no_room: list[int] = field(default_factory=list)
    too_busy: list[int] = field(default_factory=list)
    pages: int = 0
    ended_ns: int = 0          # when the last guest ran at its new host, since the evacuation began
    down_ns: int = 0           # for how long one guest stood still at most

    @property
    def minutes(self) -> float:
        """How long it took."""
        return self.ended_ns / NS / 60


def fullest(placement: Placement, count: int) -> list[FleetHost]:
    """Return the `count` hosts whose guests have the most memory: the worst ones to lose."""
    return sorted(placement.hosts, key=lambda host: (host.free, host.number))[:count]


def evacuate(placement: Placement, leaving: Sequence[FleetHost], parts: Sequence[float], link: int) -> Evacuation:
    """Move all guests off these hosts, the largest first, to where the policy wants them; `parts` is what each kind asks for meanwhile."""
    report, free = Evacuation([host.number for host in leaving]), [0] * len(placement.hosts)
    for host in leaving:
        placement.close(host)
    queues = [sorted(host.guests.values(), key=lambda guest: (-guest.memory, guest.number)) for host in leaving]
    for turn in range(max(map(len, queues), default=0)):
        for host, queue in zip(leaving, queues):
            if turn < len(queue):
                _one(placement, host, queue[turn], moving(queue[turn], parts[queue[turn].kind], link), report, free)
    return report


def _one(placement: Placement, host: FleetHost, guest: FleetGuest, how: Prediction, report: Evacuation, free: list[int]) -> None:
    """Move one guest; `free` says from when on each host's link is free."""
    if not how.moved:
        report.too_busy.append(guest.number)
        return
    placement.remove(guest)
    new = placement.place(guest)
    if new is None:
        report.no_room.append(guest.number)
        placement.put(guest, host)         # who has no other place is not lost
        return
    over = max(free[host.number], free[new.number]) + how.total_ns
    free[host.number] = free[new.number] = over
    report.moved += 1
    report.pages += sum(step.pages for step in how.rounds) + how.rounds[-1].dirty
    report.ended_ns, report.down_ns = max(report.ended_ns, over), max(report.down_ns, how.downtime_ns)
