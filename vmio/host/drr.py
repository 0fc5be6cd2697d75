"""Deficit round robin: each guest in turn may send a quantum; what it can't use for a whole request it keeps for later.

Source: M. Shreedhar, G. Varghese, "Efficient Fair Queuing using Deficit Round
Robin", SIGCOMM 1995.  Two guests of one weight that always wait get the same,
to within 2 * largest request + quantum in any interval.
"""

from collections import deque

from vmio.host.scheduler import LEAST_COST, Flow, Next, Scheduler, Share, cost

QUANTUM = 256 << 10        # bytes at weight 100: the largest request that a StorVSP lets through


class DeficitRoundRobin(Scheduler):
    """Heeds weights.  `quantum` in bytes for a weight of 100.

    O(1) a decision while no request is larger than its guest's quantum; if one is,
    rounds in which nobody could send are skipped at once, O(guests).
    """

    def __init__(self, quantum: int = QUANTUM) -> None:
        if not 1 <= quantum <= 1 << 30:
            raise ValueError(f"quantum {quantum}: 1 to {1 << 30:,} bytes")
        super().__init__()
        self.quantum = quantum
        self._active: deque = deque()     # guests with something to do; whose turn it is, is first

    def next(self, now: int) -> Next:
        """Return the next request of the guest whose turn it is, if its deficit lasts; else it's the next guest's turn."""
        active, passed = self._active, 0
        if not active:
            return None, None
        while True:
            flow = active[0]
            if not flow.in_turn:
                flow.in_turn = True
                flow.deficit += flow.quantum
            size = flow.waiting[0].sectors * 512
            if size < LEAST_COST:          # `cost`, without a call: this is the path of every request
                size = LEAST_COST
            if size <= flow.deficit:
                break
            flow.in_turn = False
            active.rotate(-1)
            passed += 1
            if passed % len(active) == 0:
                self._skip_rounds()
        flow.deficit -= size
        self._waiting -= 1
        request = flow.waiting.popleft()
        if not flow.waiting:       # who has nothing to send saves nothing up
            active.popleft()
        return request, None

    def _skip_rounds(self) -> None:
        """Nobody could send in a whole round: give all of them the rounds that remain but the last."""
        rounds = min(-(-(cost(flow.waiting[0]) - flow.deficit) // flow.quantum) for flow in self._active) - 1
        for flow in self._active:
            flow.deficit += rounds * flow.quantum

    def _joined(self, flow: Flow, now: int) -> None:
        self._changed(flow, None, now)

    def _woken(self, flow: Flow, now: int) -> None:
        flow.deficit, flow.in_turn = 0, False
        self._active.append(flow)

    def _changed(self, flow: Flow, old: Share | None, now: int) -> None:
        flow.quantum = max(1, self.quantum * flow.share.weight // 100)

    def _left(self, flow: Flow, now: int) -> None:
        if flow in self._active:
            self._active.remove(flow)
