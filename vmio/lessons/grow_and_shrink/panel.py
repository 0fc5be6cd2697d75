"""Tables and the panel of *Grow and shrink*: three guests whose needs change, on a host that has not enough for all at once."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from vmio.drivers.balloon import floor
from vmio.experiments import device_story
from vmio.experiments.device_story import DevicesParams
from vmio.lab import axes, charts, palette
from vmio.lab.controls import slider
from vmio.lab.declared import declared
from vmio.lab.disks_view import DisksView, lane
from vmio.lab.panel import Drawn, Panel
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


@lru_cache(maxsize=_CACHED)
def story(**changes: Any) -> device_story.Story:
    """A guest whose disks come, grow and go while it writes to all of them, with these parameters, the others as they are declared."""
    return device_story.run(DevicesParams(**changes))


def events_table() -> str:
    """What the host does, and what the guest sees of it, in order."""
    return table([(f"{one.ns / 1000:,.0f}", one.said) for one in story().events], ("us", "what happens"), title="disks that come and go")


def disks_table(**changes: Any) -> str:
    """Every request of every disk, and its end."""
    rows = []
    for each in story(**changes).accounts:
        done, failed, under_way = each.until(device_story.SLICES - 1)
        rows.append((each.name, each.submitted, done, failed, under_way, each.submitted - done - failed - under_way))
    return table(rows, ("disk", "requests", "done", "with an error", "under way", "without an end"), title="each request has one end")


def errors(**changes: Any) -> int:
    """Return how many requests of all disks have ended with an error when the run is over."""
    return sum(sum(each.failed) for each in story(**changes).accounts)


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
_WHOSE = {"weight": (BATCH,), "minimum": tuple(name for name in GUESTS if name != BATCH)}
_ENDS = {"weight": (10, 100), "minimum": (96, 192)}
_WHY = {"weight": "there is enough for all, so nobody's weight is asked", "minimum": "web and database get more than that anyway"}


def _idle(**settings: int) -> dict[str, str]:
    """Which controls change nothing, and why: what the balancer saw in this run says whether it would have decided otherwise."""
    if not settings["balanced"]:
        return dict.fromkeys(("buffer", "weight", "minimum"), "the host does not balance")
    _, result = _model(**settings)
    return {name: why for name, why in _WHY.items() if not result.heeds(_WHOSE[name], [{name: value} for value in _ENDS[name]])}


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


# The disks.

def _disks(until_us: int, **asked: Any) -> tuple[int, device_story.Story]:
    return until_us // device_story.SLICE_US - 1, story(**asked)


def _size(sectors: int) -> str:
    return f"{sectors // 2048} MiB" if sectors else "not there"


def _disks_view(told: tuple[int, device_story.Story]) -> Drawn:
    part, one = told
    rows = [(each.name, *each.until(part)) for each in one.accounts]
    until = (part + 1) * device_story.SLICE_US
    params = one.params
    text = "\n".join([f"until {number(until)} us, {params.queue_depth} in flight",
                      f"added {params.added_us}, grown {number(params.grown_us)}, taken {number(params.removed_us)} us", "", table(rows, ("disk", "done", "error", "under way"))])
    lanes = [lane(each.name, _size(each.sectors[part]), each.done, each.failed, each.under_way, each.there,
                  [(event.ns / 1000, event.what, event.said) for event in one.events if event.disk == each.name]) for each in one.accounts]
    chart = charts.bars(f"Ended with an error until {number(until)} us", {name: failed for name, _, failed, _ in rows}, "requests", color=palette.OTHERS[3])
    return text, [chart], {"lanes": lanes, "at": part}


def _disks_idle(until_us: int, **asked: Any) -> dict[str, str]:
    """Which control changes nothing, and why."""
    late = any(event.disk == device_story.PASSED and event.what == "refused" and event.ns == asked["removed_us"] * device_story.US
               for event in story(**asked).events)
    return {"at_once": "the host takes nothing, the disks are not there yet"} if late else {}


def devices_panel() -> Panel:
    """A guest's disks: when three of them come, grow and go, and what becomes of its requests."""
    return Panel(_disks, [
        slider("until_us", device_story.SLICE_US, device_story.SLICES * device_story.SLICE_US, device_story.SLICE_US, 1400, label="Until, us"),
        declared(DevicesParams, "queue_depth", "In flight"),
        declared(DevicesParams, "added_us", "Added at, us"),
        declared(DevicesParams, "grown_us", "Grown at, us"),
        declared(DevicesParams, "removed_us", "Taken at, us"),
        declared(DevicesParams, "at_once", "Unasked")],
        _disks_view, name="grow_and_shrink devices", live=DisksView(slice_us=device_story.SLICE_US), idle=_disks_idle)
