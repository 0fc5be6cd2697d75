"""The host's balancer: who of several guests gets how much memory, and how it comes to them.

    balancer = Balancer(host)
    balancer.add("web", memory, Limits(startup=512, minimum=256, maximum=1024))
    balancer.step()             once a second

Microsoft says what can be set (minimum, maximum, buffer, weight) and what is counted (pressure: demand in per cent of what a guest has),
not how its balancer decides.  **This policy is ours**, and a fair reading of those words:

1. A guest's *demand* is what it reports as committed, without the pages that the host has of it.
2. Its *target* is its demand and its buffer, no less than its minimum and no more than its maximum.
3. Each guest has its minimum.  What is left is shared by weight among those below their targets; who has reached it takes no more.
4. A guest that has not answered keeps what it has; the others share the rest.

Guests that have too much give first, in pieces of 2 MiB; what came free goes to those below their share.

Public words: learn.microsoft.com, "Hyper-V Dynamic Memory Overview", "Set-VMMemory"; Linux drivers/hv/hv_balloon.c (post_status).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from vmio.experiments.params import check, param
from vmio.hypervisor.contracts import Root
from vmio.machine.memory import OutOfMemory
from vmio.vmbus.balloon.dynamic import READY, DynamicMemory
from vmio.vmbus.balloon.wire import LARGE, Message

MIB_PAGES = 256
RESERVE_MIB = 4         # of the host's memory: page tables of guests that grow
MOST_MIB = 3072


@dataclass(frozen=True)
class Limits:
    """What an administrator says about a guest's memory, in MiB; ValueError, one sentence, for what contradicts itself."""

    startup: int = param(512, "what it boots with", unit="MiB", low=32, high=MOST_MIB, multiple=2)
    minimum: int = param(512, "what it always keeps", unit="MiB", low=32, high=MOST_MIB, multiple=2)
    maximum: int = param(1024, "what it never has more than", unit="MiB", low=32, high=MOST_MIB, multiple=2)
    buffer: int = param(20, "what it gets beyond its demand, if there is enough", unit="% of the demand", low=0, high=200)
    weight: int = param(50, "its part when there is not enough", low=1, high=100)

    def __post_init__(self) -> None:
        check(self)
        if not self.minimum <= self.startup <= self.maximum:
            raise ValueError(f"minimum {self.minimum}, startup {self.startup}, maximum {self.maximum} MiB: in this order none may be less "
                             "than the one before it")

    def target(self, demand: int) -> int:
        """Return how many pages a guest with this demand should have."""
        return min(max(demand + demand * self.buffer // 100, self.minimum * MIB_PAGES), self.maximum * MIB_PAGES)


class Need(NamedTuple):
    """A guest, as the rule sees it: pages that it must have, pages that it should have, its weight."""

    minimum: int
    target: int
    weight: int


def shares(total: int, needs: Mapping[str, Need]) -> dict[str, int]:
    """Return how many of `total` pages each guest gets: its minimum, then by weight up to its target; whole pieces of 2 MiB beyond it.

    ValueError if the minimums are more than there is.
    """
    got = {name: need.minimum for name, need in needs.items()}
    left = total - sum(got.values())
    if left < 0:
        raise ValueError(f"{sum(got.values())} pages are the guests' minimums together; the host has {total} for them")
    hungry = [name for name, need in needs.items() if need.target > need.minimum]
    while hungry:
        weights = sum(needs[name].weight for name in hungry)
        full = [name for name in hungry if (needs[name].target - needs[name].minimum) * weights <= left * needs[name].weight]
        if not full:                    # nobody reaches the target: each gets a part of what is left
            for name in hungry:
                got[name] += left * needs[name].weight // weights // LARGE * LARGE
            break
        for name in full:
            got[name] = needs[name].target
            left -= needs[name].target - needs[name].minimum
        hungry = [name for name in hungry if name not in full]
    return got


@dataclass
class Member:
    """A guest of the balancer: `share` is what it was to have in the last step, in pages, `why` what kept the host from asking it."""

    memory: DynamicMemory
    limits: Limits
    share: int = 0
    why: str = ""

    @property
    def demand(self) -> int:
        """Pages that it says it needs; what a guest may say is bounded by its maximum.  Its own until it has reported."""
        memory, report = self.memory, self.memory.report
        if report is None:
            return memory.assigned
        return min(max(report.committed - memory.ballooned.total, 0), self.limits.maximum * MIB_PAGES)

    @property
    def pressure(self) -> int:
        """Demand in per cent of what it has: 100 is exactly enough."""
        return 100 * self.demand // max(self.memory.assigned, 1)

    @property
    def silent(self) -> bool:
        """It can't be asked: not up, or it owes an answer."""
        return self.memory.state != READY or self.memory.asked is not None


Seen: TypeAlias = dict[str, tuple[int, Limits]]      # {guest: (pages that it says it needs, its limits)}


def decided(total: int, seen: Seen) -> dict[str, int] | None:
    """Return what `shares` gives to guests that were seen so; None if their minimums are more than there is."""
    try:
        return shares(total, {name: Need(limits.minimum * MIB_PAGES, limits.target(demand), limits.weight) for name, (demand, limits) in seen.items()})
    except ValueError:
        return None


class Balancer:
    """Shares the memory of `host` among guests with dynamic memory: what they have, and what is free but for `reserve_mib`."""

    POINTS = {"looked": "(pages to be shared, {guest: (its demand, its limits)}) before they are shared"}
    looked: Callable[[int, Seen], None] | None = None

    def __init__(self, host: Root, reserve_mib: int = RESERVE_MIB) -> None:
        self.host, self.reserve = host, reserve_mib * MIB_PAGES
        self.members: dict[str, Member] = {}

    @property
    def free(self) -> int:
        """Pages that may be given to somebody now."""
        return max(self.host.memory.free_pages - self.reserve, 0)

    @property
    def total(self) -> int:
        """Pages that the guests share."""
        return self.free + sum(member.memory.assigned for member in self.members.values())

    def add(self, name: str, memory: DynamicMemory, limits: Limits) -> Member:
        """Care for a guest from now on.  ValueError for a name twice, for minimums that the host has not, and for a pinned guest."""
        if name in self.members:
            raise ValueError(f"guest {name}: has its limits already; change them")
        memory.guest.check_takeable()
        minimums = sum(member.limits.minimum for member in self.members.values()) + limits.minimum
        have = (self.total + memory.assigned) // MIB_PAGES
        if minimums > have:
            raise ValueError(f"guest {name}: with its minimum of {limits.minimum} MiB the guests' minimums are {minimums} MiB; the host has {have} MiB for them")
        self.members[name] = Member(memory, limits)
        return self.members[name]

    def change(self, name: str, **values: int) -> Limits:
        """Change limits while the guest runs: buffer and weight freely, the minimum down, the maximum up, as Hyper-V has it."""
        if name not in self.members:
            raise ValueError(f"guest {name}: no such guest; there are {', '.join(self.members) or 'none'}")
        member = self.members[name]
        before = member.limits
        after = replace(before, **values)
        if after.startup != before.startup or after.minimum > before.minimum or after.maximum < before.maximum:
            raise ValueError(f"guest {name}: runs, so its minimum may fall (it is {before.minimum} MiB), its maximum rise (it is {before.maximum} MiB), "
                             f"and its startup memory stays {before.startup} MiB")
        member.limits = after
        return after

    def remove(self, name: str) -> None:
        """Care for a guest no longer; it keeps what it has."""
        del self.members[name]

    def step(self) -> None:
        """Look at all guests, and ask those that have too much or too little, each for one thing."""
        able = {name: member for name, member in self.members.items() if not member.silent}
        held = sum(member.memory.assigned for member in self.members.values() if member.silent)
        total, seen = self.total - held, {name: (member.demand, member.limits) for name, member in able.items()}
        if self.looked is not None:
            self.looked(total, seen)
        wanted = decided(total, seen)
        if wanted is None:              # who is silent sits on what others must have: nobody is to have less for that
            wanted = {name: member.memory.assigned for name, member in able.items()}
        for name, member in able.items():
            member.share, member.why = wanted[name], ""
            over = member.memory.assigned - member.share
            try:
                if over >= LARGE:
                    member.memory.inflate(over // LARGE * LARGE)
                elif -over >= LARGE:
                    self._give(member, -over)
            except (ValueError, OutOfMemory) as error:
                member.why = str(error)

    def _give(self, member: Member, pages: int) -> None:
        """Give a guest back what it gave; when it has all of that, add to what it began with, as far as its maximum goes."""
        memory = member.memory
        back = min(pages, memory.ballooned.total, self.free)
        if back:
            memory.deflate(back)
        elif not memory.ballooned.total and memory.can_add:
            piece = min(pages, memory.addable, member.limits.maximum * MIB_PAGES - memory.assigned, self.free) // LARGE * LARGE
            if piece:
                memory.hot_add(piece)

    def owing(self) -> dict[str, Message]:
        """Return {guest: what it was asked and has not answered}."""
        return {name: member.memory.asked for name, member in self.members.items() if member.memory.asked is not None}
