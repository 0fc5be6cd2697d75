"""How a migration goes, without moving anything: for a guest that writes into its pages in a circle, exactly.

`pages` are written one after the other, over and over, `rate` a second; all have been written once before the migration
begins.  A round that takes t dirties min(pages, rate x t) of them, and that is all there is to it.  Under QEMU's rule

    it ends if all of `pages` fit into the limit, or if fewer are written a second than the link carries;
    it does not if many more are written: `pages` are dirty after each round, for ever, and how many more makes no difference;
    between the two it is a matter of which pages the guest writes while they still wait to be sent.

Bytes are those of `wire.py`, so that the prediction can be held against a migration that moves them.
"""

from dataclasses import dataclass
from functools import lru_cache

from vmio.machine.memory import PAGE
from vmio.manage.migration import wire
from vmio.manage.migration.rules import Progress, Rule, Throttle

BATCH = 16                     # as `migration.BATCH`
NS = 1_000_000_000
ZERO_BYTES, PAGE_BYTES = wire.WORD.size, wire.WORD.size + PAGE
SETTLED = 3                    # rounds after which `plateau` counts


@dataclass(frozen=True)
class Guest:
    """A guest of `memory` pages that writes into `pages` of them in a circle, `rate` a second; `first` are the zeros before these."""

    memory: int
    pages: int
    rate: int
    first: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.pages <= self.memory - self.first:
            raise ValueError(f"a guest of {self.memory:,} pages that writes into {self.pages:,}: 1 to {self.memory - self.first:,}")
        if self.rate < 0:
            raise ValueError(f"a guest that writes into {self.rate:,} pages a second: 0 or more")


@dataclass(frozen=True)
class Step:
    """A round: `pages` sent in `ns`, and `dirty` when it is over; `throttle` in per cent."""

    pages: int
    ns: int
    dirty: int
    throttle: int


@dataclass(frozen=True)
class Prediction:
    """`rounds`, whether the guest is moved, and if so for how long it stands still and for how long all takes, without latency and state."""

    rounds: tuple[Step, ...]
    moved: bool
    reason: str
    downtime_ns: int
    total_ns: int

    @property
    def plateau(self) -> int | None:
        """The median of what is dirty after a round, once it has settled; None for a migration that was over before."""
        later = sorted(each.dirty for each in self.rounds[SETTLED - 1:])
        return later[len(later) // 2] if later else None


def _clean(dirty: bytearray, start: int, end: int, count: int) -> tuple[int, int]:
    """Send the first `count` pages that are dirty in [start, end): (how many there were, where the next round goes on)."""
    sent, at = 0, start
    while sent < count and (found := dirty.find(1, at, end)) >= 0:
        limit = min(found + count - sent, end)
        clean = dirty.find(0, found, limit)
        at = limit if clean < 0 else clean
        dirty[found:at] = bytes(at - found)
        sent += at - found
    return sent, at


@lru_cache(maxsize=4096)
def predict(guest: Guest, bandwidth: int, rule: Rule, patience: int = 60, throttled: bool = False) -> Prediction:
    """Return how the migration of `guest` over a link of `bandwidth` bytes a second goes; it is given up after `patience` rounds."""
    throttle = Throttle() if throttled else None
    dirty = bytearray(b"\1" * guest.pages)
    zeros = [guest.first, guest.memory - guest.first - guest.pages]       # before and behind, still to be sent
    cursor = 0                 # of `dirty`: where the next round goes on, round and round
    writes, rest, now, sent, steps = 0, 0, 0, 0, []
    enough = rule.enough(bandwidth) // PAGE
    for number in range(1, patience + 1):
        percent = throttle.percent if throttle is not None else 0
        todo = dirty.count(1) + sum(zeros)
        count = min(-(-max(todo - enough, 0) // BATCH) * BATCH, todo)
        before = min(count, zeros[0])
        start = cursor
        own, cursor = _clean(dirty, start, guest.pages, count - before)
        behind = min(count - before - own, zeros[1])
        if behind:
            cursor = guest.pages
        if count > before + own + behind:
            more, cursor = _clean(dirty, 0, start, count - before - own - behind)
            own += more
        zeros = [zeros[0] - before, zeros[1] - behind]
        size = own * PAGE_BYTES + (before + behind) * ZERO_BYTES + -(-count // BATCH) * wire.RECORD.size
        ns = (size + wire.RECORD.size + wire.ROUND.size) * NS // bandwidth
        ran = ns * (100 - percent) * guest.rate + rest
        new, rest = divmod(ran, 100 * NS)
        over = writes + min(new, guest.pages)
        dirty[writes:over] = b"\1" * (min(over, guest.pages) - writes)
        dirty[:max(over - guest.pages, 0)] = b"\1" * max(over - guest.pages, 0)
        writes, now, sent = (writes + new) % guest.pages, now + ns, sent + size
        left = dirty.count(1) + sum(zeros)
        steps.append(Step(count, ns, left, percent))
        why = rule.stop(Progress(number, left * PAGE, sent, guest.memory * PAGE, bandwidth))
        if why is not None:
            size = dirty.count(1) * PAGE_BYTES + sum(zeros) * ZERO_BYTES + -(-left // BATCH) * wire.RECORD.size
            down = size * NS // bandwidth
            return Prediction(tuple(steps), True, why, down, now + down)
        if throttle is not None:
            throttle.heed(min(new, guest.pages) * PAGE, count * PAGE)
    return Prediction(tuple(steps), False, f"it does not converge: {left:,} pages remain after {patience} rounds", 0, now)
