"""Drawings, stories and panels of *Fill a ring*: one ring, byte by byte, step by step, and under load."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from vmio.experiments import disk, ringload
from vmio.experiments.disk import DiskParams, DiskResult
from vmio.experiments.ringload import LoadParams
from vmio.experiments.ringsteps import SCRIPTS, Script, Story, hangs, play
from vmio.lab import charts
from vmio.lab.controls import choice
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, still
from vmio.lab.panel import Panel, Shown
from vmio.lab.ring_view import RingView
from vmio.table import number, table
from vmio.vmbus.bus.packets import DESCRIPTOR, TRAILER
from vmio.vmbus.bus.ring import CONTROL, DATA, RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory

READS = 64             # of the real disk, in its panel
BLOCK = 4096


def small_ring() -> tuple[FlatMemory, RingWriter, RingReader]:
    """A ring of 4,096 data bytes: its memory, its writer, its reader."""
    memory = FlatMemory(2)
    format_ring(memory)
    return memory, RingWriter(memory), RingReader(memory)


def draw_control(memory: FlatMemory) -> str:
    """The control page, from its declaration and its bytes."""
    return CONTROL.draw(memory.read(0, CONTROL.size))


def draw_record(memory: FlatMemory, at: int) -> str:
    """The record at index `at`: descriptor, payload, trailer."""
    head = memory.read(DATA + at, DESCRIPTOR.size)
    record = DESCRIPTOR.parse(head)
    payload = memory.read(DATA + at + 8 * record.offset8, 8 * (record.length8 - record.offset8))
    return "\n".join([DESCRIPTOR.draw(head), f"payload: {payload!r}",
                      TRAILER.draw(memory.read(DATA + at + 8 * record.length8, TRAILER.size))])


def hang_table(orders: int = 1000) -> str:
    """Every script in so many random orders of its steps: how many end with both sides asleep."""
    rows = [(name, hangs(script, orders)) for name, script in SCRIPTS.items()]
    return table(rows, ("rules", "hang"), title=f"of {orders:,} orders of the same steps")


def with_rule(should_signal: Callable[[int, int, int, int], bool]) -> Script:
    """A story with a rule of your own: `(old_write, new_write, read, mask) -> bool`."""
    return replace(SCRIPTS["all rules kept"], should_signal=should_signal, about="Your own rule.")


_SHORT = {"producer": "P", "consumer": "C", "": " "}


def _story(script: str) -> tuple[str, Story]:
    return script, play(SCRIPTS[script])


def _story_view(answer: tuple[str, Story]) -> Shown:
    name, story = answer
    frames = story.frames or []
    last = frames[-1]
    most = max(frame["used"] for frame in frames)
    text = "\n".join([SCRIPTS[name].about, f"{len(frames) - 1} steps, signals: {story.signals}, most bytes used: {most:,} of {last['size']:,}",
                      f"ends: {story.ending}"])
    return text, [], {"frames": frames, "frame": 0, "title": f"Ring, {name}."}


def ring_panel() -> Panel:
    """The ring as a circle, one script after the other; its buttons step."""
    return Panel(_story, [choice("script", SCRIPTS, label="Rules")], _story_view, name="fill_a_ring ring",
                 live=RingView())


def steps_table(script: str, first: int = 0, last: int | None = None) -> str:
    """A story's steps as text."""
    frames = play(SCRIPTS[script]).frames or []
    rows = [(at, _SHORT[frame["actor"]], frame["text"], frame["write"], frame["read"], frame["mask"])
            for at, frame in enumerate(frames)][first:last]
    return table(rows, ("step", "", "what happens", "write", "read", "mask"), title=script)


@lru_cache(maxsize=1024)
def _load(**params: Any) -> ringload.LoadResult:
    return ringload.run(LoadParams(**params))


@later
def _load_idle(**params: int) -> Asking:
    """Which controls of the load change nothing, and why; only a run can know it."""
    reasons: dict[str, tuple[Iterable[Any], str]] = {
        "batch": ((1, 16), "the host never finds two requests at once"),
        "pending_records": (range(5), "the ring is never full"),
        "mask": ((False, True), "nobody writes into an empty ring while its reader is awake")}
    return (yield from still(_load, _load_view, params, reasons))


