"""Virtual time: integer nanoseconds and the timers that hang on them.

A clock belongs to one board (one guest's, or the host's).  It moves only when
somebody moves it: the vCPU that pays for an instruction, the simulation that
waits, or a tester who says `clock_step`.  Timers due on the way fire in order
of their time; two of the same instant fire in the order they were set, so two
runs of the same program are the same run.
"""

import heapq
from collections.abc import Callable
from itertools import count
from operator import index
from typing import SupportsIndex, TypeAlias

from vmio.machine.checkpoint import CheckpointRefused, Form, State

CLOCK = Form("clock", 1, "now", "due", "sweep_at", "timers")
NEVER = 1 << 63  # later than any time a lesson reaches (292 years): no clock gets there

LONGEST = 86_400_000_000_000   # a day: chips tick on the way, so a longer wait would keep the host busy for ever


def whole_ns(what: str, ns: SupportsIndex, now: int = 0) -> int:
    """Return `ns` as an int; ValueError (`what` says who asked) unless it is whole, 0 to a day, and time does not end before."""
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

    def __init__(self, when: int, callback: Callable[[], None] | None) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Make it not happen."""
        self.callback = None


Timers: TypeAlias = list[tuple[str, Timer | None]]     # what somebody has on a clock, by name


class Clock:
    """`now` is in ns and never goes back; `due` is the time of the next timer."""

    __slots__ = ("now", "due", "_heap", "_order", "_sweep_at")

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.due = NEVER
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._sweep_at = 64

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` when the clock reaches `when` (ns; a time past means the next move, `NEVER` or later no time)."""
        if when >= NEVER:
            return Timer(when, callback)
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        timer = Timer(max(when, self.now), callback)
        heapq.heappush(self._heap, (timer.when, next(self._order), timer))
        self.due = self._heap[0][0]
        return timer

    def call_later(self, delay: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` after `delay` ns."""
        return self.call_at(self.now + delay, callback)

    def _sweep(self) -> None:
        """Drop cancelled timers: a guest that sets an alarm again and again must not fill the host's memory."""
        self._heap = [entry for entry in self._heap if entry[2].callback is not None]
        heapq.heapify(self._heap)
        self._sweep_at = 2 * len(self._heap) + 64

    def save(self, owners: Timers) -> State:
        """Return the time and the timers in their order; `owners` are the live ones by name, (name, `Timer`) pairs.

        `CheckpointRefused` for a timer that nobody owns.
        """
        names = {id(timer): name for name, timer in owners if timer is not None}
        timers = []
        for when, _, timer in sorted(self._heap):
            if timer.callback is not None and id(timer) not in names:
                raise CheckpointRefused(f"checkpoint at {self.now} ns: a timer of {when} ns is nobody's who can be saved")
            timers.append([when, names[id(timer)] if timer.callback is not None else None])
        return CLOCK.state(now=self.now, due=self.due, sweep_at=self._sweep_at, timers=timers)

    def restore(self, state: State, owners: Timers) -> None:
        """Take back what `save` gave; `owners` have set their timers on this clock, which puts them in order."""
        saved, own = CLOCK.take(state), dict(owners)
        timers = []
        for when, name in saved["timers"]:
            timer = Timer(when, None) if name is None else own.get(name)
            if timer is None or timer.when != when:
                raise CheckpointRefused(f"checkpoint: the timer {name!r} of {when} ns was not set again")
            timers.append(timer)
        self._heap = [(timer.when, order, timer) for order, timer in enumerate(timers)]
        self._order = count(len(timers))
        self.now, self.due, self._sweep_at = saved["now"], saved["due"], saved["sweep_at"]

    def deadline(self) -> int:
        """Return the time of the next timer that is not cancelled (ns), or `NEVER`."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
        self.due = heap[0][0] if heap else NEVER
        return self.due

    def advance_to(self, when: int) -> None:
        """Move to `when` (ns), firing what is due on the way; a time already past is a no-op.

        ValueError for `NEVER` and later.
        """
        if when >= NEVER:
            raise ValueError(f"clock at {self.now} ns: it can't move to {when}; time ends before {NEVER} ns")
        while self.due <= when and self.deadline() <= when:
            fire_at, _, timer = heapq.heappop(self._heap)
            self.now = max(self.now, fire_at)
            self.deadline()
            timer.callback()  # type: ignore[misc]  # `deadline` has dropped what was cancelled
        if when > self.now:
            self.now = when
