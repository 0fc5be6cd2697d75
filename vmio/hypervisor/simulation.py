"""The simulation that everything of one host runs in."""

from heapq import heappush
from types import MethodType
from typing import Any

from simpy import Environment
from simpy.events import NORMAL, Event


class Delay(Event):
    """An event that happens in `ns`: what `Simulation.timeout` makes.  Nearly every event is one, so it is made in one step."""

    def __init__(self, env: Environment, ns: int = 0) -> None:
        if ns < 0:
            raise ValueError(f"timeout({ns}): time does not go back; 0 or more ns")
        self.env, self.callbacks = env, []
        self._ok, self._value = True, None
        heappush(env._queue, (env._now + ns, NORMAL, next(env._eid), self))


class Simulation(Environment):
    """simpy's; its time is in whole ns.  What is to come can be told, and set again, for checkpoints."""

    __slots__ = ("_now",)

    now: int

    def __init__(self) -> None:
        super().__init__()
        bound: dict[str, Any] = {"timeout": MethodType(Delay, self)}
        for name in ("event", "process"):      # simpy binds its own once, but not those that a subclass inherits
            bound[name] = getattr(self, name)
        self.__dict__.update(bound)

    def to_come(self) -> list[tuple[int, int, Event]]:
        """Return (time, priority, event) of all that is scheduled, in the order in which it will happen."""
        return [(int(when), priority, event) for when, priority, _, event in sorted(self._queue)]

    def set_again(self, now: int, events: list[tuple[int, int, Event]]) -> None:
        """Make it `now` (ns), and let these events, in this order at each instant, be all that is to come."""
        self._now = now
        self._queue.clear()
        for when, priority, event in events:
            heappush(self._queue, (when, priority, next(self._eid), event))  # type: ignore[misc]  # a wider time


setattr(Simulation, "now", Simulation.__dict__["_now"])    # noqa: B010  read many times an event, so it is no call here
