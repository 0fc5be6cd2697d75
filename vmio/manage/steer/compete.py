"""Who steers best?  Hand-made controllers, a learned one, and one that knows the future, on seeds that nobody has trained with.

A look counts what the bully moved if the victim's target was kept in it, else nothing: *useful* MB/s.  The learned one is a bandit that
tried limits on the training seeds; the *best constant* limit was chosen on the held-out seeds themselves, which no controller can.
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import mean
from typing import NamedTuple

from vmio.manage.steer.controllers import CONTROLLERS, Bandit, Controller
from vmio.manage.steer.loop import Steered, SteerParams, steer
from vmio.table import table

TRAINING, HELD_OUT = range(1, 13), range(101, 109)
EPSILON = 0.3
LEARNED, BEST = "bandit", "best constant"


class Score(NamedTuple):
    """What one controller reached on average over the held-out seeds."""

    name: str
    useful: float          # MB/s
    kept: float            # percent of the looks
    changes: float
    off: int               # runs in which it was switched off


def useful(one: Steered) -> float:
    """Return the MB/s that the bully moved while the target was kept, on average over all looks since it came."""
    return mean(look.moved if look.took <= one.params.target else 0.0 for look in one.after)


def train(base: SteerParams) -> dict[int, tuple[int, float]]:
    """Return what a bandit has learned of its arms on the training seeds."""
    bandit = Bandit(epsilon=EPSILON, seed=1)
    for seed in TRAINING:
        steer(replace(base, seed=seed), bandit, budget=base.ms, most_turns=base.ms)
    return dict(bandit.arms)


class Constant:
    """Always the same limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, limit: float, took: float, target: float) -> float:
        """Return it."""
        return self.limit


def compete(base: SteerParams, learned_from: SteerParams | None = None) -> list[Score]:
    """Return the scores of all, the best one first, and last that of the best constant limit.

    The bandit has learned from the same parameters, or from others.
    """
    learned = train(learned_from or base)
    makers: dict[str, Callable[[], Controller]] = {**CONTROLLERS, LEARNED: lambda: Bandit(learned)}
    scores = sorted((_score(name, [steer(replace(base, seed=seed), make()) for seed in HELD_OUT]) for name, make in makers.items()),
                    key=lambda score: -score.useful)
    constants = [_score(BEST, [steer(replace(base, seed=seed), Constant(limit)) for seed in HELD_OUT]) for limit in range(600, 2101, 300)]
    return [*scores, max(constants, key=lambda score: score.useful)]


def _score(name: str, runs: list[Steered]) -> Score:
    return Score(name, mean(useful(one) for one in runs), mean(one.kept for one in runs), mean(one.changes for one in runs),
                 sum(bool(one.off) for one in runs))


def to_table(scores: list[Score]) -> str:
    """Return the scores as text."""
    rows = [(name, round(useful), round(kept), round(changes), off) for name, useful, kept, changes, off in scores]
    return table(rows, ("controller", "useful MB/s", "kept, %", "changes", "switched off"))

