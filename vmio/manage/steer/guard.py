"""A controller is somebody's code: what it answers is looked at, and who answers nonsense is switched off.

The guests run on with what was set at first, which was safe.  `off` then says why, in a sentence.
"""

from math import isfinite

from vmio.manage.steer.controllers import LEAST, MOST, START, Controller

MOST_TURNS = 16          # how often it may turn back before it counts as one that never settles


class Guard:
    """Asks `controller`; `changes` counts what was really set otherwise, `turns` how often that went the other way than before.

    With a `budget` it is switched off when it has made so many changes and wants another one.
    """

    def __init__(self, controller: Controller, budget: int | None = None, most_turns: int = MOST_TURNS) -> None:
        self.controller, self.budget, self.most_turns = controller, budget, most_turns
        self.off = ""
        self.changes = self.turns = 0
        self._rising: bool | None = None

    def __call__(self, limit: float, took: float, target: float) -> float:
        """Return what is to be set, within what is allowed; `START` once it is off."""
        if self.off:
            return START
        try:
            answer = self.controller(limit, took, target)
        except Exception as error:  # noqa: BLE001  # whatever it raises: the guests must run on
            return self._switch_off(f"the controller stopped ({type(error).__name__}: {error})")
        if isinstance(answer, bool) or not isinstance(answer, int | float) or not isfinite(answer):
            return self._switch_off(f"the controller has answered {answer!r}; a number of MB/s from {LEAST} to {MOST:,} is needed")
        wanted = min(max(float(answer), LEAST), MOST)
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
        self.off = f"{' '.join(why.split())}: it is off, and the limit is {START:,} MB/s again"
        return START