def _load_view(result: ringload.LoadResult) -> Shown:
    params = result.params
    data = (params.ring_kib - 4) << 10
    each = params.requests / 100
    per = {"guest to host": result.signals, "host to guest": result.interrupts - result.for_room,
           "room again": result.for_room}
    text = "\n".join([
        f"{params.requests} requests, ring {data:,} bytes",
        f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"each {result.virtual_ns / 1000 / params.requests:,.2f} us",
        f"signals per request {result.per_request:.2f}",
        f"ring full {result.full} times, pending {params.pending_records}", "",
        table([(name, count, count / params.requests) for name, count in per.items()], ("signals", "count", "each"))])
    return text, [charts.rings("Bytes in the rings", result.occupancy, result.rings_at, data),
                  charts.bars("Signals", {name: round(count / each) for name, count in per.items()}, "signals per 100 requests")]


def load_panel() -> Panel:
    """Requests over two rings: who fills them, who empties them, and how often somebody is woken."""
    return Panel(_load, [
        declared(LoadParams, "ring_kib", "Ring, KiB", high=64),
        declared(LoadParams, "request_bytes", "Request, bytes", low=16, high=2048),
        declared(LoadParams, "queue_depth", "In flight", 4, high=64),
        declared(LoadParams, "host_cores", "Host cores", high=4),
        declared(LoadParams, "service_ns", "Service, ns", 4096, low=512, high=32_768),
        declared(LoadParams, "batch", "Batch", high=16),
        declared(LoadParams, "pending_records", "Pending", high=4),
        declared(LoadParams, "mask", "Mask when awake")],
        _load_view, name="fill_a_ring load", idle=_load_idle)


def depth_table(depths: Sequence[int] = (1, 2, 4, 8, 16, 32, 64), **params: Any) -> str:
    """Signals and time per request by queue depth."""
    rows = []
    for depth in depths:
        one = ringload.run(LoadParams(queue_depth=depth, **params))
        rows.append((depth, one.signals, one.interrupts, f"{one.per_request:.2f}",
                     f"{one.virtual_ns / 1000 / one.params.requests:.2f}"))
    return table(rows, ("depth", "to the host", "to the guest", "signals per request", "us per request"), ">>>>>")


@lru_cache(maxsize=512)
def real_disk(queue_depth: int = 8, batch: int = 8, host_cores: int = 2, ring_kib: int = 128, signals: str = "batch",
              doorbell: str = "hypercall") -> DiskResult:
    """64 reads of 4 KiB through StorVSC, rings, StorVSP and the host's disk; a `DiskResult`."""
    return disk.run(DiskParams(mode="split", bytes=READS * BLOCK, block=BLOCK, queue_depth=queue_depth, batch=batch,
                               host_cores=host_cores, ring_kib=ring_kib, signals=signals, doorbell=doorbell))


def doorbell_table() -> str:
    """The same reads, signalled by hypercall and by a bit in the monitor page, at some depths and for a guest that always signals."""
    rows = []
    for depth, signals in ((1, "batch"), (8, "batch"), (64, "batch"), (64, "always")):
        for doorbell in ("hypercall", "monitor"):
            one = real_disk(depth, signals=signals, doorbell=doorbell)
            rows.append((depth, signals, doorbell, one.exits_by_instruction.get("VMCALL", 0), one.exits_by_instruction.get("HLT", 0),
                         one.signals, f"{one.virtual_ns / 1000 / READS:.2f}"))
    return table(rows, ("depth", "guest signals", "doorbell", "VMCALL", "HLT", "heard", "us per read"), ">>>>>>>",
                 title=f"{READS} reads of 4 KiB")


def _disk_view(result: DiskResult) -> Shown:
    rows = [("to the host", result.signals, result.signals / READS),
            ("to the guest", result.interrupts, result.interrupts / READS)]
    text = "\n".join([
        f"{result.requests} reads of 4 KiB", f"batch {result.params.batch}, cores {result.params.host_cores}",
        f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"exits {result.exits_total:,}, {result.exits_total / READS:.2f} per read", "",
        table(rows, ("signals", "count", "per read")), "",
        *(f"most {name}: {number(max(used for _, used in steps))} bytes" for name, steps in result.rings.items())])
    times = {part: us for part, us in result.parts_us.items() if part != "copy"}     # the disk itself moves the data
    return text, [charts.rings("Bytes in the disk's rings", result.rings), charts.stack("Virtual time", {"time": times}, "us")]


