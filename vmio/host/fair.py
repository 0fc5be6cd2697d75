"""Weighted fair queueing by start tags: a virtual clock for each guest, which runs slower the more weight it has.

A request of `size` bytes moves its guest's clock on by size / weight; whose
clock is furthest behind is next.  The scheduler's own virtual time is that of
the request given out last; a guest that was idle starts from there, so that
idleness earns nothing.

Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queuing", SIGCOMM 1996:
two guests that always wait differ, in size / weight, by no more than the sum of
a largest request of each.  With several requests at the device at a time: W.
Jin, J. Chase, J. Kaur, "Interposed Proportional Sharing for a Storage Service
Utility", SIGMETRICS 2004.
"""

from heapq import heapify, heappop, heappush, heapreplace

from vmio.host.scheduler import Flow, Next, Scheduler, Share, cost

SCALE = 1 << 20            # virtual time has so many units for one byte at weight 1: integers, no rounding to speak of


class WeightedFair(Scheduler):
    """Heeds weights; O(log guests) a decision.  Never lets the device idle while something waits."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual = 0
        self._heap: list[tuple[int, int, Flow]] = []   # (start tag, order, flow) of each guest with something to do

    def next(self, now: int) -> Next:
        """Return the request with the smallest start tag."""
        heap = self._heap
        if not heap:
            return None, None
        self.virtual, order, flow = heap[0]
        request = flow.waiting.popleft()
        self._waiting -= 1
        flow.start = self.virtual + cost(request) * SCALE // flow.share.weight
        if flow.waiting:
            heapreplace(heap, (flow.start, order, flow))
        else:
            heappop(heap)
        return request, None

    def _joined(self, flow: Flow, now: int) -> None:
        flow.start = self.virtual

    def _woken(self, flow: Flow, now: int) -> None:
        flow.start = max(flow.start, self.virtual)
        heappush(self._heap, (flow.start, flow.order, flow))

    def _changed(self, flow: Flow, old: Share, now: int) -> None:
        """What it has been charged for is charged at the new weight: it neither gains nor loses a turn it is due."""
        ahead = max(0, flow.start - self.virtual)
        flow.start = self.virtual + ahead * old.weight // flow.share.weight
        self._rebuild()

    def _left(self, flow: Flow, now: int) -> None:
        self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(flow.start, flow.order, flow) for flow in self.flows.values() if flow.waiting]
        heapify(self._heap)
