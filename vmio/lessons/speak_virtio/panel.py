"""Tables and panel of *Speak virtio*: one ring beside VMBus's, what it costs to tell each other, and a real Linux that uses our queues."""

from collections.abc import Callable
from functools import lru_cache
from textwrap import fill
from typing import Any

from vmio.experiments import queueload, ringload
from vmio.experiments.queueload import FORMS, QueueParams, QueueResult
from vmio.experiments.ringload import LoadParams, LoadResult
from vmio.lab import charts
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, still
from vmio.lab.panel import Panel, Shown
from vmio.lessons.speak_virtio import live, recorded
from vmio.lessons.speak_virtio.rings import HEADER, STATUS, Small, fit, slots
from vmio.table import table
from vmio.virtio.queue import need_event

RING_KIB, REQUEST_BYTES = 64, 64        # VMBus's rings beside the virtqueue: never full here
SAMPLES = [(event, new, old) for event in (0, 1, 3, 5, 65_535) for old in (0, 3, 65_534) for new in (old, old + 1 & 0xFFFF, old + 4 & 0xFFFF)]
_boots: list[live.Boot] = []


# One request, byte by byte.

def one_request(form: str, indirect: bool = False) -> Small:
    """A queue with one request in it: a header of 16 bytes, 512 bytes for data, a byte for the status."""
    small = Small(form, indirect=indirect)
    small.add([HEADER], [512, STATUS])
    small.driver.publish()
    return small


def pieces_table() -> str:
    """Descriptors that requests take, and requests that fit into a ring of 128, by the pieces of their data."""
    rows = [(count, *(cell for indirect in (False, True) for cell in (slots("split", count, indirect), fit("split", 128, count, indirect))))
            for count in (1, 4, 16, 64)]
    return table(rows, ("pieces", "descriptors", "fit in 128", "with a table", "fit in 128"), ">>>>>")


def requests_that_fit(pieces: int = 16, entries: int = 128) -> int:
    """Return how many requests with so many pieces of data a ring holds without indirect tables."""
    return fit("split", entries, pieces, False)


# Who tells whom.

@lru_cache(maxsize=1024)
def counted(**params: Any) -> QueueResult:
    """48 requests through a virtqueue."""
    return queueload.run(QueueParams(**params))


@lru_cache(maxsize=256)
def vmbus(queue_depth: int, batch: int = 4) -> LoadResult:
    """The same work over two rings of VMBus."""
    return ringload.run(LoadParams(queue_depth=queue_depth, batch=batch, ring_kib=RING_KIB, request_bytes=REQUEST_BYTES))


def kicks(depth: int = 16, event_idx: bool = True) -> int:
    """Return how often the guest kicks for 48 requests, so many in flight."""
    return counted(queue_depth=depth, event_idx=event_idx).kicks


def telling_table(depths: tuple[int, ...] = (1, 4, 16, 64)) -> str:
    """48 requests: how often each side was told, with flags, with event indices, and over VMBus."""
    rows = []
    for depth in depths:
        flags, events, other = counted(queue_depth=depth, event_idx=False), counted(queue_depth=depth), vmbus(depth)
        rows.append((depth, flags.kicks, flags.interrupts, events.kicks, events.interrupts, other.signals, other.interrupts))
    return table(rows, ("in flight", "flags: kicks", "interrupts", "events: kicks", "interrupts", "VMBus: signals", "interrupts"), ">>>>>>>")


def looks_table(depth: int = 16) -> str:
    """Reads and writes of the shared memory for each of 48 requests, by form and side."""
    rows = []
    for pieces in (1, 16):
        for indirect in (False, True):
            for form in FORMS:
                one = counted(virtqueue=form, queue_depth=depth, pieces=pieces, indirect=indirect)
                rows.append((pieces, "a table" if indirect else "the ring", form, *(count / one.params.requests for count in one.looks.values())))
    return table(rows, ("pieces", "descriptors in", "form", "driver", "device"), "><<>>")


# The panel.

def _model(**params: Any) -> QueueResult:
    return counted(**params)


def _view(one: QueueResult) -> Shown:
    params, other = one.params, vmbus(one.params.queue_depth, one.params.batch)
    told = {"kicks": one.kicks, "interrupts": one.interrupts, "VMBus: signals": other.signals, "VMBus: interrupts": other.interrupts}
    looks = {name: count / params.requests for name, count in one.looks.items()}
    text = "\n".join([
        f"{params.requests} requests, {params.queue_depth} in flight, batch {params.batch}",
        f"{params.virtqueue}, {'event index' if params.event_idx else 'flags'}, "
        f"{'tables' if params.indirect else 'no tables'}",
        f"data of a request: pieces {params.pieces}", "",
        f"descriptors a request    {one.slots // params.requests:>6}",
        f"most of {params.entries:>3} at once      {one.most_slots:>6}",
        f"requests in flight       {one.most_requests:>6}",
        f"ring full, times         {one.full:>6}",
        f"us a request, virtio     {one.virtual_ns / 1000 / params.requests:>6.2f}",
        f"us a request, VMBus      {other.virtual_ns / 1000 / params.requests:>6.2f}", "",
        table([(name, count, count / params.requests) for name, count in told.items()], ("48 requests", "count", "each"))])
    return text, [charts.bars("Who was told how often", told, "times for 48 requests"),
                  charts.bars("Looks at shared memory", looks, "reads and writes a request", color="split")]


