"""Tables and panels of *Watch and steer*: a host with six guests, what is wrong with it, and who decides what to do."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from vmio.hypervisor.runs import Run
from vmio.lab import axes, charts
from vmio.lab.controls import choice, slider, toggle
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, unmoved
from vmio.lab.panel import Panel, Shown
from vmio.manage.diagnose import trial
from vmio.manage.diagnose.faults import FAULTS, fault
from vmio.manage.diagnose.rules import Diagnosis, diagnose
from vmio.manage.diagnose.scene import GUESTS, Plan, Scene
from vmio.manage.monitor import kvmstat, top
from vmio.manage.monitor.metrics import Sample
from vmio.manage.monitor.psi import PERIOD_US, Stalled, shown
from vmio.manage.steer.compete import compete, to_table
from vmio.manage.steer.controllers import CONTROLLERS, Controller
from vmio.manage.steer.loop import Steered, SteerParams, steer
from vmio.manage.steer.loops.registry import LOOPS, to_table as to_table_of_loops
from vmio.manage.steer.show import who_runs
from vmio.table import number, table

WINDOWS = 16
CASES = {"A": ("small_ring", 3), "B": ("noisy", 4), "C": ("none", 5), "D": ("vf_lost", 6), "E": ("polling", 7), "F": ("one_core", 8)}
# What an administrator can look at: how one number of a window is read for a guest, and its unit.
OUTPUTS: dict[str, tuple[Callable[[Sample, str], float], str]] = {
    "us of a request": (lambda window, guest: _user_us(window, guest), "us"),
    "requests": (lambda window, guest: window.histograms["vmio_user_request_seconds", (guest,)].count, "in a ms"),
    "signals": (lambda window, guest: window.get("vmio_channel_events_total", guest=guest), "in a ms"),
    "interrupts of vCPU 0's channels": (lambda window, guest: _interrupts(window, guest, 0), "in a ms"),
    "interrupts of vCPU 1's channels": (lambda window, guest: _interrupts(window, guest, 1), "in a ms"),
    "writes that met a full ring": (lambda window, guest: window.get("vmio_channel_out_full_total", guest=guest), "in a ms"),
    "KiB of the shared disk": (lambda window, guest: window.get("vmio_disk_bytes_total", guest=guest) / 1024, "in a ms"),
    "exits": (lambda window, guest: window.get("vmio_exits_total", guest=guest), "in a ms"),
    "us that the host looked": (lambda window, guest: window.get("vmio_halt_poll_seconds_total", guest=guest) / 1000, "in a ms"),
    "frames by the card": (lambda window, guest: window.get("vmio_net_way_frames_total", guest=guest, way="card"), "in a ms")}
TRIAL_SEEDS = 6
LOOPS_SEED, LOOPS_WINDOWS = 1, 14


def _user_us(window: Sample, guest: str) -> float:
    times = window.histograms["vmio_user_request_seconds", (guest,)]
    return times.total_ns / times.count / 1000 if times.count else 0.0


def _interrupts(window: Sample, guest: str, vcpu: int) -> float:
    return sum(window.values["vmio_channel_interrupts_total", labels] for (name, labels), target in window.values.items()
               if name == "vmio_channel_vcpu" and labels[0] == guest and target == vcpu)


class Watched:
    """A case's scene, which goes on when it is asked to."""

    def __init__(self, name: str, seed: int) -> None:
        self.scene = Scene(Plan.of(seed, WINDOWS), fault(name))
        self._run: Run | None = self.scene.start()

    @property
    def over(self) -> bool:
        """Whether it has run to its end."""
        return self._run is None

    def go_on(self, windows: int = 4) -> None:
        """Let so many windows more be counted."""
        until = len(self.scene.samples) + windows
        while self._run is not None and len(self.scene.samples) < until:
            if not self._run.step():
                self._run.to_the_end()
                self._run = None
                self.scene.monitor.off()


@lru_cache(maxsize=32)
def watched(case: str) -> Watched:
    """Return a case of the panel, as far as it has run."""
    return Watched(*CASES[case])


