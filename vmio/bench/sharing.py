"""What a scheduling decision costs, from 1 to 256 guests, and what a whole timeline of many guests takes.

Processor time: a decision waits for nothing.
"""

from time import process_time

from vmio.bench import best
from vmio.experiments.sharing import SharedGuest, SharingParams, run_sharing
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import Share

DECISIONS = 4096


class _Request:
    __slots__ = ("guest", "sectors")

    def __init__(self, guest):
        self.guest, self.sectors = guest, 8


def _decision(policy, guests):
    """Seconds for one request to come in and one to go out, with four of each guest waiting."""
    scheduler = make(policy)
    requests = [_Request(f"g{n}") for n in range(guests)]
    for n, request in enumerate(requests):
        scheduler.add(request.guest, Share(100 + n % 7 * 50, reservation=n % 3 * 1_000_000, cap=1 << 40))
        for _ in range(4):
            scheduler.enqueue(request, 0)
    now, enqueue, choose = 0, scheduler.enqueue, scheduler.next
    start = process_time()
    for _ in range(DECISIONS):
        now += 700             # ns: a 4 KiB read at the disk's full rate
        request, _ = choose(now)
        enqueue(request, now)
    return (process_time() - start) / DECISIONS


def _timeline(guests, policy, ms=50):
    """(seconds, requests) of `ms` of virtual time, with 256 requests going; set-up included."""
    params = SharingParams(tuple(SharedGuest(f"g{n}", queue_depth=256 // guests) for n in range(guests)),
                           duration_ns=ms * 1_000_000)
    start = process_time()
    result = run_sharing(params, policy)
    return process_time() - start, int(result.requests.sum())


def measure():
    """Each policy's decision over that of FIFO with one guest, and its growth with the guests; then whole timelines."""
    floor = best(lambda: _decision("fifo", 1))
    rows = []
    for policy in POLICIES:
        one, many = (best(lambda n=n: _decision(policy, n)) for n in (1, 256))
        rows += [(f"{policy}: a decision, over fifo's", one / floor, ""),
                 (f"{policy}: a decision, 256 guests over 1", many / one, "O(1)" if policy in ("fifo", "drr") else "O(log)")]
    rows.append(("mclock: one decision of 256 guests, us", many * 1e6, ""))
    each = {n: best(lambda n=n: (lambda run: run[0] / run[1])(_timeline(n, "mclock")), 3) for n in (1, 16, 256)}
    seconds, requests = min(_timeline(256, "mclock", 20) for _ in range(3))
    return rows + [("timeline under mclock: cost per I/O, 16 guests over 1", each[16] / each[1], "at most 1.5"),
                   ("timeline under mclock: cost per I/O, 256 guests over 1", each[256] / each[1], "at most 1.5"),
                   (f"timeline of 256 guests, {requests:,} requests, ms", seconds * 1000, "at most 200")]
