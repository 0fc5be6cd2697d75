"""Who is next?  What a host I/O scheduler is, what a guest's share is, and the simplest policy: first come, first served.

    scheduler = Fifo()
    scheduler.add("guest0", Share(weight=300))
    scheduler.enqueue(request, now)
    request, when = scheduler.next(now)

A scheduler stands between the requests of many guests and one device.  `next`
is asked only when the device has room; what it gives out it has forgotten.
It knows neither device nor simulation: time is a number in ns that it is told.
Requests of one guest leave in the order in which they came, whatever the
policy; ties between guests go to the one that was added first.
"""

from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

from vmio.host.bucket import SECOND, Bucket
from vmio.host.contracts import Queued

Next: TypeAlias = tuple[Any, int | None]    # (a request, whatever its class, or None; when to ask again, or None)
LEAST_COST = 4096          # bytes: what a flush, or a request of one sector, is charged


LIMITS = {"weight": (1, 10_000), "reservation": (0, 1 << 50), "cap": (1, 1 << 50), "iops": (1, SECOND),
          "burst_ns": (0, 3600 * SECOND)}     # of a share: the least and the most of each


@dataclass(frozen=True)
class Share:
    """What a guest is to get.  Rates in bytes/s, `iops` in requests/s; None is no limit.

    `weight` 1 to 10,000 shares what reservations leave; `reservation` comes first;
    `cap` and `iops` are never exceeded.  `burst_ns`: a token bucket holds the tokens
    of so long an idle time.  Each policy heeds what it can and ignores the rest.
    """

    weight: int = 100
    reservation: int = 0
    cap: int | None = None
    iops: int | None = None
    burst_ns: int = 1_000_000

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if value is None and name in ("cap", "iops"):
                continue
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} {value!r}: {low:,} to {high:,}")
        if self.cap is not None and self.reservation > self.cap:
            raise ValueError(f"reservation {self.reservation:,}: above the cap of {self.cap:,} bytes/s")

    def limit_ns(self, size: int) -> int:
        """Return how long the limits make a request of `size` bytes last, in ns, rounded up; 0 without limits."""
        by_bytes = -(-size * SECOND // self.cap) if self.cap else 0
        return max(by_bytes, -(-SECOND // self.iops)) if self.iops else by_bytes


def cost(request: Queued) -> int:
    """Return what a request is charged, in bytes: small ones and flushes use the device too."""
    return max(request.sectors * 512, LEAST_COST)


class Flow:
    """A guest in a scheduler: its share, its waiting requests; a policy adds what it must remember."""

    start: int                          # `WeightedFair`, `MClock`
    reserve_at: int                     # `MClock`
    limit_at: int
    deficit: int                        # `DeficitRoundRobin`
    quantum: int
    in_turn: bool
    buckets: list[tuple[Bucket, int]]   # `Throttle`

    def __init__(self, name: str, share: Share, order: int) -> None:
        self.name, self.share, self.order = name, share, order
        self.waiting: deque[Queued] = deque()


class Scheduler:
    """What all policies have in common: a queue for each guest.  `len()` is the number of waiting requests.

    A policy has `next`, and may have `_joined`, `_woken`, `_changed` and `_left`.
    """

    def __init__(self) -> None:
        self.flows: dict[str, Flow] = {}   # guest name -> Flow
        self._orders = count()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, guest: str, share: Share = Share(), now: int = 0) -> None:
        """Take a guest in.  ValueError if it is here."""
        if guest in self.flows:
            raise ValueError(f"guest {guest!r}: is here already")
        flow = self.flows[guest] = Flow(guest, share, next(self._orders))
        self._joined(flow, now)

    def change(self, guest: str, share: Share, now: int = 0) -> None:
        """Another share from now on; its requests wait where they are.  KeyError for a guest that is not here."""
        flow = self.flows[guest]
        old, flow.share = flow.share, share
        self._changed(flow, old, now)

    def remove(self, guest: str, now: int = 0) -> list:
        """Let a guest go; returns its waiting requests, oldest first.  KeyError if it is not here."""
        flow = self.flows.pop(guest)
        requests = list(flow.waiting)
        flow.waiting.clear()
        self._waiting -= len(requests)
        self._left(flow, now)
        return requests

    def enqueue(self, request: Queued, now: int) -> None:
        """Let `request` (with `guest` and `sectors`) wait from now on.  KeyError for a guest that is not here."""
        flow = self.flows[request.guest]
        flow.waiting.append(request)
        self._waiting += 1
        if len(flow.waiting) == 1:
            self._woken(flow, now)

    def next(self, now: int) -> Next:
        """Return (request, None), or (None, when to ask again), or (None, None) if nothing waits."""
        raise NotImplementedError

    def _joined(self, flow: Flow, now: int) -> None:
        """A guest has come, with nothing to do."""

    def _woken(self, flow: Flow, now: int) -> None:
        """A guest that had nothing waiting has one request."""

    def _changed(self, flow: Flow, old: Share, now: int) -> None:
        """A guest has another share than `old`."""

    def _left(self, flow: Flow, now: int) -> None:
        """A guest has gone; nothing of it waits any more."""


class Fifo(Scheduler):
    """First come, first served: O(1), no idle device, and whoever asks most gets most."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def enqueue(self, request: Queued, now: int) -> None:
        """At the end."""
        self._queue.append(request)

    def next(self, now: int) -> Next:
        """Return the oldest."""
        return (self._queue.popleft() if self._queue else None), None

    def remove(self, guest: str, now: int = 0) -> list:
        """Let a guest go, as every scheduler; looks at all that wait."""
        super().remove(guest, now)
        requests = [request for request in self._queue if request.guest == guest]
        if requests:
            self._queue = deque(request for request in self._queue if request.guest != guest)
        return requests
