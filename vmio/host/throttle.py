"""Token buckets: a guest pays for each request before the scheduler sees it.

A limit is not a share: a device
that is idle stays idle while the buckets are empty.  Linux's blk-throttle,
QEMU's throttle groups, Firecracker and Cloud Hypervisor limit disks so.
"""

from heapq import heapify, heappop, heappush

from vmio.host.bucket import SECOND, Bucket
from vmio.host.contracts import Queued
from vmio.host.scheduler import Fifo, Flow, Next, Scheduler, Share, cost


class Throttle(Scheduler):
    """Limits of bytes and requests (`cap`, `iops`, `burst_ns`) in front of `inner`, which does the rest.

    O(log guests) a request.
    """

    def __init__(self, inner: Scheduler | None = None) -> None:
        super().__init__()
        self.inner = Fifo() if inner is None else inner
        self._closed: list[tuple[int, int, Flow]] = []   # (when it may go on, order, flow) of each guest that has to wait

    def __len__(self) -> int:
        return self._waiting + len(self.inner)

    def add(self, guest: str, share: Share = Share(), now: int = 0) -> None:
        """Take a guest in, as every scheduler, here and in `inner`."""
        super().add(guest, share, now)
        self.inner.add(guest, share, now)

    def change(self, guest: str, share: Share, now: int = 0) -> None:
        """Give a guest another share; its buckets begin anew, full."""
        self.inner.change(guest, share, now)
        super().change(guest, share, now)

    def remove(self, guest: str, now: int = 0) -> list:
        """Let a guest go; of its waiting requests what has paid comes first."""
        return self.inner.remove(guest, now) + super().remove(guest, now)

    def enqueue(self, request: Queued, now: int) -> None:
        """Straight to `inner` if it can be paid for."""
        flow = self.flows[request.guest]
        if not flow.waiting and self._pay(flow, request, now):
            self.inner.enqueue(request, now)
            return
        flow.waiting.append(request)
        self._waiting += 1
        if len(flow.waiting) == 1:
            self._close(flow, now)

    def next(self, now: int) -> Next:
        """Let through what can be paid for by now; then as `inner` says."""
        closed = self._closed
        while closed and closed[0][0] <= now:
            _, _, flow = heappop(closed)
            while flow.waiting and self._pay(flow, flow.waiting[0], now):
                self.inner.enqueue(flow.waiting.popleft(), now)
                self._waiting -= 1
            if flow.waiting:
                self._close(flow, now)
        request, when = self.inner.next(now)
        if request is None and closed:
            when = closed[0][0] if when is None else min(when, closed[0][0])
        return request, when

    def _pay(self, flow: Flow, request: Queued, now: int) -> bool:
        """Take the request's tokens from all buckets of its guest, or from none."""
        amounts = (cost(request), 1)
        for bucket, which in flow.buckets:
            if bucket.ready(amounts[which], now) > now:
                return False
        for bucket, which in flow.buckets:
            bucket.take(amounts[which])
        return True

    def _close(self, flow: Flow, now: int) -> None:
        amounts = (cost(flow.waiting[0]), 1)
        when = max((bucket.ready(amounts[which], now) for bucket, which in flow.buckets), default=now)
        heappush(self._closed, (when, flow.order, flow))

    def _joined(self, flow: Flow, now: int) -> None:
        share = flow.share
        flow.buckets = [(Bucket(rate, max(1, rate * share.burst_ns // SECOND), now=now), which)
                        for which, rate in enumerate((share.cap, share.iops)) if rate]

    def _changed(self, flow: Flow, old: Share, now: int) -> None:
        self._joined(flow, now)
        self._left(flow, now)

    def _left(self, flow: Flow, now: int) -> None:
        """Look anew at all who wait."""
        self._closed = [(now, each.order, each) for each in self.flows.values() if each.waiting]
        heapify(self._closed)
