"""A timer that a device moves about: one alarm has at most one live timer on the clock."""


class Alarm:
    """Calls `callback()` once at `when` (absolute ns on the clock, or None when it is off)."""

    __slots__ = ("clock", "callback", "when", "_timer")

    def __init__(self, clock, callback):
        self.clock, self.callback = clock, callback
        self.when = None
        self._timer = None

    def at(self, when):
        """Ring at `when` ns instead of whenever it was to ring before; None turns it off."""
        if when == self.when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.when = when
        self._timer = None if when is None else self.clock.call_at(when, self._ring)

    def stop(self):
        """Don't ring."""
        self.at(None)

    def _ring(self):
        self.when = self._timer = None
        self.callback()
