"""One sleeper's alarm in the simulation, set again and again."""

from vmio.machine.clock import NEVER

HORIZON = 1_000_000_000   # ns: no event is made for later than this ahead


class Alarm:
    """Calls `ring()` at the time that was set last.

    An event of the simulation can't be taken back.  So an earlier one that is still to
    come is used to set the next: a guest that sleeps with a time-out and is woken by an
    interrupt, again and again, leaves no event behind for each time.
    """

    __slots__ = ("_env", "_ring", "_when", "_pending")

    def __init__(self, env, ring):
        self._env, self._ring = env, ring
        self._when = NEVER
        self._pending = []        # times of the events that are to come, latest first

    def at(self, when):
        """Ring at `when` (ns), or at once if that is past; `NEVER` for not at all."""
        self._when = when
        if when < NEVER:
            now = self._env.now
            when = min(max(when, now), now + HORIZON)
            if not self._pending or when < self._pending[-1]:
                self._pending.append(when)
                self._env.timeout(when - now).callbacks.append(self._comes)

    def off(self):
        """Don't ring."""
        self._when = NEVER

    def _comes(self, event):
        self._pending.pop()
        if self._when <= self._env.now:
            self._when = NEVER
            self._ring()
        else:
            self.at(self._when)
