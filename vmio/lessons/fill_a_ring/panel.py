"""Drawings, stories and panels of *Fill a ring*: one ring, byte by byte, step by step, and under load."""

from dataclasses import replace
from functools import lru_cache

from vmio.experiments import disk, ringload
from vmio.experiments.disk import DiskParams
from vmio.experiments.ringload import LoadParams
from vmio.experiments.ringsteps import SCRIPTS, hangs, play
from vmio.lab.controls import choice, log2_slider, slider, toggle
from vmio.lab.figures import CountBars, StackedBars
from vmio.lab.panel import Panel
from vmio.lab.ring_view import RingView
from vmio.lab.steplines import StepLines
from vmio.table import number, table
from vmio.vmbus.bus.packets import DESCRIPTOR, TRAILER
from vmio.vmbus.bus.ring import CONTROL, DATA, RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory

READS = 64             # of the real disk, in its panel
BLOCK = 4096


def small_ring():
    """A ring of 4,096 data bytes: its memory, its writer, its reader."""
    memory = FlatMemory(2)
    format_ring(memory)
    return memory, RingWriter(memory), RingReader(memory)


def draw_control(memory):
    """The control page, from its declaration and its bytes."""
    return CONTROL.draw(memory.read(0, CONTROL.size))


def draw_record(memory, at):
    """The record at index `at`: descriptor, payload, trailer."""
    head = memory.read(DATA + at, DESCRIPTOR.size)
    record = DESCRIPTOR.parse(head)
    payload = memory.read(DATA + at + 8 * record.offset8, 8 * (record.length8 - record.offset8))
    return "\n".join([DESCRIPTOR.draw(head), f"payload: {payload!r}",
                      TRAILER.draw(memory.read(DATA + at + 8 * record.length8, TRAILER.size))])


def hang_table(orders=1000):
    """Every script in so many random orders of its steps: how many end with both sides asleep."""
    rows = [(name, hangs(script, orders)) for name, script in SCRIPTS.items()]
    return table(rows, ("rules", "hang"), title=f"of {orders:,} orders of the same steps")


def with_rule(should_signal):
    """A story with a rule of your own: `(old_write, new_write, read, mask) -> bool`."""
    return replace(SCRIPTS["all rules kept"], should_signal=should_signal, about="Your own rule.")


_SHORT = {"producer": "P", "consumer": "C", "": " "}


def _story(script):
    return script, play(SCRIPTS[script])


def _story_view(answer):
    name, story = answer
    last = story.frames[-1]
    text = "\n".join([
        SCRIPTS[name].about, "", f"{len(story.frames) - 1} steps, signals: {story.signals}",
        f"most bytes used: {max(frame['used'] for frame in story.frames):,} of {last['size']:,}",
        f"ends: {story.ending}"])
    return text, [], {"frames": story.frames, "frame": 0, "title": f"Ring, {name}."}


def ring_panel():
    """The ring as a circle, one script after the other; its buttons step."""
    return Panel(_story, [choice("script", SCRIPTS, label="Rules")], _story_view, name="fill_a_ring ring",
                 live=RingView())


def steps_table(script, first=0, last=None):
    """A story's steps as text."""
    frames = play(SCRIPTS[script]).frames
    rows = [(at, _SHORT[frame["actor"]], frame["text"], frame["write"], frame["read"], frame["mask"])
            for at, frame in enumerate(frames)][first:last]
    return table(rows, ("step", "", "what happens", "write", "read", "mask"), title=script)


_load_rings = StepLines("Bytes in the rings")
_load_signals = CountBars("Signals per 100 requests", width=4.6, height=1.9, left=0.36)


def _load(**params):
    return ringload.run(LoadParams(**params))


def _load_view(result):
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
        f"ring full {result.full} times, pending {params.room}", "",
        table([(name, count, count / params.requests) for name, count in per.items()], ("signals", "count", "each"))])
    return text, [
        _load_rings.update({"series": result.occupancy, "marks": result.rings_at, "top": data}),
        _load_signals.update({name: round(count / each) for name, count in per.items()})]


def load_panel():
    """Requests over two rings: who fills them, who empties them, and how often somebody is woken."""
    return Panel(_load, [
        log2_slider("ring_kib", 8, 64, 8, label="Ring, KiB"),
        log2_slider("request_bytes", 16, 2048, 256, label="Request, bytes"),
        log2_slider("queue_depth", 1, 64, 4, label="Queue depth"),
        slider("host_cores", 1, 4, 1, 2, label="Cores"),
        log2_slider("service_ns", 512, 32_768, 4096, label="Service, ns"),
        log2_slider("batch", 1, 16, 4, label="Batch"),
        slider("room", 0, 4, 1, 1, label="Pending"),
        toggle("mask", True, label="Mask when awake")],
        _load_view, name="fill_a_ring load")


def depth_table(depths=(1, 2, 4, 8, 16, 32, 64), **params):
    """Signals and time per request by queue depth."""
    rows = []
    for depth in depths:
        one = ringload.run(LoadParams(queue_depth=depth, **params))
        rows.append((depth, one.signals, one.interrupts, f"{one.per_request:.2f}",
                     f"{one.virtual_ns / 1000 / one.params.requests:.2f}"))
    return table(rows, ("depth", "to the host", "to the guest", "signals a request", "us a request"), ">>>>>")


_disk_rings = StepLines("Bytes in the disk's rings")
_disk_time = StackedBars("Virtual time", unit="us", width=4.6, height=2.5)


@lru_cache(maxsize=512)
def real_disk(queue_depth=8, batch=8, host_cores=2, ring_kib=128, signals="batch"):
    """64 reads of 4 KiB through StorVSC, rings, StorVSP and the host's disk; a `DiskResult`."""
    return disk.run(DiskParams(mode="split", bytes=READS * BLOCK, block=BLOCK, queue_depth=queue_depth, batch=batch,
                               host_cores=host_cores, ring_kib=ring_kib, signals=signals))


def _disk_view(result):
    rows = [("to the host", result.signals, result.signals / READS),
            ("to the guest", result.interrupts, result.interrupts / READS)]
    text = "\n".join([
        f"{result.requests} reads of 4 KiB", f"batch {result.params.batch}, cores {result.params.host_cores}",
        f"virtual time {result.virtual_ns / 1000:,.1f} us",
        f"exits {result.exits_total:,}, {result.exits_total / READS:.2f} a read", "",
        table(rows, ("signals", "count", "a read")), "",
        *(f"most {name}: {number(max(used for _, used in steps))} bytes" for name, steps in result.rings.items())])
    times = {"guest": result.guest_ns / 1000, "exit": result.exit_ns / 1000, "device": result.device_ns / 1000}
    rings = {"series": result.rings, "marks": {}, "top": None}
    return text, [_disk_rings.update(rings), _disk_time.update({"time": times})]


def disk_panel():
    """The real path: the same questions, asked of a disk."""
    return Panel(real_disk, [
        log2_slider("queue_depth", 1, 64, 8, label="Queue depth"),
        log2_slider("batch", 1, 32, 8, label="Batch"),
        slider("host_cores", 1, 4, 1, 2, label="Cores"),
        choice("signals", disk.SIGNALS, "batch", label="Guest signals")],
        _disk_view, name="fill_a_ring disk")
