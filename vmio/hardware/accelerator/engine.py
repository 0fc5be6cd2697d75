"""Whose turn it is: the multipliers are there once, and all functions of the device share them, an operation at a time.

A function that has work is served for up to a slice, then the next one that waits.  A job, all that a function does without a
pause, may take so long and no longer: whoever does not come to an end is ended.  (Windows does the same to a graphics
processor: "Timeout Detection and Recovery", of 2 s there.)
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from vmio.hardware.accelerator.registers import LIMIT_NS, SLICE_NS
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import NEVER, Timer
from vmio.machine.contracts import Pending, Timers

ENGINE = Form("matrix engine", 1, "waiting", "current", "takes", "over", "busy_ns", "turns", "slice_ends", "used")


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
        self._takes = 0                        # ns that the operation under way takes
        self._slice_ends = NEVER
        self._used: dict[User, int] = {}       # ns of each one's job so far

    def ready(self, user: User) -> None:
        """`user` has work."""
        if user is not self.current and user not in self.waiting:
            self._used[user] = 0
            self.waiting.append(user)
            if self.current is None:
                self._turn()

    def forget(self, user: User) -> None:
        """What `user` had under way is void."""
        self._used.pop(user, None)
        if user in self.waiting:
            self.waiting.remove(user)
        if user is self.current:
            if self._timer is not None:
                self._timer.cancel()
            self.current = self._timer = None
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
            self._used.pop(user, None)
            return False
        self._timer, self._takes = self.clock.call_later(ns, partial(self._done, user, ns)), ns
        return True

    def _done(self, user: User, ns: int) -> None:
        self._timer = None
        self.busy_ns += ns
        self._used[user] += ns
        if self.served is not None:
            self.served(user, (self.clock.now - ns, self.clock.now))
        user.finish()
        if self.current is not user:            # it was reset by what it did
            return
        if self._used[user] > self.limit_ns:
            user.over_limit()
        if self.waiting and self.clock.now >= self._slice_ends:
            self.current = None
            self.waiting.append(user)
            self._turn()
        elif not self._begin(user):
            self.current = None
            self._turn()

    # Checkpoint.

    @property
    def timer(self) -> Timer | None:
        """When the operation under way is over."""
        return self._timer if isinstance(self._timer, Timer) else None

    def save(self, users: Sequence[User]) -> State:
        """Return whose turn it is, and who waits; `users` are all that there are, and are told by their places."""
        places = {user: place for place, user in enumerate(users)}
        return ENGINE.state(
            waiting=[places[user] for user in self.waiting], current=None if self.current is None else places[self.current], takes=self._takes,
            over=self.timer and self.timer.when, busy_ns=self.busy_ns, turns=self.turns, slice_ends=self._slice_ends,
            used=[[places[user], ns] for user, ns in self._used.items()])

    def restore(self, state: State, users: Sequence[User]) -> None:
        """Take back what `save` gave, with the same users; the clock then gets the `timer`."""
        saved = ENGINE.take(state)
        self.waiting = deque(users[place] for place in saved["waiting"])
        self.current = None if saved["current"] is None else users[saved["current"]]
        self.busy_ns, self.turns, self._slice_ends, self._takes = saved["busy_ns"], saved["turns"], saved["slice_ends"], saved["takes"]
        self._used = {users[place]: ns for place, ns in saved["used"]}
        self._timer = None
        if self.current is not None and saved["over"] is not None:
            self._timer = Timer(saved["over"], partial(self._done, self.current, self._takes))
