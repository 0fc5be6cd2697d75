"""Virtual time: integer nanoseconds and the timers that hang on them.

A clock belongs to one board (one guest's, or the host's).  It moves only when
somebody moves it: the vCPU that pays for an instruction, the simulation that
waits, or a tester who says `clock_step`.  Timers due on the way fire in order
of their time; two of the same instant fire in the order they were set, so two
runs of the same program are the same run.
"""

import heapq
from itertools import count
from operator import index

NEVER = 1 << 63  # later than any time a lesson reaches (292 years): no clock gets there

LONGEST = 86_400_000_000_000   # a day: chips tick on the way, so a longer wait would keep the host busy for ever


def whole_ns(what, ns, now=0):
    """`ns` as an int; ValueError (`what` says who asked) unless it is whole, 0 to a day, and time does not end before."""
    try:
        ns = index(ns)
    except TypeError:
        raise ValueError(f"{what}({ns!r}): a whole number of ns") from None
    if ns < 0:
        raise ValueError(f"{what}({ns}): time does not go back; 0 or more ns")
    if ns > LONGEST:
        raise ValueError(f"{what}({ns}): at most {LONGEST} ns at once, a day")
    if now + ns >= NEVER:
        raise ValueError(f"{what}({ns}) at {now} ns: time ends before {NEVER} ns")
    return ns


class Timer:
    """One callback at one time; `cancel()` makes it not happen."""

    __slots__ = ("when", "callback")

    def __init__(self, when, callback):
        self.when = when
        self.callback = callback

    def cancel(self):
        self.callback = None


class Clock:
    """`now` is in ns and never goes back; `due` is the time of the next timer."""

    __slots__ = ("now", "due", "_heap", "_order", "_sweep_at")

    def __init__(self, now=0):
        self.now = now
        self.due = NEVER
        self._heap = []
        self._order = count()
        self._sweep_at = 64

    def call_at(self, when, callback):
        """Call `callback()` when the clock reaches `when` (ns; a time past means the next move, `NEVER` or later no time)."""
        if when >= NEVER:
            return Timer(when, callback)
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        timer = Timer(max(when, self.now), callback)
        heapq.heappush(self._heap, (timer.when, next(self._order), timer))
        self.due = self._heap[0][0]
        return timer

    def call_later(self, delay, callback):
        """Call `callback()` after `delay` ns."""
        return self.call_at(self.now + delay, callback)

    def _sweep(self):
        """Drop cancelled timers: a guest that sets an alarm again and again must not fill the host's memory."""
        self._heap = [entry for entry in self._heap if entry[2].callback is not None]
        heapq.heapify(self._heap)
        self._sweep_at = 2 * len(self._heap) + 64

    def deadline(self):
        """Time of the next timer that is not cancelled (ns), or `NEVER`."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
        self.due = heap[0][0] if heap else NEVER
        return self.due

    def advance_to(self, when):
        """Move to `when` (ns), firing what is due on the way; a time already past is a no-op.

        ValueError for `NEVER` and later.
        """
        if when >= NEVER:
            raise ValueError(f"clock at {self.now} ns: it can't move to {when}; time ends before {NEVER} ns")
        while self.due <= when and self.deadline() <= when:
            fire_at, _, timer = heapq.heappop(self._heap)
            self.now = max(self.now, fire_at)
            self.deadline()
            timer.callback()
        if when > self.now:
            self.now = when
