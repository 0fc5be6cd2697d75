"""Tables and panel of *Move a running guest*: rounds, the stop, and what is lost when a bit is missing."""

from collections.abc import Callable
from functools import lru_cache
from textwrap import fill
from typing import Any

from vmio.hypervisor.dirty import WAYS
from vmio.lab import axes, charts
from vmio.lab.declared import declared
from vmio.lab.panel import Panel
from vmio.machine.memory import PAGE
from vmio.manage.migration import guests, net_move, recorded
from vmio.manage.migration.cyclic import Guest, Prediction, predict
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link
from vmio.manage.migration.migration import Migration
from vmio.manage.migration.params import MigrateParams
from vmio.manage.migration.report import Report
from vmio.manage.migration.rules import Throttle, rule
from vmio.manage.migration.state import page_of, present
from vmio.processors.kvm import recorded as kernel
from vmio.table import table

NS, MS, MB = 1_000_000_000, 1_000_000, 1_000_000
RAM = 16                      # MiB of the guests of the tables
BANDWIDTH, LIMIT = 32, 30     # MB/s, ms
PAGES, RATE = 1024, 2000
PANEL_PAGES = 128 << 8        # of the panel's guest
PATIENCE = 30
Make = Callable[[], tuple[Any, list[tuple]]]


def _move(make: Make, after_ns: int, by: Any, bandwidth: int = BANDWIDTH, **options: Any) -> tuple[Migration, Report]:
    """Move a guest that has run for so long; it goes on where it is then."""
    machine, pairs = make()
    run = machine.start(*pairs)
    while machine.host.env.now < after_ns and run.step(after_ns - machine.host.env.now):
        pass
    other, there = make()
    moved = Migration(machine, run, Destination(other, *there), Link(bandwidth * MB), by, **options)
    return moved, moved.go()


@lru_cache(maxsize=32)
def moved(pages: int = PAGES, rate: int = RATE, by: str = "qemu", throttled: bool = False, postcopy_after: int | None = None,
          patience: int = PATIENCE) -> Report:
    """A guest that writes into so many pages, so many a second, has moved byte for byte over a link of 32 MB/s."""
    writes = 6 * max(rate, pages)
    _, report = _move(lambda: guests.machine(guests.writer(guests.FIRST, pages, rate, writes), RAM), NS * pages // rate + 1000, rule(by, LIMIT),
                      throttle=Throttle() if throttled else None, postcopy_after=postcopy_after, patience=patience)
    return report


def said(pages: int = PAGES, rate: int = RATE, by: str = "qemu") -> Prediction:
    """The same by the model."""
    return predict(Guest(RAM << 8, pages, rate), BANDWIDTH * MB, rule(by, LIMIT), PATIENCE)


def rounds(pages: int = PAGES, rate: int = RATE) -> int:
    """How many rounds such a guest takes."""
    return len(moved(pages, rate).rounds)


def downtime_ms(pages: int = PAGES, rate: int = RATE) -> float:
    """How long it stands still, in ms."""
    return round((moved(pages, rate).downtime_ns or 0) / MS, 1)


def rounds_table(pages: int = PAGES, rate: int = RATE) -> str:
    """A migration, round by round."""
    report = moved(pages, rate)
    rows = [(each.number, each.pages, each.zeros, each.bytes, (each.ended_ns - each.began_ns) / MS, each.dirty) for each in report.rounds]
    return table(rows, ("round", "pages sent", "of them zeros", "bytes", "ms", "dirty afterwards")) + (
        f"\n{report.reason}: {report.last_pages} pages and {report.state_bytes:,} bytes of state go while the guest stands still, "
        f"{(report.downtime_ns or 0) / MS:.1f} ms")


def beside_table() -> str:
    """Three guests, byte for byte and by the model."""
    rows = []
    for rate in (1000, 2000, 4000, 16_000):
        report, model = moved(rate=rate), said(rate=rate)
        dirty = [each.dirty for each in report.rounds]
        rows.append((rate, len(report.rounds), len(model.rounds), dirty[0], dirty[-1], "yes" if model.moved else "no",
                     "yes" if dirty == [each.dirty for each in model.rounds] else "nearly"))
    return table(rows, ("pages a second", "rounds", "by the model", "dirty after round 1", "after the last", "moved?", "the same in each round?"))


