"""What is under way: each request is there from its beginning to its end, so that no error on its way makes the count wrong.

    flight = InFlight(env)
    flight.begin(request)
    try:
        backend.submit(..., done)
    except BaseException:
        flight.ended(request)            # what raises while it begins has ended
        raise
    ...
    flight.ended(request)                # in `done`; True once, False if it has ended before
    flight.drained()                     # None, or an event for when nothing is under way any more

A number that one line raises and another lowers is one too high for ever when an
exception passes between them, and whoever waits for 0 waits for ever.
"""

from collections.abc import Callable, Hashable
from typing import Any

from simpy.events import Event

from vmio.hypervisor.simulation import Simulation



class InFlight(dict[Any, Any]):
    """The requests under way, the oldest first; `len()` is their number.  Any object may stand for a request, itself its key."""

    __slots__ = ("env", "_drained")

    begin = dict.setdefault              # `begin(request)`, without a call of Python's between

    def __init__(self, env: Simulation) -> None:
        super().__init__()
        self.env = env
        self._drained: Event | None = None

    def ended(self, request: Hashable) -> bool:
        """End `request`.  Returns whether this was the first time: only then may anybody be told."""
        if request not in self:
            return False
        del self[request]
        if not self and self._drained is not None:
            event, self._drained = self._drained, None
            event.succeed()
        return True

    def drained(self) -> Event | None:
        """Return None if nothing is under way, or an event for when nothing is any more."""
        if not self:
            return None
        if self._drained is None:
            self._drained = self.env.event()
        return self._drained


def after(event: Event | None, call: Callable[[], None]) -> None:
    """Call `call()` when the event of `drained` happens, or at once if there is none."""
    if event is None:
        call()
    else:
        event.callbacks.append(lambda _: call())
