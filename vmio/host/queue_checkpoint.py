"""A policy of the block layer as plain data and back: who waits, in which order, and what the policy remembers of each guest.

Requests are the block layer's, and have numbers there.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from vmio.host.contracts import Queued
from vmio.host.drr import DeficitRoundRobin
from vmio.host.mclock import TagHeap
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import Flow, Scheduler, Share
from vmio.host.bucket import Bucket
from vmio.machine.checkpoint import CheckpointRefused, Form, State

QUEUE = Form("policy", 1, "policy", "quantum", "clocks", "flows", "line", "heaps", "inner")
FLOW = Form("guest in a queue", 2, "name", "share", "order", "waiting", "marks", "buckets")
BUCKET = Form("token bucket", 1, "rate", "size", "cooldown_ns", "level", "at", "closed_until", "pays")
NAMES = {kind: name for name, kind in POLICIES.items()}
SHARE = ("weight", "reservation", "cap", "iops", "burst_ns")
MARKS = ("start", "reserve_at", "limit_at", "deficit", "quantum", "in_turn")      # of a guest: those that its policy has
CLOCKS = ("virtual", "due")                                                       # of a policy
HEAPS = ("_heap", "_closed", "_reserved", "_allowed", "_capped")


def waiting(queue: Scheduler) -> Iterator[Any]:
    """Yield all requests that wait in it."""
    for flow in queue.flows.values():
        yield from flow.waiting
    yield from getattr(queue, "_queue", ())
    if hasattr(queue, "inner"):
        yield from waiting(queue.inner)


def save(queue: Scheduler, numbers: dict[int, int]) -> State:
    """Return it; `numbers` are those of the requests, by id.  `CheckpointRefused` for a policy that has no name."""
    if type(queue) not in NAMES:
        raise CheckpointRefused(f"checkpoint: the policy {type(queue).__name__} can't be saved; {', '.join(POLICIES)} can")
    line = [numbers[id(each)] for each in getattr(queue, "_queue", ())] or [flow.name for flow in getattr(queue, "_active", ())]
    return QUEUE.state(
        policy=NAMES[type(queue)], quantum=getattr(queue, "quantum", None), flows=[_save_flow(each, numbers) for each in queue.flows.values()],
        clocks={name: getattr(queue, name) for name in CLOCKS if hasattr(queue, name)}, line=line,
        heaps={name: [[key, order, flow.name] for key, order, flow in _entries(getattr(queue, name))]
               for name in HEAPS if hasattr(queue, name)},
        inner=save(queue.inner, numbers) if hasattr(queue, "inner") else None)


def restore(state: State, requests: Sequence[Queued]) -> Scheduler:
    """Return the policy that was saved, with these requests in it."""
    saved = QUEUE.take(state)
    queue: Any = make(saved["policy"])
    if saved["quantum"] is not None:
        queue = DeficitRoundRobin(saved["quantum"])
    if saved["inner"] is not None:
        queue.inner = restore(saved["inner"], requests)
    for each in saved["flows"]:
        flow = _restore_flow(each, requests)
        queue.flows[flow.name] = flow
        queue._waiting += len(flow.waiting)
    queue._orders = count(1 + max((flow.order for flow in queue.flows.values()), default=-1))
    for name, value in saved["clocks"].items():
        if name not in CLOCKS or not hasattr(queue, name):
            raise CheckpointRefused(f"checkpoint, policy {saved['policy']}: unknown entry {name!r}")
        setattr(queue, name, value)
    if hasattr(queue, "_queue"):
        queue._queue = deque(requests[number] for number in saved["line"])
    elif hasattr(queue, "_active"):
        queue._active = deque(queue.flows[name] for name in saved["line"])
    for name, entries in saved["heaps"].items():
        if name not in HEAPS or not hasattr(queue, name):
            raise CheckpointRefused(f"checkpoint, policy {saved['policy']}: unknown entry {name!r}")
        heap = getattr(queue, name)
        _entries(heap)[:] = [(key, order, queue.flows[guest]) for key, order, guest in entries]
        if not isinstance(heap, list):
            heap._in = {order for _, order, _ in entries}
    return queue


def _entries(heap: list[tuple[int, int, Flow]] | TagHeap) -> list[tuple[int, int, Flow]]:
    """What is in a heap, or in a `TagHeap`."""
    return heap if isinstance(heap, list) else heap._heap


def _save_flow(flow: Flow, numbers: dict[int, int]) -> State:
    return FLOW.state(name=flow.name, share=[getattr(flow.share, name) for name in SHARE], order=flow.order,
                      waiting=[numbers[id(each)] for each in flow.waiting],
                      marks={name: getattr(flow, name) for name in MARKS if hasattr(flow, name)},
                      buckets=[_save_bucket(*each) for each in getattr(flow, "buckets", ())])


def _restore_flow(state: State, requests: Sequence[Queued]) -> Flow:
    saved = FLOW.take(state)
    flow = Flow(saved["name"], Share(*saved["share"]), saved["order"])
    flow.waiting.extend(requests[number] for number in saved["waiting"])
    for name, value in saved["marks"].items():
        if name not in MARKS:
            raise CheckpointRefused(f"checkpoint, guest in a queue: unknown entry {name!r}")
        setattr(flow, name, value)
    flow.buckets = [_restore_bucket(each) for each in saved["buckets"]]
    return flow


def _save_bucket(bucket: Bucket, pays: int) -> State:
    return BUCKET.state(rate=bucket.rate, size=bucket.size, cooldown_ns=bucket.cooldown_ns, level=bucket._level, at=bucket._at,
                        closed_until=bucket._closed_until, pays=pays)


def _restore_bucket(state: State) -> tuple[Bucket, int]:
    saved = BUCKET.take(state)
    bucket = Bucket(saved["rate"], saved["size"], saved["cooldown_ns"])
    bucket._level, bucket._at, bucket._closed_until = saved["level"], saved["at"], saved["closed_until"]
    return bucket, saved["pays"]