def rules_table() -> str:
    """One guest that writes too fast, and what each rule does with it."""
    rows = []
    for name, options in (("qemu", {}), ("qemu, throttled", {"throttled": True}), ("qemu, post-copy after round 2", {"postcopy_after": 2}),
                          ("xen", {"by": "xen"}), ("hyper-v", {"by": "hyper-v"})):
        report = moved(rate=16_000, **options)
        rows.append((name, report.status, len(report.rounds), report.bytes / MB, None if report.downtime_ns is None else report.downtime_ns / MS,
                     report.rounds[-1].throttle, report.faults))
    return table(rows, ("rule", "status", "rounds", "MB sent", "stands still, ms", "held back by %", "faults"), "<<>>>>>")


def recorded_table() -> str:
    """Fifteen migrations of a real QEMU beside the model."""
    rows = []
    for held in map(recorded.held, recorded.rows()):
        row = held.recorded
        how = "auto-converge" if row.throttled else "" if row.postcopy_s is None else f"post-copy at {row.postcopy_s:g} s"
        rows.append((row.pages, recorded.rate_of(row.spin), row.bandwidth // MB, row.limit_ms, how, "yes" if row.moved else "no",
                     ("yes" if held.says else "no") if held.clear else "unclear", held.seen and held.seen // 4, held.plateau and held.seen and held.plateau // 4))
    return table(rows, ("pages", "a second", "MB/s", "limit ms", "how", "moved?", "the model", "remain, pages", "the model"), ">>>><<<>>")


DISKS = {"emulated, by DMA": ("emulated", {"transfer": "dma"}), "split": ("split", {})}


@lru_cache(maxsize=16)
def without(disk: str, way: str) -> tuple[int, bool]:
    """(pages that are not what they were, whether the guest read right in the end) of a guest whose log leaves out a way."""
    mode, options = DISKS[disk]

    def make() -> Any:
        return guests.disk_machine(mode, guests.BUFFERS, 100_000, **options)
    machine, pairs = make()
    right = machine.start(*pairs).to_the_end()
    move, _ = _move(make, 2 * MS, rule("qemu", 1), without=() if way == "nothing" else (way,))
    other = move.destination.machine
    wrong = sum(page_of(move.machine, key) != page_of(other, key) for key in present(other))
    return wrong, move.run.to_the_end() == right


def kernel_log_table() -> str:
    """Return what the kernel's own dirty log says of a small guest, live or recorded."""
    what = "loads from the pages", "stores into each, three times", "nothing: the host asks again", "nothing: the host writes page 0"
    rows = []
    for order, pages in kernel.ORDERS.items():
        rows += [(order, len(pages), done, len(named)) for done, named in zip(what, kernel.dirty(order))]
    return table(rows, ("pages", "how many", "the guest executes", "bits set"), "<><>")


def ways_table() -> str:
    """What is lost when a way is not in the dirty log."""
    rows = [(disk, way, *without(disk, way)) for disk in DISKS for way in ("nothing", *WAYS)]
    return table([(disk, way, pages, "right" if right else "garbage") for disk, way, pages, right in rows],
                 ("disk", "not in the log", "wrong pages", "what the guest read"), "<<><")


def refusal() -> str:
    """What is said of a guest that has a device of its own, in lines of 90 letters."""
    _, report = _move(lambda: guests.disk_machine("passthrough", 20, 100_000), MS, rule("qemu", LIMIT))
    return fill(report.reason, 90)


@lru_cache(maxsize=1)
def _with_function() -> net_move.Moved:
    return net_move.run()


def function_table() -> str:
    """A guest with a virtual function moves: frames by each way, slice after slice."""
    story = _with_function()
    rows = [(each.ms, each.where, each.by_card, each.by_function, each.arrived) for each in story.slices]
    sent, downtime = sum(story.sent), (story.report.downtime_ns or 0) / 1000
    return table(rows, ("from ms", "the guest is at", "by the split card", "by the function", "arrived"), "><>>>") + (
        f"\n{story.report.status}: stood still for {downtime:,.0f} us; {sent} frames sent, {story.arrived} arrived")


# The panel.

def _model(**settings: Any) -> tuple[dict[str, Any], Prediction]:
    by = rule(settings["rule"], settings["downtime_ms"])
    return settings, predict(Guest(PANEL_PAGES, settings["pages"], settings["rate"]), settings["bandwidth"] * MB, by, PATIENCE, settings["throttle"])


def _view(ran: tuple[dict[str, Any], Prediction]) -> Any:
    settings, model = ran
    pages, rate, bandwidth = settings["pages"], settings["rate"], settings["bandwidth"]
    enough = rule(settings["rule"], settings["downtime_ms"]).enough(bandwidth * MB) // PAGE
    sent = sum(each.pages for each in model.rounds)
    count, held = len(model.rounds), model.rounds[-1].throttle
    limit = f"qemu: at most {settings['downtime_ms']} ms, {enough:,} pages" if settings["rule"] == "qemu" else f"{settings['rule']}: by rounds"
    text = "\n".join([
        f"{pages:,} pages ({pages * PAGE / (1 << 20):,.1f} MiB), in a circle,", f"{rate:,} a second: {rate * PAGE / MB:,.1f} MB/s",
        f"link: {bandwidth:,} MB/s, {bandwidth * MB // PAGE:,} pages a second", limit,
        f"vCPU held back: {f'by {held} % in the end' if held else 'not so far' if settings['throttle'] else 'never'}", "",
        f"{'moved after' if model.moved else 'not moved in'} {count} round{'s' * (count != 1)}",
        f"dirty at the end: {model.rounds[-1].dirty:,} pages", f"stands still for {model.downtime_ns / MS:,.1f} ms" if model.moved else "never stands still",
        f"takes {model.total_ns / MS:,.0f} ms, {sent:,} pages"])
    numbers = list(range(count + 1))
    dirty = [PANEL_PAGES, *(each.dirty for each in model.rounds)]
    limits = {"fits into the limit": enough} if settings["rule"] == "qemu" else {}
    shown = charts.lines("Pages still to be sent, after each round", {"pages": (numbers, dirty)}, axes.linear("round", (), top=max(count, 4)),
                         {**axes.count("pages", [*dirty, enough]), "label": "pages"}, limits=limits)     # its ticks say the rest
    times = {"time": {"guest": (model.total_ns - model.downtime_ns) / MS, "waiting": model.downtime_ns / MS}}
    return text, [shown, charts.stack("The guest runs, then waits until it runs elsewhere", times, "ms")]


def _idle(**settings: Any) -> dict[str, str]:
    """Which control changes nothing, and why."""
    found = {} if settings["rule"] == "qemu" else {"downtime_ms": f"{settings['rule']} counts rounds, not time"}
    held = _model(**{**settings, "throttle": True})[1].rounds[-1].throttle
    if not held:
        found["throttle"] = "too little is dirty again, or for too few rounds, for the guest to be held back"
    return found


def panel() -> Panel:
    """A guest of 128 MiB: how much it writes, over which link, by which rule."""
    return Panel(_model, [
        declared(MigrateParams, "pages", "Pages written", PAGES, low=128, high=16_384),
        declared(MigrateParams, "rate", "Pages a second", 2048, low=256, high=65_536),
        declared(MigrateParams, "bandwidth", "Link, MB/s", BANDWIDTH, low=8, high=1024),
        declared(MigrateParams, "rule", "Stop rule"),
        declared(MigrateParams, "downtime_ms", "Limit, ms", LIMIT, low=30, high=600, step=30),
        declared(MigrateParams, "throttle", "Hold it back")], _view, name="move_a_running_guest", idle=_idle)
