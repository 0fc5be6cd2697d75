"""A timer that a device moves about: one alarm has at most one live timer on the clock."""

from collections.abc import Callable

from vmio.machine.clock import Clock, Timer



class Alarm:
    """Calls `callback()` once at `when` (absolute ns on the clock, or None when it is off)."""

    __slots__ = ("clock", "callback", "when", "_timer")

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self.clock, self.callback = clock, callback
        self.when: int | None = None
        self._timer: Timer | None = None

    def at(self, when: int | None) -> None:
        """Ring at `when` ns instead of whenever it was to ring before; None turns it off."""
        if when == self.when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.when = when
        self._timer = None if when is None else self.clock.call_at(when, self._ring)

    @property
    def timer(self) -> Timer | None:
        """Its `Timer` on the clock, or None when it is off."""
        return self._timer

    def stop(self) -> None:
        """Don't ring."""
        self.at(None)

    def _ring(self) -> None:
        self.when = self._timer = None
        self.callback()