@lru_cache(maxsize=32)
def windows(name: str = "none", seed: int = 3) -> tuple[Sample, ...]:
    """Return the windows of a whole run with this fault."""
    return tuple(Scene(Plan.of(seed, WINDOWS), fault(name)).run().windows)


SHORT, SHORT_ONSET = 8, 3          # windows of a short run, and when its fault begins
CAUSES = tuple(dict.fromkeys(name for name, _ in CASES.values()))
# Which output shows each cause: the one that says who or what it is, not that somebody waits.
EVIDENCE = {"small_ring": "writes that met a full ring", "noisy": "KiB of the shared disk", "vf_lost": "frames by the card",
            "polling": "us that the host looked", "one_core": "interrupts of vCPU 1's channels", "none": ""}


def before_and_after(name: str, seed: int) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Return ({output: {guest: its mean in a window}}, the same from a window after the onset on) of a short run with this cause."""
    plan = replace(Plan.of(seed, SHORT), onset=SHORT_ONSET, severity=0.3 + Plan.of(seed).severity * 0.7)
    counted = Scene(plan, fault(name)).run().windows

    def means(part: list[Sample]) -> dict[str, dict[str, float]]:
        return {output: {guest: sum(read(window, guest) for window in part) / len(part) for guest in GUESTS} for output, (read, _) in OUTPUTS.items()}
    return means(counted[:SHORT_ONSET]), means(counted[SHORT_ONSET + 1:])


def onset(seed: int = 3) -> int:
    """Return the window in which the fault of a seed begins."""
    return Plan.of(seed, WINDOWS).onset


def top_table(name: str = "none", window: int = -1) -> str:
    """What `vmio top` shows of a window."""
    return top.text(windows(name)[window])


@lru_cache(maxsize=1)
def perf_table() -> str:
    """What `perf kvm stat` shows of a short run."""
    scene = Scene(Plan.of(3, 4))
    recorder = kvmstat.ExitRecorder(scene.machine)
    recorder.on()
    scene.run()
    return recorder.report()


def signals_table() -> str:
    """db's signals in the whole run, by their reasons, with three drivers: as it should be, with a small ring, and one that always signals."""
    rows = []
    for name, what in (("none", "as it should be"), ("small_ring", "a small ring"), ("signals", "signals always")):
        counted = {key: sum(window.get(f"vmio_channel_{key}_total", guest="db") for window in windows(name)) for key in ("events", "intr_out_empty", "intr_in_full", "out_full")}
        rows.append((what, counted["events"], counted["intr_out_empty"], counted["intr_in_full"],
                     counted["events"] - counted["intr_out_empty"] - counted["intr_in_full"], counted["out_full"]))
    return table(rows, ("db's driver", "events", "intr_out_empty", "intr_in_full", "for no reason", "met a full ring"))


