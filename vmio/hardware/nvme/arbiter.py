"""Arbitration between functions: each in turn may start a burst of sectors, so no function's queue is another's delay.

NVMe arbitrates between the queues of one controller (1.4, "Command
Arbitration": round robin, a bounded burst from each); how a device shares its medium
among the controllers of its virtual functions is the vendor's choice.  Here: round
robin again, by function, with a burst counted in sectors.  A large command is
started in parts, as flash does it, or its length would be its owner's advantage.
"""

from collections import deque

BURST = 64      # sectors that a function may start in a turn


class Arbiter:
    """Stands between controllers and their medium; `service(kind, sectors, done)` is the medium's, `done` called later.

    `window` {kind: sectors} is what the medium has at a time: what it has begun can't be
    overtaken, but with less than its latency times its rate it would idle.  What
    moves no data (a flush) is not in `window`, and does not wait.  `at(ns, call)`
    calls when it is `ns`, for who asks ahead of time; without one nobody does.
    """

    def __init__(self, service, window, at=None):
        self.service, self.window = service, window
        self.at = at or (lambda ns, call: call())
        self.lanes = {kind: _Lane(self, kind) for kind in window}


class Port:
    """A function's own way to the medium: what its controller has as `service`."""

    def __init__(self, arbiter):
        self._arbiter, self._asked, self._resets = arbiter, 0, 0
        self._waiting = {kind: deque() for kind in arbiter.lanes}

    def arrived(self, ns):
        """Commands from now on come in at `ns` or later: this function's guest is so far, the others need not be."""
        self._asked = max(self._asked, ns)

    def __call__(self, kind, sectors, done):
        """As the medium's own: `done()` is called when it has moved all `sectors`."""
        resets = self._resets
        self._arbiter.at(self._asked, lambda: resets == self._resets and self._come(kind, sectors, done))

    def _come(self, kind, sectors, done):
        if kind not in self._waiting:
            self._arbiter.service(kind, sectors, done)
            return
        waiting, lane = self._waiting[kind], self._arbiter.lanes[kind]
        waiting.append(_Command(sectors, done))
        if len(waiting) == 1:
            lane.turns.append(waiting)
        lane.start()

    def forget(self):
        """The function is reset: what the medium has not begun is void."""
        self._resets += 1
        for kind, waiting in self._waiting.items():
            if waiting:
                self._arbiter.lanes[kind].turns.remove(waiting)
                waiting.clear()


class _Command:
    """Sectors that the medium has still to begin, and to end."""

    __slots__ = ("to_begin", "to_end", "done")

    def __init__(self, sectors, done):
        self.to_begin = self.to_end = sectors
        self.done = done


class _Lane:
    """The functions that wait with commands of one kind; whose turn it is, is first in `turns`."""

    def __init__(self, arbiter, kind):
        self.arbiter, self.kind, self.turns = arbiter, kind, deque()
        self.under_way = 0

    def start(self):
        """Begin what the window has room for, a burst from each function in turn."""
        while self.turns and self.under_way < self.arbiter.window[self.kind]:
            waiting, burst = self.turns.popleft(), BURST
            while waiting and burst:
                command = waiting[0]
                part = min(command.to_begin, burst)
                command.to_begin -= part
                burst -= part
                if not command.to_begin:
                    waiting.popleft()
                self._begin(command, part)
            if waiting:
                self.turns.append(waiting)

    def _begin(self, command, sectors):
        def over():
            self.under_way -= sectors
            command.to_end -= sectors
            try:
                if not command.to_end:
                    command.done()
            finally:
                self.start()        # whatever came of this one, the others go on
        self.under_way += sectors
        self.arbiter.service(self.kind, sectors, over)
