"""What a scheduling decision costs, from 1 to 256 guests, and what a whole timeline of many guests takes.

Processor time: a decision waits for nothing.
"""

from collections.abc import Callable

from vmio.bench import Row, cost, ratios, row, sampler, turns
from vmio.experiments.sharing import SharedGuest, SharingParams, run_sharing
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import Share


class _Request:
    __slots__ = ("guest", "sectors")

    def __init__(self, guest: str) -> None:
        self.guest, self.sectors = guest, 8


def _decisions(policy: str, guests: int) -> Callable[[int], None]:
    """Work for a sampler: n times one request comes in and one goes out, with four of each guest waiting."""
    scheduler = make(policy)
    requests = [_Request(f"g{n}") for n in range(guests)]
    for n, request in enumerate(requests):
        scheduler.add(request.guest, Share(100 + n % 7 * 50, reservation=n % 3 * 1_000_000, cap=1 << 40))
        for _ in range(4):
            scheduler.enqueue(request, 0)
    enqueue, choose, now = scheduler.enqueue, scheduler.next, 0

    def work(count: int) -> None:
        nonlocal now
        for _ in range(count):
            now += 700             # ns: a 4 KiB read at the disk's full rate
            request, _ = choose(now)
            enqueue(request, now)
    return work


class _Timeline:
    """A whole timeline of so many guests, with 256 requests going; set-up included."""

    def __init__(self, guests: int, ms: int) -> None:
        self.params = SharingParams(tuple(SharedGuest(f"g{n}", queue_depth=256 // guests) for n in range(guests)),
                                    duration_ns=ms * 1_000_000)
        self.requests = 0
        self._run = cost(self._once)

    def _once(self) -> None:
        self.requests = int(run_sharing(self.params, "mclock").requests.sum())

    def whole(self) -> float:
        """ns of it all."""
        return self._run()

    def each(self) -> float:
        """ns a request."""
        return self._run() / self.requests


def measure() -> list[Row]:
    """Return each policy's decision over that of FIFO with one guest, and its growth with the guests; then whole timelines."""
    subjects = {(policy, guests): sampler(_decisions(policy, guests)) for policy in POLICIES for guests in (1, 256)}
    ns = turns(subjects)
    rows = []
    for policy in POLICIES:
        one, many = ns[policy, 1], ns[policy, 256]
        rows += [row(f"{policy}: a decision, over fifo's", ratios(one, ns["fifo", 1])),
                 row(f"{policy}: a decision, 256 guests over 1", ratios(many, one),
                     "O(1)" if policy in ("fifo", "drr") else "O(log)")]
    rows.append(row("mclock: one decision of 256 guests, us", [each / 1000 for each in ns["mclock", 256]]))
    each_io = turns({guests: _Timeline(guests, 50).each for guests in (1, 16, 256)}, rounds=5)
    short = _Timeline(256, 20)
    whole = turns({256: short.whole}, rounds=5)[256]
    return rows + [row("timeline under mclock: cost per I/O, 16 guests over 1", ratios(each_io[16], each_io[1]), "at most 1.5"),
                   row("timeline under mclock: cost per I/O, 256 guests over 1", ratios(each_io[256], each_io[1]), "at most 1.5"),
                   row(f"timeline of 256 guests, {short.requests:,} requests, CPU ms", [each / 1e6 for each in whole],
                       "at most 200")]
