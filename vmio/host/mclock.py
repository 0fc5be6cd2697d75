"""mClock: proportional shares between a floor and a ceiling, by three tags a guest.

    reservation tag   when its next request is due, at `reservation` bytes/s
    limit tag         from when on its next request is allowed, at `cap` bytes/s and `iops` requests/s
    share tag         its virtual clock, as in weighted fair queueing

What is due goes first, the most overdue before the others.  If nothing is due,
the smallest share tag goes, among those that are allowed.  Only what went
because it was due moves the reservation tag: a guest's fair share is not taken
for its reservation.  No tag of a guest that was idle lies in the past.

Source: A. Gulati, A. Merchant, P. Varman, "mClock: Handling Throughput
Variability for Hypervisor IO Scheduling", OSDI 2010; held against Ceph's dmClock
(github.com/ceph/dmclock, src/dmclock_server.h: `tag_calc`, `do_next_request`,
`reduce_reservation_tags`).  There a tag is max(arrival, last tag + cost / rate), and
what goes by weight takes its step of the reservation tag back; here that step is
not made.  Four things differ.  The paper counts requests, we count bytes.  A tag
moves on by the size of the request that has gone, not of the one that comes next.
A limit tag that lies in the past is brought to now: a guest that was late does not
catch up above its cap.  The paper moves share tags when a guest wakes, which is
O(guests); here they are start tags in virtual time (`fair.py`), O(log guests).

Reservations must sum up to less than the device can do: beyond that, guests
without one get nothing.
"""

from heapq import heappop, heappush, heapreplace
from operator import attrgetter

from vmio.host.contracts import Queued
from vmio.host.fair import SCALE
from vmio.host.scheduler import SECOND, Flow, Next, Scheduler, Share, cost


class TagHeap:
    """Guests by a tag that only grows.

    Each has at most one entry.  An entry whose guest has moved on is put right when
    it comes to the top, one whose guest has nothing to do any more is dropped there.
    """

    def __init__(self, tag: str) -> None:
        self._tag = attrgetter(tag)
        self._heap: list[tuple[int, int, Flow]] = []
        self._in: set[int] = set()

    def add(self, flow: Flow) -> None:
        """Put it in, unless it is in."""
        if flow.order not in self._in:
            self._in.add(flow.order)
            heappush(self._heap, (self._tag(flow), flow.order, flow))

    def top(self) -> Flow | None:
        """Return the guest with the smallest tag of those that have something to do, or None."""
        heap, tag = self._heap, self._tag
        while heap:
            entry, order, flow = heap[0]
            if not flow.waiting:
                self.pop()
            elif (current := tag(flow)) > entry:
                heapreplace(heap, (current, order, flow))
            else:
                return flow
        return None

    def pop(self) -> None:
        """Take the top one out."""
        self._in.discard(heappop(self._heap)[1])


class MClock(Scheduler):
    """Heeds weights, reservations, caps and `iops`; O(log guests) a decision, O(guests) a change of shares."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual = 0
        self.due = 0               # requests that went because of a reservation
        self._rebuild()

    def next(self, now: int) -> Next:
        """Return what is due; else by weight what is allowed; else when something will be."""
        while (flow := self._capped.top()) is not None and flow.limit_at <= now:
            self._capped.pop()
            flow.start = max(flow.start, self.virtual)   # having been capped earns nothing
            self._allowed.add(flow)
        reserved, first = self._reserved.top(), self._first_allowed(now)
        if reserved is not None and reserved.reserve_at <= now:
            self.virtual = max(self.virtual, (first or reserved).start)
            reserved.reserve_at += cost(reserved.waiting[0]) * SECOND // reserved.share.reservation
            self.due += 1
            return self._pass(reserved, now), None
        if first is not None:
            self.virtual = max(self.virtual, first.start)
            return self._pass(first, now), None
        capped = self._capped.top()
        if capped is None:
            return None, None      # whoever waits is capped, if it is not allowed
        return None, capped.limit_at if reserved is None else min(capped.limit_at, reserved.reserve_at)

    def _first_allowed(self, now: int) -> Flow | None:
        """The guest with the smallest share tag whose limit tag is not in the future, or None."""
        while (flow := self._allowed.top()) is not None and flow.limit_at > now:
            self._allowed.pop()
            self._capped.add(flow)
        return flow

    def _pass(self, flow: Flow, now: int) -> Queued:
        """Take its next request out; move share and limit tag on."""
        request = flow.waiting.popleft()
        self._waiting -= 1
        size = cost(request)
        flow.start += size * SCALE // flow.share.weight
        flow.limit_at = max(flow.limit_at + flow.share.limit_ns(size), now)   # lateness is made up for once at most
        return request

    def _joined(self, flow: Flow, now: int) -> None:
        flow.start, flow.reserve_at, flow.limit_at = self.virtual, now, now

    def _woken(self, flow: Flow, now: int) -> None:
        flow.start = max(flow.start, self.virtual)
        flow.reserve_at, flow.limit_at = max(flow.reserve_at, now), max(flow.limit_at, now)
        self._place(flow)

    def _place(self, flow: Flow) -> None:
        self._allowed.add(flow)    # if it is not allowed, that shows when it comes to the top
        if flow.share.reservation:
            self._reserved.add(flow)

    def _changed(self, flow: Flow, old: Share, now: int) -> None:
        """What the old share still makes it wait for is rescaled to the new one."""
        new = flow.share
        flow.start = self.virtual + max(0, flow.start - self.virtual) * old.weight // new.weight
        flow.reserve_at = now + (max(0, flow.reserve_at - now) * old.reservation // new.reservation
                                 if new.reservation else 0)
        before, after = old.limit_ns(SECOND), new.limit_ns(SECOND)
        flow.limit_at = now + (max(0, flow.limit_at - now) * after // before if before else 0)
        self._rebuild()

    def _left(self, flow: Flow, now: int) -> None:
        self._rebuild()

    def _rebuild(self) -> None:
        self._reserved, self._allowed, self._capped = TagHeap("reserve_at"), TagHeap("start"), TagHeap("limit_at")
        for flow in self.flows.values():
            if flow.waiting:
                self._place(flow)
