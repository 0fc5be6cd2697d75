"""Whose turn it is: the multipliers are there once, and all functions of the device share them, an operation at a time.

A function that has work is served for up to a slice, then the next one that waits.  A job, all that a function does without a
pause, may take so long and no longer: whoever does not come to an end is ended.  (Windows does the same to a graphics
processor: "Timeout Detection and Recovery", of 2 s there.)
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from vmio.hardware.accelerator.registers import LIMIT_NS, SLICE_NS
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Pending, Timers


class User(Protocol):
    """A function, as the engine sees it."""

    def begin(self) -> int | None:
        """Take the next operation; return how long it takes, in ns, or None if there is none."""

    def finish(self) -> None:
        """Its time is over: do it."""

    def over_limit(self) -> None:
        """The job has taken too long."""


class Engine:
    """Serves `User`s by turns, on `clock`.  `busy_ns` is what it has worked, `turns` how often another one came on."""

    POINTS = {"served": "(user, (from, until) in ns) of each operation"}
    served: Callable[..., None] | None = None

    def __init__(self, clock: Timers, slice_ns: int = SLICE_NS, limit_ns: int = LIMIT_NS) -> None:
        self.clock, self.slice_ns, self.limit_ns = clock, slice_ns, limit_ns
        self.waiting: deque[User] = deque()
        self.current: User | None = None
        self.busy_ns = self.turns = 0
        self._timer: Pending | None = None
        self._slice_ends = NEVER
        self._used: dict[int, int] = {}        # id(user) -> ns of its job so far

    def ready(self, user: User) -> None:
        """`user` has work."""
        if user is not self.current and user not in self.waiting:
            self._used[id(user)] = 0
            self.waiting.append(user)
            if self.current is None:
                self._turn()

    def forget(self, user: User) -> None:
        """What `user` had under way is void."""
        self._used.pop(id(user), None)
        if user in self.waiting:
            self.waiting.remove(user)
        if user is self.current:
            if self._timer is not None:
                self._timer.cancel()
            self.current = None
            self._turn()

    def _turn(self) -> None:
        """The next one that waits; one that has nothing after all is passed over."""
        while self.waiting:
            self.current = self.waiting.popleft()
            self.turns += 1
            self._slice_ends = self.clock.now + self.slice_ns
            if self._begin(self.current):
                return
            self.current = None

    def _begin(self, user: User) -> bool:
        ns = user.begin()
        if ns is None:
            self._used.pop(id(user), None)
            return False
        self._timer = self.clock.call_later(ns, lambda: self._done(user, ns))
        return True

    def _done(self, user: User, ns: int) -> None:
        self.busy_ns += ns
        self._used[id(user)] += ns
        if self.served is not None:
            self.served(user, (self.clock.now - ns, self.clock.now))
        user.finish()
        if self.current is not user:            # it was reset by what it did
            return
        if self._used[id(user)] > self.limit_ns:
            user.over_limit()
        if self.waiting and self.clock.now >= self._slice_ends:
            self.current = None
            self.waiting.append(user)
            self._turn()
        elif not self._begin(user):
            self.current = None
            self._turn()