def pressure_table(percent: int = 50) -> str:
    """How the averages of pressure follow when somebody waits so many percent of the time, period after period of two seconds."""
    line, rows = Stalled(), []
    for period in range(1, 7):
        line.stall(PERIOD_US * percent // 100)
        line.period()
        rows.append((2 * period, *(shown(average) for average in line.averages)))
    return table(rows, ("seconds", "avg10", "avg60", "avg300"))


def pressure_after(periods: int, percent: int = 50) -> float:
    """avg10 after so many periods in which somebody waited so many percent of the time."""
    line = Stalled()
    for _ in range(periods):
        line.stall(PERIOD_US * percent // 100)
        line.period()
    return float(shown(line.averages[0]))


def rules_table(name: str = "noisy", seed: int = 4) -> str:
    """What the rules find in each window of a case: the first time that each speaks."""
    found = diagnose(windows(name, seed))
    first: dict[str, tuple] = {}
    for finding in found.findings:
        first.setdefault(finding.fault, (finding.window, FAULTS[finding.fault].title, finding.what, finding.number))
    rows = list(first.values()) or [("", "nothing", "", "")]
    return table(rows, ("window", "found", "because of", "number"), "><<>", title=f"the fault begins in window {onset(seed)}")


@lru_cache(maxsize=1)
def trial_table() -> str:
    """A few seeds of the trial."""
    return trial.to_table([trial.one("cusum", seed) for seed in range(1, TRIAL_SEEDS + 1)])


# The panel of the cases.

class Seen(NamedTuple):
    """What the panel shows: a case as far as it has run."""

    case: str
    output: str
    window: int
    answer: bool
    windows: tuple[Sample, ...]


def _model(case: str, output: str, window: int, answer: bool) -> Iterator[Seen]:
    now = watched(case)
    while True:
        yield Seen(case, output, window, answer, tuple(now.scene.windows))
        if now.over:
            return
        now.go_on()


def _view(seen: Seen) -> Shown:
    read, unit = OUTPUTS[seen.output]
    head = [f"case {seen.case}: {seen.output}", f"in window {seen.window} (from {seen.window} ms on)", ""]
    if len(seen.windows) <= seen.window:
        return "\n".join([*head, f"{len(seen.windows)} windows are counted so far"]), []
    now = {guest: read(seen.windows[seen.window], guest) for guest in GUESTS}
    usual = {guest: sum(read(window, guest) for window in seen.windows[:4]) / 4 for guest in GUESTS}
    text = [*head, f"{'guest':<10}{'now':>12}{'first 4 ms':>14}", *(f"{guest:<10}{number(now[guest]):>12}{number(usual[guest]):>14}" for guest in GUESTS)]
    if seen.answer:
        text += ["", *_answer(seen)]
    xs = list(range(len(seen.windows)))
    series = {guest: (xs, [read(window, guest) for window in seen.windows]) for guest in GUESTS}
    return "\n".join(text), [
        charts.lines(f"{seen.output[0].upper()}{seen.output[1:]}", series, axes.linear("window of 1 ms", (), top=WINDOWS),
                     axes.linear(unit, [value for _, values in series.values() for value in values]), at=seen.window)]


def _answer(seen: Seen) -> list[str]:
    diagnosis = Diagnosis()
    for window in seen.windows:
        diagnosis.step(window)
    if diagnosis.verdict is None:
        return [f"the rules find nothing in {len(seen.windows)} windows"]
    first = next(each for each in diagnosis.findings if each.fault == diagnosis.verdict)
    return [f"the rules, in window {first.window}:", f"  {FAULTS[diagnosis.verdict].title}"]


def _idle(case: str, output: str, window: int, answer: bool) -> dict[str, str]:
    """Once all windows are counted: which of them is looked at may change nothing."""
    counted, (read, _) = watched(case), OUTPUTS[output]
    if counted.over and len({tuple(number(read(each, guest)) for guest in GUESTS) for each in counted.scene.windows}) == 1:
        return {"window": "each guest's number is the same in all windows"}
    return {}


def panel() -> Panel:
    """A case, an output of it, and a window; at last what the rules say."""
    return Panel(_model, [
        choice("case", CASES, "A", label="Case"), choice("output", OUTPUTS, "us of a request", label="Output"),
        slider("window", 0, WINDOWS - 1, 1, WINDOWS - 2, "Window"), toggle("answer", False, "What the rules say")], _view, name="watch_and_steer", idle=_idle)


# Steering.

_steered = lru_cache(maxsize=512)(steer)


def steered(controller: str = "AIMD", target: int = 120, delay: int = 0, ms: int = 48, seed: int = 1) -> Steered:
    """The bully's limit under a controller."""
    return _steered(SteerParams(controller, target, delay, ms=ms, seed=seed))


def run_own(controller: Controller, target: int = 150, delay: int = 0, seed: int = 1, budget: int | None = None) -> Steered:
    """The bully's limit under a controller of one's own."""
    return steer(SteerParams(target=target, delay=delay, seed=seed), controller, budget)


def controllers_table(target: int = 120) -> str:
    """What comes of each controller, with numbers that are fresh and with old ones."""
    rows = []
    for delay in (0, 3):
        for name in CONTROLLERS:
            one = steered(name, target, delay)
            rows.append((name, delay, one.kept, one.moved, one.worst, one.changes, one.swing, "yes" if one.off else ""))
    return table(rows, ("controller", "looks old", "kept, %", "bully, MB/s", "worst us", "changes", "a swing, ms", "switched off"), "<>>>>>><", title=f"target: {target} us")


@lru_cache(maxsize=1)
def loops_table() -> str:
    """What each closed loop makes of its fault, and the last one with a bad controller."""
    runs = [(loop.form, who_runs(loop, "own", LOOPS_SEED, LOOPS_WINDOWS)) for loop in LOOPS.values()]
    last = runs[-1][1].loop
    return to_table_of_loops([*runs, ("one threshold", who_runs(last, "bad", LOOPS_SEED, LOOPS_WINDOWS))])


def kept(controller: str = "hasty", target: int = 120, delay: int = 0) -> float:
    """Percent of the looks in which the target was kept."""
    return round(steered(controller, target, delay).kept)


def bad_table() -> str:
    """Three controllers that don't work, and what becomes of them."""
    def broken(limit: float, took: float, target: float) -> float:
        return {"low": limit / 2}["high"]

    def odd(limit: float, took: float, target: float) -> float:
        return float("nan")
    return "\n".join(f"{name}: {run_own(one).off}" for name, one in (("no such key", broken), ("no number", odd), ("hasty", CONTROLLERS["hasty"]())))


@lru_cache(maxsize=2)
def contest_table(elsewhere: bool = False) -> str:
    """All controllers on seeds that nobody has seen; `elsewhere`: the bandit has learned on a disk that gives 2,000 MB/s, and this one gives 1,200."""
    base = SteerParams()
    return to_table(compete(replace(base, disk=1200), base) if elsewhere else compete(base))


def _steer_model(controller: str, target: int, delay: int) -> Iterator[Steered]:
    for ms in (20, 48):
        yield steered(controller, target, delay, ms)


def _steer_view(one: Steered) -> Shown:
    ms, took, limit = ([getattr(look, name) for look in one.looks] for name in ("ms", "took", "limit"))
    swing, settled = one.swing, one.settled
    text = "\n".join([
        f"{one.params.controller}, numbers {one.params.delay} looks old", f"target: {one.params.target} us for a read", "",
        f"looks that kept it, %    {number(one.kept):>8}", f"bully, MB/s              {number(one.moved):>8}", f"worst look, us           {number(one.worst):>8}",
        f"changes                  {one.changes:>8}", f"times it turned          {one.turns:>8}", f"ms until it settles      {number(settled) if settled is not None else '-':>8}",
        f"ms from swing to swing   {number(swing) if swing is not None else '-':>8}", f"switched off             {'yes' if one.off else 'no':>8}"])
    x = axes.linear("ms; the bully comes at 8", ms)
    return text, [charts.lines("The bully's limit", {one.params.controller: (ms, limit)}, x, axes.linear("MB/s", limit, top=3000), step=True),
                  charts.lines("The victim's reads", {"victim": (ms, took)}, x, axes.linear("us, on average", [*took, 2 * one.params.target]), step=True, limits={"target": one.params.target})]


def _limits(one: Steered) -> Shown:
    """What of a run depends on how old the numbers are, which it was told with."""
    return "", [{"looks": [(look.limit, look.took) for look in one.looks]}]


@later
def _steer_idle(controller: str, target: int, delay: int) -> Asking:
    """Who does nothing needs no numbers; and others may come to the same limits whatever the numbers' age."""
    if controller == "static":
        return {"delay": "static looks at no numbers"}
    if controller == "hysteresis" and (yield from unmoved(steered, _limits, {"controller": controller, "target": target}, "delay", range(5))):
        return {"delay": "old numbers lead it to the same limits, at the same times"}
    return {}


def steer_panel() -> Panel:
    """Who sets the limit, for which target, with how old a number."""
    return Panel(_steer_model, [
        declared(SteerParams, "controller", "Controller", "AIMD"), choice("target", (100, 120, 150, 250), 120, label="Target, us"),
        declared(SteerParams, "delay", "Delay, in looks", high=4)], _steer_view, name="watch_and_steer_steer", idle=_steer_idle)
