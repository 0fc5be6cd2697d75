"""Controllers: given what was set, what came of it and what was wanted, what shall be set now?

    controller(limit, took, target) -> limit

`limit` is in MB/s, `took` and `target` in microseconds.  A controller is a function, or an object that remembers; it knows nothing of
disks.  Each of these forms steers something real: two thresholds a network card's queue (netvsc stops below 10 % free and wakes above
20 %), additive increase and multiplicative decrease TCP, a climb the moderation of interrupts (`vmio/drivers/dim.py`), a proportional
step the shares of blk-iocost.  The hasty one is what not to do.
"""

from collections.abc import Callable, Mapping
from random import Random

LEAST, MOST, START = 50, 3000, 1000        # MB/s
STEP = 150                                 # MB/s of one small step

Controller = Callable[[float, float, float], float]


def static(limit: float, took: float, target: float) -> float:
    """Return what it was: nobody looks."""
    return limit


def hysteresis(limit: float, took: float, target: float) -> float:
    """Return a step less above the target, a step more below half of it; in between nothing is done."""
    return limit - STEP if took > target else limit + STEP if took < target / 2 else limit


def aimd(limit: float, took: float, target: float) -> float:
    """Return a step more while the target is kept, and half if it is not."""
    return limit + STEP if took <= target else limit / 2


def proportional(limit: float, took: float, target: float) -> float:
    """Return a change by half of what is missing, in parts of the target; never more than by half."""
    error = max(-1.0, min(1.0, (target - took) / target))
    return limit * (1 + error / 2) if abs(error) > 0.1 else limit


def hasty(limit: float, took: float, target: float) -> float:
    """Return all or nothing.  The bad one."""
    return MOST if took <= target else LEAST


class HillClimb:
    """Goes on in the direction in which it got better, and turns where it didn't.

    Better is a higher limit that keeps the target; a target that is missed is worse the longer it took.  After a turn the steps are half
    as long, so that it comes to rest on the top, and after a miss it goes down.
    """

    def __init__(self) -> None:
        self._up, self._before, self._step = True, float("-inf"), 2.0 * STEP

    def __call__(self, limit: float, took: float, target: float) -> float:
        """Return the next place to try."""
        now = limit if took <= target else -took
        up = took <= target and (self._up if now >= self._before else not self._up)
        if up is not self._up:
            self._up, self._step = up, max(self._step / 2, STEP / 4)
        self._before = now
        return limit + self._step if self._up else limit - self._step


class Bandit:
    """A learned policy: arms are limits, and the one that has paid most on average is pulled (epsilon-greedy).

    An arm pays its part of the highest limit if the target was kept while it was set, else nothing.  `learned` has
    (times, mean pay) of each arm from training; with it `epsilon` may be 0.
    Source: Sutton and Barto, Reinforcement Learning, 2nd edition, section 2.4.
    """

    ARMS = tuple(range(200, MOST + 1, 400))

    def __init__(self, learned: Mapping[int, tuple[int, float]] | None = None, epsilon: float = 0.0, seed: int = 0) -> None:
        self.arms = {arm: (learned or {}).get(arm, (0, 0.0)) for arm in self.ARMS}
        self._random, self.epsilon = Random(f"bandit {seed}"), epsilon
        self._pulled: int | None = None

    def __call__(self, limit: float, took: float, target: float) -> float:
        """Return the next arm to pull."""
        if self._pulled is not None:
            times, mean = self.arms[self._pulled]
            pay = self._pulled / MOST if took <= target else 0.0
            self.arms[self._pulled] = times + 1, mean + (pay - mean) / (times + 1)
        if self._random.random() < self.epsilon:
            self._pulled = self._random.choice(self.ARMS)
        else:
            self._pulled = max(self.ARMS, key=lambda arm: self.arms[arm][1])
        return self._pulled


CONTROLLERS: dict[str, Callable[[], Controller]] = {
    "static": lambda: static, "hysteresis": lambda: hysteresis, "AIMD": lambda: aimd, "proportional": lambda: proportional,
    "hill climb": HillClimb, "hasty": lambda: hasty}
