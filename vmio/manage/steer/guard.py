"""A controller is somebody's code: what it answers is looked at, and who answers nonsense is switched off.

The guests run on with what was set at first, which was safe.  `off` then says why, in a sentence.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

from vmio.manage.steer.controllers import LEAST, MOST, START

Decide = Callable[[float, Any, float], float]       # (what is set, what was seen, what is wanted) -> what to set
MOST_TURNS = 16          # how often it may turn back before it counts as one that never settles


class Bounds(NamedTuple):
    """What may be set: `what` it is and in which `unit`, the least and the most, and what is `safe` when nobody decides."""

    what: str
    unit: str
    least: int
    most: int
    safe: int


LIMIT = Bounds("the limit", "MB/s", LEAST, MOST, START)


class Guard:
    """Asks `controller`; `changes` counts what was really set otherwise, `turns` how often that went the other way than before.

    With a `budget` it is switched off when it has made so many changes and wants another one.
    """

    def __init__(self, controller: Decide, budget: int | None = None, most_turns: int = MOST_TURNS, bounds: Bounds = LIMIT) -> None:
        self.controller, self.budget, self.most_turns, self.bounds = controller, budget, most_turns, bounds
        self.off = ""
        self.changes = self.turns = 0
        self._rising: bool | None = None

    def __call__(self, limit: float, took: Any, target: float) -> float:
        """Return what is to be set, within what is allowed; what is safe once it is off."""
        if self.off:
            return self.bounds.safe
        try:
            answer = self.controller(limit, took, target)
        except Exception as error:  # noqa: BLE001  # whatever it raises: the guests must run on
            return self._switch_off(f"the controller stopped ({type(error).__name__}: {error})")
        if isinstance(answer, bool) or not isinstance(answer, int | float) or not isfinite(answer):
            return self._switch_off(f"the controller has answered {answer!r}; a number of {self.bounds.unit} from {self.bounds.least:,} to {self.bounds.most:,} is needed")
        wanted = min(max(float(answer), self.bounds.least), self.bounds.most)
        if wanted == limit:
            return limit
        if self.budget is not None and self.changes >= self.budget:
            return self._switch_off(f"the controller has made its {self.budget} changes and wants another one")
        rising = wanted > limit
        if self._rising is not None and rising is not self._rising:
            self.turns += 1
            if self.turns > self.most_turns:
                return self._switch_off(f"the controller has turned back {self.turns} times; it never settles")
        self._rising = rising
        self.changes += 1
        return wanted

    def _switch_off(self, why: str) -> float:
        self.off = f"{' '.join(why.split())}: it is off, and {self.bounds.what} is {self.bounds.safe:,} {self.bounds.unit} again"
        return self.bounds.safe