@later
def _disk_idle(**params: Any) -> Asking:
    """Which controls of the real path change nothing, and why; only a run can know it."""
    reasons: dict[str, tuple[tuple[Any, ...], str]] = {}
    if params["queue_depth"] == 1:
        reasons = {"batch": ((1, 8, 32), "one request in flight is a batch of one"),
                   "signals": (("batch", "always", "each"), "a single request always meets an empty ring")}
    if params["doorbell"] == "monitor":
        reasons["host_cores"] = (1, 2, 3, 4), "guest and host never want a core at the same time"
    return (yield from still(real_disk, _disk_view, params, reasons))


def disk_panel() -> Panel:
    """The real path: the same questions, asked of a disk."""
    return Panel(real_disk, [
        declared(DiskParams, "queue_depth", "In flight", 8, high=64),
        declared(DiskParams, "batch", "Batch", 8, high=32),
        declared(DiskParams, "host_cores", "Host cores", high=4),
        declared(DiskParams, "signals", "Guest signals"),
        declared(DiskParams, "doorbell", "Doorbell")],
        _disk_view, name="fill_a_ring disk", idle=_disk_idle)


@lru_cache(maxsize=512)
def many_vcpus(vcpus: int = 4, channels: str = "one", queue_depth: int = 1) -> DiskResult:
    """The same 64 reads by several vCPUs on a core each, through "one" channel or through "one each"; a `DiskResult`."""
    return disk.run(DiskParams(mode="split", bytes=READS * BLOCK, block=BLOCK, vcpus=vcpus, channels=1 if channels == "one" else None,
                               queue_depth=queue_depth, host_cores=2 * vcpus))


def channels_table(vcpus: int = 4, depths: Sequence[int] = (1, 4)) -> str:
    """One channel and one each, for `vcpus`, with so many reads in flight for each."""
    rows = []
    for depth in depths:
        for channels in ("one", "one each"):
            one = many_vcpus(vcpus, channels, depth)
            count, exits = one.exits_by_instruction.get, list(one.exits_by_vcpu.values())
            rows.append((depth, channels, count("VMCALL", 0), count("WRMSR", 0), count("HLT", 0), one.exits_total, exits[0],
                         max(exits[1:]), f"{one.virtual_ns / 1000:.1f}"))
    return table(rows, ("depth", "channels", "VMCALL", "WRMSR", "HLT", "exits", "vCPU 0", "most of others", "us"), "><>>>>>>>",
                 title=f"{READS} reads of 4 KiB by {vcpus} vCPUs")


def _channels_view(result: DiskResult) -> Shown:
    signals = list(result.signals_by_channel.values())
    rows = [(n, exits, result.interrupts_by_vcpu[name], signals[n] if n < len(signals) else None)
            for n, (name, exits) in enumerate(result.exits_by_vcpu.items())]
    most = max(used for ring, steps in result.rings.items() if ring.endswith("to the host") for _, used in steps)
    text = "\n".join([
        f"{result.requests} reads of 4 KiB, vCPUs {len(rows)}",
        f"channels {len(signals)}, depth {result.params.queue_depth}", f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"exits {result.exits_total}, {result.exits_by_instruction.get('WRMSR', 0)} to wake another vCPU",
        f"most in a ring to the host {number(most)}", "",
        table(rows, ("vCPU", "exits", "interrupts", "signals"), ">>>>")])
    return text, [charts.bars("Exits by vCPU", result.exits_by_vcpu, "exits"),
                  charts.bars("Signals by channel", result.signals_by_channel, "signals", color="split")]


def channels_panel() -> Panel:
    """Several vCPUs and one disk: a ring for all, or one for each."""
    return Panel(many_vcpus, [
        declared(DiskParams, "vcpus", "vCPUs", 4, low=1, high=8),
        choice("channels", ("one", "one each"), label="Channels"),
        declared(DiskParams, "queue_depth", "In flight", high=16)],
        _channels_view, name="fill_a_ring channels",
        idle=lambda vcpus, **_: {"channels": "a single vCPU has one channel either way"} if vcpus == 1 else {})