# Ends first: where a control matters, they mostly show it.
MOVES: dict[str, tuple[tuple[int, ...], str]] = {
    "event_idx": ((False, True), "with one request at a time each side is told of each, whichever way it asks"),
    "entries": ((32, 256, 64, 128), "the ring has room for all that is in flight"),
    "pieces": ((1, 16, 2, 4, 8), "a table takes one descriptor, and is written and read in one look, whatever pieces it has"),
    "queue_depth": ((1, 64, 2, 4, 8, 16, 32), "the ring has room for one request"),
    "batch": ((1, 16, 2, 4, 8), "the host never finds two requests at once")}


@later
def _idle(**params: Any) -> Asking:
    """Which controls change nothing, and why; only a run can know it."""
    return (yield from still(_model, _numbers, params, MOVES))


def _numbers(one: QueueResult) -> tuple[str, list[None], list[Any]]:
    """What is shown of a run, as a drawing's traits: without the settings, and times as they are rounded."""
    other, each = vmbus(one.params.queue_depth, one.params.batch), 1000 * one.params.requests
    return "", [], [one.kicks, one.interrupts, one.looks, one.slots, one.most_slots, one.most_requests, one.full, round(one.virtual_ns / each, 2),
                    other.signals, other.interrupts, round(other.virtual_ns / each, 2)]


def panel() -> Panel:
    """A virtqueue of any kind under load, beside VMBus's rings under the same."""
    return Panel(_model, [
        declared(QueueParams, "virtqueue", "Virtqueue"),
        declared(QueueParams, "event_idx", "Event index"),
        declared(QueueParams, "indirect", "Indirect"),
        declared(QueueParams, "entries", "Entries", 64, low=32),
        declared(QueueParams, "pieces", "Pieces", high=16),
        declared(QueueParams, "queue_depth", "In flight", 16, high=64),
        declared(QueueParams, "batch", "Batch", high=16)], _view, name="speak_virtio", idle=_idle)


# A real Linux.

def where() -> str:
    """Live or recorded, and why."""
    works, why = live.usable()
    if works:
        return "LIVE. A Linux boots in QEMU while you read on."
    return fill(f"RECORDED. No Linux can be booted in QEMU here: {why}.", 100) + "\nRecorded with another back end: these conversations are shown in its place."


def power_on() -> str:
    """Boot in the background, where it can be; the first time only."""
    if live.usable()[0] and not _boots:
        _boots.append(live.Boot(live.VARIANTS))
    return f"{len(live.VARIANTS)} disks, each with a ring of another kind, {live.READS} reads of {live.BLOCK:,} bytes of each"


def recorded_table() -> str:
    """Each recorded conversation of Linux with another back end: how much was asked, and who was told how often."""
    rows = []
    for name in recorded.FILES:
        one, again = recorded.of(name), recorded.replay(recorded.of(name))
        rows.append((name, one.end["requests"], one.end["kicks"], one.end["calls"], again.requests, again.slots, again.different))
    return table(rows, ("ring", "requests", "kicks", "calls", "replayed", "descriptors", "different"), "<>>>>>>")


def linux_table() -> str:
    """What the Linux in the background has read and counted, beside what our queues have; else what the recordings say."""
    if not _boots:
        return "No Linux has been booted here. Recorded:\n\n" + recorded_table()
    rows = [(name, "yes" if seen.read == live.expected() else "NO", seen.requests, seen.kicks, seen.calls, seen.interrupts)
            for name, seen in _boots[0].result().items()]
    return table(rows, ("ring", "read right", "requests", "kicks", "calls", "Linux counts"), "<<>>>>")


def linux_uses(rule: Callable[[int, int, int], Any]) -> str:
    """Let a student's rule decide when a real Linux is interrupted; where none can be booted, when the recorded requests are answered."""
    answers = [rule(*sample) for sample in SAMPLES]
    if any(answer is None or answer is ... for answer in answers):
        return "not attempted yet"
    for sample, answer in zip(SAMPLES, answers):
        if bool(answer) != need_event(*sample):
            return f"Linux was not booted: with event {sample[0]:,}, new {sample[1]:,} and old {sample[2]:,} your rule says {answer!r}. Run its check."
    name = "split, indirect, event idx"
    if not live.usable()[0]:
        again = recorded.replay(recorded.of(name), rule)
        return f"Recorded: {again.requests} requests of Linux's through our queue, {again.interrupts} interrupts by your rule, {again.different} answers that differ."
    seen = live.Boot({name: live.VARIANTS[name]}, rule).result()[name]
    return (f"Live: Linux has read {'what is on the disk' if seen.read == live.expected() else 'something else'}; your rule sent {seen.calls:,} interrupts for "
            f"{seen.requests:,} requests, and Linux counts {seen.interrupts:,}.")
