"""A loop on a real queue: a victim reads, a bully comes, and every millisecond a controller sets the bully's limit.

    result = steer(SteerParams(controller="AIMD"))

The disk, its block layer and the limit (a token bucket) are those of every other lesson; the host sees what an administrator sees, the
victim's requests of the last millisecond, `delay` looks late.  The bully comes all at once: that step shows what a controller is made of.
"""

from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random

from simpy.events import Event

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.host.physical import Slice
from vmio.host.policies import make
from vmio.host.scheduler import Share
from vmio.host.timed import TimedDisk
from vmio.hypervisor.costs import CostModel
from vmio.machine.memory import PAGE
from vmio.manage.steer.controllers import CONTROLLERS, START, Controller
from vmio.manage.steer.guard import MOST_TURNS, Guard
from vmio.modes import Machine

MS, MB = 1_000_000, 1_000_000
LOOK_NS = MS                             # between two looks
BULLY_NS = 8 * MS                        # when the bully comes
VICTIM, BULLY = "victim", "bully"
SMALL, LARGE, DEPTH = 8, 256, 32         # sectors of a request of each; the bully's requests in flight
SLICE = 1 << 14                          # sectors of each one's part of the disk


@dataclass(frozen=True)
class SteerParams:
    """Who steers, and what."""

    controller: str = param("AIMD", "who sets the bully's limit", choices=tuple(CONTROLLERS))
    target: int = param(120, "how long the victim's reads may take on average", unit="us", low=80, high=1000)
    delay: int = param(0, "how old what it sees is", unit="looks", low=0, high=8)
    disk: int = param(2000, "what the disk gives: so little that a bully can fill it", unit="MB/s", low=500, high=5000)
    ms: int = param(48, "how long all runs", unit="ms", low=12, high=400)
    seed: int = param(1, "of the victim's reads", low=0)


@dataclass(frozen=True)
class Look:
    """One look of the host: when, how long the victim's reads took on average, the limit from then on, what the bully moved, MB/s."""

    ms: float
    took: float
    limit: float
    moved: float


@dataclass(frozen=True)
class Steered:
    """The looks of a run, what the controller changed, and why it was switched off ("" if it was not)."""

    params: SteerParams
    looks: list[Look] = field(repr=False)
    changes: int
    turns: int
    off: str

    @property
    def after(self) -> list[Look]:
        """The looks since the bully is there."""
        return [look for look in self.looks if look.ms > BULLY_NS / MS]

    @property
    def kept(self) -> float:
        """Percent of those in which the target was kept."""
        return 100 * sum(look.took <= self.params.target for look in self.after) / len(self.after)

    @property
    def moved(self) -> float:
        """MB/s of the bully, on average since it came."""
        return sum(look.moved for look in self.after) / len(self.after)

    @property
    def worst(self) -> float:
        """The most that the victim's reads took in a look, in us: the overshoot."""
        return max(look.took for look in self.after)

    @property
    def settled(self) -> float | None:
        """When the target was kept for the rest of the run, ms after the bully came; None if it never was."""
        late = [look.ms for look in self.after if look.took > self.params.target]
        if not late:
            return 0.0
        return None if late[-1] == self.after[-1].ms else late[-1] - BULLY_NS / MS

    @property
    def swing(self) -> float | None:
        """The mean time in ms from one turn upwards to the next; None for fewer than three."""
        ups, falling = [], False
        for before, now in zip(self.after, self.after[1:]):
            if now.limit > before.limit and falling:
                ups.append(now.ms)
            falling = now.limit < before.limit if now.limit != before.limit else falling
        return (ups[-1] - ups[0]) / (len(ups) - 1) if len(ups) > 2 else None


def steer(chosen: SteerParams, own: Controller | None = None, budget: int | None = None, most_turns: int = MOST_TURNS) -> Steered:
    """Run it with the controller of that name, or with one's `own`; the `budget` is of changes.  ValueError for parameters that can't be."""
    params.check(chosen)
    return _Loop(chosen, Guard(own or CONTROLLERS[chosen.controller](), budget, most_turns)).run()


class _Loop:
    """The host, its disk, and both guests on it."""

    def __init__(self, chosen: SteerParams, guard: Guard) -> None:
        self.params, self.guard = chosen, guard
        host = self.host = Machine(CostModel.preset("server-2022").with_(disk_read_rate=chosen.disk * MB), memory_mib=8).host
        self.layer = TimedDisk(host, scheduler=make("limits"), depth=64, window=inf).layer
        self.limit, self.looks = float(START), list[Look]()
        self.pages = [host.memory.allocate(1)] * (LARGE * 512 // PAGE)
        self.began = host.env.now
        self.slices = {name: Slice(self.layer, number * SLICE, SLICE) for number, name in enumerate((VICTIM, BULLY))}
        self.layer.add(VICTIM, Share())
        self._took: list[int] = []
        self._moved = self._lba = 0
        self._seen: list[float] = []
        random = Random(f"steer {chosen.seed}")
        at = 0.0
        while (at := at + random.expovariate(1) * MS / 12) < chosen.ms * MS:
            host.at(self.began + int(at), self._read)
        host.at(self.began + BULLY_NS, self._come)
        for number in range(1, chosen.ms + 1):
            host.at(self.began + number * LOOK_NS, self._look)

    def _read(self, _event: Event) -> None:
        now = self.host.env.now
        self.slices[VICTIM].submit(VICTIM, "read", 0, SMALL, self.pages[:1], lambda status: self._took.append(self.host.env.now - now))

    def _come(self, _event: Event) -> None:
        self.layer.add(BULLY, Share(cap=int(self.limit * MB), burst_ns=0))
        for _ in range(DEPTH):
            self._more()

    def _more(self, status: int | None = None) -> None:
        if status is not None:
            self._moved += LARGE * 512
        self._lba = (self._lba + LARGE) % (SLICE - LARGE)
        self.slices[BULLY].submit(BULLY, "read", self._lba, LARGE, self.pages, partial(self._more))

    def _look(self, _event: Event) -> None:
        ms = (self.host.env.now - self.began) / MS
        took = sum(self._took) / len(self._took) / 1000 if self._took else self._seen[-1] if self._seen else 0.0
        self._seen.append(took)
        moved = self._moved / MB / (LOOK_NS / 1e9)
        self._took, self._moved = [], 0
        if ms > BULLY_NS / MS and len(self._seen) > self.params.delay:
            limit = self.guard(self.limit, self._seen[-1 - self.params.delay], self.params.target)
            if limit != self.limit:
                self.limit = limit
                self.layer.change(BULLY, cap=int(limit * MB))
        self.looks.append(Look(ms, took, self.limit, moved))

    def run(self) -> Steered:
        """Run to the end."""
        self.host.env.run(until=self.began + self.params.ms * MS + 1)
        return Steered(self.params, self.looks, self.guard.changes, self.guard.turns, self.guard.off)

