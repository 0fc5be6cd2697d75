"""Tables and the panel of *Grow and shrink*: three guests whose needs change, on a host that has not enough for all at once."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from vmio.drivers.balloon import floor
from vmio.experiments import device_story
from vmio.lab import axes, charts
from vmio.lab.controls import slider
from vmio.lab.declared import declared
from vmio.lab.idle import unmoved
from vmio.lab.panel import Panel
from vmio.manage.memory_run import BATCH, FROM, GUESTS, SECONDS, UNTIL, MemoryParams, MemoryResult, run_memory
from vmio.table import number, table
from vmio.vmbus.balloon import wire as w

MIB_PAGES = 256
Settings: TypeAlias = Mapping[str, int]
_CACHED = 4096


@lru_cache(maxsize=_CACHED)
def run(balanced: bool = True, **changes: int) -> MemoryResult:
    """The run with these parameters, the others as they are declared."""
    return run_memory(MemoryParams(balanced=balanced, **changes))


def missed(balanced: bool = True, **changes: int) -> int:
    """Return what batch's programs miss, summed up over the seconds, in MiB s."""
    return round(run(balanced=balanced, **changes).missed(BATCH))


def balloon_message() -> str:
    """One answer of a guest, to the byte: it gives two pieces of 2 MiB."""
    return w.draw(w.with_ranges(w.BALLOON_RESPONSE, [(0x4E00, w.LARGE), (0x4C00, w.LARGE)], transaction=7, counts=2 << 1))


def floor_table() -> str:
    """What a guest keeps for itself, whatever it is asked for, by how much it has."""
    rows = [(mib, round(floor(mib * MIB_PAGES) / MIB_PAGES)) for mib in (64, 128, 256, 512, 1024, 2048, 8192, 32_768)]
    return table(rows, ("has MiB", "keeps MiB"), title="what Linux never gives away")


def messages_table() -> str:
    """What the host heard and how often."""
    rows = [(kind, count) for kind, count in run(balanced=True).messages.items()]
    return table(rows, ("message to the host", "how often"), title=f"three guests, {SECONDS} seconds")


@lru_cache(maxsize=1)
def story() -> device_story.Story:
    """A guest whose disks come, grow and go while it writes to all of them."""
    return device_story.run()


def events_table() -> str:
    """What the host does, and what the guest sees of it, in order."""
    return table([(f"{ns / 1e6:.2f}", what) for ns, what in story().events], ("ms", "what happens"), title="disks that come and go")


def disks_table() -> str:
    """Every request of every disk, and its end."""
    rows = [(each.name, each.submitted, each.answered, each.failed, each.lost) for each in story().accounts]
    return table(rows, ("disk", "requests", "answered", "failed", "without an end"), title="each request has one end")


def _model(second: int, **settings: int) -> tuple[dict[str, int], MemoryResult]:
    return {**settings, "second": second}, run(**settings)


def _view(ran: tuple[dict[str, int], MemoryResult]) -> tuple[str, list[charts.Chart | None]]:
    settings, result = ran
    at = settings["second"]
    rows = [(name, result.has[name][at], result.needs[name][at], result.misses[name][at]) for name in GUESTS]
    text = "\n".join([
        f"at the end of second {at}, in MiB", f"({BATCH} works from {FROM} to {UNTIL})", "",
        table(rows, ("guest", "has", "needs", "misses")), f"free on the host  {number(result.free[at])}", "",
        "missed in all, MiB times seconds", *(f"  {name:<9} {number(result.missed(name)):>6}" for name in GUESTS),
        f"pages given back and forth: {number(sum(result.messages.get(kind, 0) for kind in _MOVES))} times"])
    seconds = list(range(SECONDS))
    series = {**{name: (seconds, result.has[name]) for name in GUESTS}, "free": (seconds, result.free)}
    values = [y for _, ys in series.values() for y in ys]
    pressure = {name: result.pressure[name][at] for name in GUESTS}
    return text, [charts.lines("Who has the host's memory", series, axes.linear("second", (), top=SECONDS - 1), axes.linear("MiB", values), at=at, step=True),
                  charts.bars(f"Pressure at the end of second {at}", pressure, "per cent: 100 is exactly enough")]


_MOVES = ("BALLOON_RESPONSE", "UNBALLOON_RESPONSE", "HOT_ADD_RESPONSE")
_ENDS = {"weight": (10, 100), "minimum": (96, 192)}
_WHY = {"weight": "there is enough for all, so nobody's weight is asked", "minimum": "web and database get more than that anyway"}


def _idle(**settings: int) -> dict[str, str]:
    """Which controls change nothing, and why."""
    if not settings["balanced"]:
        return dict.fromkeys(("buffer", "weight", "minimum"), "the host does not balance")
    return {name: why for name, why in _WHY.items() if unmoved(_model, _view, settings, name, _ENDS[name])}


def panel() -> Panel:
    """Three guests on one host: how much there is, how much batch needs, and what the administrator has said."""
    return Panel(_model, [
        slider("second", 0, SECONDS - 1, 1, 10, label="Second"),
        declared(MemoryParams, "peak", "batch needs, MiB", step=40),
        declared(MemoryParams, "host", "Host has, MiB", step=64),
        declared(MemoryParams, "buffer", "Buffer, %", step=10),
        declared(MemoryParams, "weight", "batch weighs", step=10),
        declared(MemoryParams, "minimum", "Minimum, MiB", step=16),
        declared(MemoryParams, "balanced", "Balance")],
        _view, name="grow_and_shrink", idle=_idle)
