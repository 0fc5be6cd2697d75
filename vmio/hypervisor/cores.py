"""The host's processor cores: who wants to run waits in line for a free one, and who sleeps has an alarm."""

from collections import deque

from simpy.events import Event

from vmio.machine.clock import NEVER

HORIZON = 1_000_000_000   # ns: no event is made for later than this ahead


class Cores:
    """`count` cores of a simulation.  A free one is taken without an event, so time spent alone costs one.

    Nobody who computes for long keeps the others out: at the end of a slice of
    `slice_ns` whoever waits goes first, and the rest of the work goes to the end of
    the line.  The line is by arrival alone - a real scheduler lets sleepers go first,
    and so can afford longer slices.
    """

    def __init__(self, env, count, slice_ns):
        if slice_ns < 1:
            raise ValueError(f"slice_ns {slice_ns}: at least 1")
        self.env, self.count, self.slice_ns = env, count, slice_ns
        self._free = count         # below 0: so many cores are to go, when they are given back
        self._line: deque[Event] = deque()

    def resize(self, count):
        """`count` (at least 1) cores from now on: a new one serves the line at once, a busy one goes when given back."""
        self._free += count - self.count
        self.count = count
        while self._line and self._free > 0:
            self._free -= 1
            self._line.popleft().succeed()

    def spend(self, ns):
        """Hold a core for `ns`, after waiting for it in order of arrival: `yield from cores.spend(ns)`."""
        turn = None if self._take() else self._turn()
        try:
            if turn is not None:
                yield turn
            slice_ns = self.slice_ns
            while ns > slice_ns:
                slices = 1
                if not self._line:             # nobody can come before the next event
                    slices = max(1, int(min(ns - 1, self.env.peek() - self.env.now) // slice_ns))
                yield self.env.timeout(slices * slice_ns)
                ns -= slices * slice_ns
                if self._line or self._free < 0:
                    turn = self._turn()
                    self._give_back()
                    yield turn
            yield self.env.timeout(ns)
        finally:
            if turn is None or turn.triggered:
                self._give_back()
            else:
                self._line.remove(turn)    # ended while it waited: it had no core

    def _take(self):
        """Take a free core, if there is one."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    def _turn(self):
        """An event for when whoever leaves hands us a core."""
        self._line.append(self.env.event())
        return self._line[-1]

    def _give_back(self):
        """To the first in line, if the host keeps this core."""
        if self._line and self._free >= 0:
            self._line.popleft().succeed()
        else:
            self._free += 1


class Alarm:
    """One sleeper's alarm in the simulation, set again and again: it calls `ring()` at the time that was set last.

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
