"""How long should a network card hold its interrupts back?  A climb: try a longer time, look whether more gets through, go on or turn.

The five levels are a hill from left (told at once) to right (told late).  Every 64 interrupts the driver compares what it got
with the 64 before: more bytes, else more packets, else fewer interrupts, is better; a tenth is noise.  It walks on while that
gets better, turns when it doesn't, and parks where it came from both sides.  A driver that has gone too many steps is tired,
and rests.  This is Linux's dynamic interrupt moderation, decision by decision.
Sources: Linux 6.1, lib/dim/dim.c, lib/dim/net_dim.c, include/linux/dim.h (profiles for cards that restart their time with an interrupt).
"""

from dataclasses import dataclass
from enum import IntEnum

LEVELS_US = (1, 8, 64, 128, 256)     # for receiving; at most 256 packets at each
START = 1
INTERRUPTS = 64                      # between two decisions
MOST_STEPS = 2 * len(LEVELS_US)      # before it is tired
NOISE_PERCENT = 10


class Walk(IntEnum):
    """What the climb is doing."""

    ON_TOP = 0
    TIRED = 1
    RIGHT = 2
    LEFT = 3


@dataclass(frozen=True)
class Rates:
    """What 64 interrupts brought: packets, bytes and interrupts in a millisecond, rounded up."""

    packets: int = 0
    bytes: int = 0
    interrupts: int = 0

    @staticmethod
    def between(start: tuple[int, int, int], end: tuple[int, int, int]) -> "Rates | None":
        """Return the rates between two samples (ns, packets, bytes); None if no microsecond has passed."""
        ns, packets, size = (late - early for early, late in zip(start, end))
        us = ns // 1000
        return Rates(*(-(-count * 1000 // us) for count in (packets, size, INTERRUPTS))) if us > 0 else None


def compare(now: Rates, before: Rates) -> int:
    """Return 1 if it has become better, -1 if worse, 0 if that can't be told."""
    if not before.bytes:
        return int(now.bytes > 0)
    for new, old, sign in ((now.bytes, before.bytes, 1), (now.packets, before.packets, 1), (now.interrupts, before.interrupts, -1)):
        if not old:
            return 0
        if abs(new - old) * 100 // old > NOISE_PERCENT:
            return sign if new > old else -sign
    return 0


class Dim:
    """`level` is the one to be used; `walk`, `right`, `left` and `steps` say how the climb goes."""

    def __init__(self) -> None:
        self.level, self.walk = START, Walk.ON_TOP
        self.right = self.left = 0       # steps in a row to either side
        self.steps = 0                   # since it last rested
        self._before = Rates()
        self._start: tuple[int, int, int] | None = None
        self._interrupts = 0             # since the sample at the start

    @property
    def us(self) -> int:
        """How long the card is to hold an interrupt back, in microseconds."""
        return LEVELS_US[self.level]

    def interrupt(self, now_ns: int, packets: int, size: int) -> bool:
        """Take note of an interrupt, with all packets and bytes so far; True if the level is another one now."""
        sample, start = (now_ns, packets, size), self._start
        changed = False
        self._interrupts += 1
        if start is not None:
            if self._interrupts < INTERRUPTS or (rates := Rates.between(start, sample)) is None:
                return False
            changed = self.decide(rates)
        # After a change the packets that are under way would spoil the measurement: the next interrupt begins it.
        self._start, self._interrupts = None if changed else sample, 0
        return changed

    def decide(self, rates: Rates) -> bool:
        """Take what came since the last decision; returns whether the level is another one now."""
        walk, level = self.walk, self.level
        if walk == Walk.TIRED:
            self.steps -= 1
            if not self.steps:
                self._set_out()
        elif walk == Walk.ON_TOP:
            if compare(rates, self._before):
                self._set_out()
        else:
            self._climb(compare(rates, self._before) > 0)
        if not walk == self.walk == Walk.ON_TOP:       # who stays on top compares with what was there when it came
            self._before = rates
        return self.level != level

    def _set_out(self) -> None:
        """Leave the place where it was parked."""
        self.walk = Walk.LEFT if self.level else Walk.RIGHT
        self._step()

    def _climb(self, better: bool) -> None:
        if not better:
            self._turn()
        if self._came_from_both_sides():
            self._park(Walk.ON_TOP)
        elif self.steps == MOST_STEPS:
            self._park(Walk.TIRED)
        elif not self._step():
            self._park(Walk.ON_TOP)

    def _turn(self) -> None:
        if self.walk == Walk.RIGHT:
            self.walk, self.left = Walk.LEFT, 0
        else:
            self.walk, self.right = Walk.RIGHT, 0

    def _came_from_both_sides(self) -> bool:
        """Whether one step of this side follows several of the other: the top is where it stands."""
        ahead, back = (self.right, self.left) if self.walk == Walk.RIGHT else (self.left, self.right)
        return ahead == 1 and back > 1

    def _step(self) -> bool:
        """Go one level on; False at the end of the levels."""
        level = self.level + (1 if self.walk == Walk.RIGHT else -1)
        if not 0 <= level < len(LEVELS_US):
            return False
        self.level, self.steps = level, self.steps + 1
        if self.walk == Walk.RIGHT:
            self.right += 1
        else:
            self.left += 1
        return True

    def _park(self, walk: Walk) -> None:
        self.walk, self.right, self.left = walk, 0, 0
        if walk == Walk.ON_TOP:
            self.steps = 0
