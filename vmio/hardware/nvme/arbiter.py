"""Arbitration between functions: each in turn may start a burst of sectors, so no function's queue is another's delay.

NVMe arbitrates between the queues of one controller (1.4, "Command
Arbitration": round robin, a bounded burst from each); how a device shares its medium
among the controllers of its virtual functions is the vendor's choice.  Here: round
robin again, by function, with a burst counted in sectors, or in `weight` bursts: the
standard's weighted round robin (4.13.2), which is one of queues, for functions.  A
large command is started in parts, as flash does it, or its length would be its owner's
advantage.
"""

from collections import deque
from collections.abc import Callable, Mapping

from vmio.devices.ata.contracts import Service
from vmio.hardware.nvme.contracts import At

BURST = 64      # sectors that a function may start in a turn
MAX_WEIGHT = 256    # the standard's weights have 8 bits, 0 for 1 (5.21.1.1)


class Arbiter:
    """Stands between controllers and their medium; `service(op, sectors, done)` is the medium's, `done` called later.

    `window` {op: sectors} is what the medium has at a time: what it has begun can't be
    overtaken, but with less than its latency times its rate it would idle.  What
    moves no data (a flush) is not in `window`, and does not wait.  `at(ns, call)`
    calls when it is `ns`, for who asks ahead of time; without one nobody does.
    """

    def __init__(self, service: Service, window: Mapping[str, int], at: At | None = None) -> None:
        self.service, self.window = service, window
        self.at: At = at or (lambda ns, call: call())
        self.lanes = {op: Lane(self, op) for op in window}


class Port:
    """A function's own way to the medium: what its controller has as `service`.  In its turn it may start `weight` bursts."""

    def __init__(self, arbiter: "Arbiter", weight: int = 1) -> None:
        if not isinstance(weight, int) or not 1 <= weight <= MAX_WEIGHT:
            raise ValueError(f"weight of a function {weight!r}: 1 to {MAX_WEIGHT}")
        self._arbiter, self.asked, self.resets = arbiter, 0, 0
        self.waiting: dict[str, Waiting] = {op: Waiting(weight * BURST) for op in arbiter.lanes}

    def arrived(self, ns: int) -> None:
        """Commands from now on come in at `ns` or later: this function's guest is so far, the others need not be."""
        self.asked = max(self.asked, ns)

    def __call__(self, op: str, sectors: int, done: Callable[[], None]) -> None:
        """As the medium's own: `done()` is called when it has moved all `sectors`."""
        self._arbiter.at(self.asked, Coming(self, self.resets, op, sectors, done))

    def come(self, op: str, sectors: int, done: Callable[[], None]) -> None:
        """A command has come in, and waits for the medium if it moves data."""
        if op not in self.waiting:
            self._arbiter.service(op, sectors, done)
            return
        waiting, lane = self.waiting[op], self._arbiter.lanes[op]
        waiting.append(Command(sectors, done))
        if len(waiting) == 1:
            lane.turns.append(waiting)
        lane.start()

    def forget(self) -> None:
        """The function is reset: what the medium has not begun is void."""
        self.resets += 1
        for op, waiting in self.waiting.items():
            if waiting:
                self._arbiter.lanes[op].turns.remove(waiting)
                waiting.clear()


class Waiting(deque["Command"]):
    """The commands of one function and one op that have not begun as a whole; in its turn it may start `burst` sectors."""

    def __init__(self, burst: int) -> None:
        super().__init__()
        self.burst = burst


class Coming:
    """A command on its way to `port`, where it comes in when this is called, unless the function was reset meanwhile."""

    __slots__ = ("port", "resets", "op", "sectors", "done")

    def __init__(self, port: Port, resets: int, op: str, sectors: int, done: Callable[[], None]) -> None:
        self.port, self.resets, self.op, self.sectors, self.done = port, resets, op, sectors, done

    def __call__(self) -> None:
        if self.resets == self.port.resets:
            self.port.come(self.op, self.sectors, self.done)


class Command:
    """Sectors that the medium has still to begin, and to end."""

    __slots__ = ("to_begin", "to_end", "done")

    def __init__(self, sectors: int, done: Callable[[], None]) -> None:
        self.to_begin = self.to_end = sectors
        self.done = done


class Begun:
    """`sectors` of `command` that the medium has in hand; it calls this when they are over."""

    __slots__ = ("lane", "command", "sectors")

    def __init__(self, lane: "Lane", command: Command, sectors: int) -> None:
        self.lane, self.command, self.sectors = lane, command, sectors

    def __call__(self) -> None:
        self.lane.ended(self.command, self.sectors)


class Lane:
    """The functions that wait with commands of one op; whose turn it is, is first in `turns`."""

    def __init__(self, arbiter: Arbiter, op: str) -> None:
        self.arbiter, self.op = arbiter, op
        self.turns: deque[Waiting] = deque()
        self.under_way = 0

    def start(self) -> None:
        """Begin what the window has room for, a burst from each function in turn."""
        while self.turns and self.under_way < self.arbiter.window[self.op]:
            waiting = self.turns.popleft()
            burst = waiting.burst
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

    def _begin(self, command: Command, sectors: int) -> None:
        self.under_way += sectors
        self.arbiter.service(self.op, sectors, Begun(self, command, sectors))

    def ended(self, command: Command, sectors: int) -> None:
        """The medium has ended so many sectors of a command."""
        self.under_way -= sectors
        command.to_end -= sectors
        try:
            if not command.to_end:
                command.done()
        finally:
            self.start()        # whatever came of this one, the others go on
