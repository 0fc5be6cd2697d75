"""What `vmio top` and `vmio diagnose` show: text in the forms that people know, a live table, JSON, or an answer to Prometheus."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from vmio import console
from vmio.manage.diagnose import trial
from vmio.manage.diagnose.faults import FAULTS, fault
from vmio.manage.diagnose.rules import Diagnosis, published
from vmio.manage.diagnose.scene import GUESTS, WINDOW_NS, Plan, Scene
from vmio.manage.monitor import kvmstat, perfmon, prometheus, sysfs, top
from vmio.manage.monitor.exporter import Exporter
from vmio.table import table

SCHEMA = "vmio.top/1"
MOST_WINDOWS, MOST_PACE = 10_000, 60.0


def _scene(args: argparse.Namespace, on_window: Callable[[Scene], None] | None = None) -> Scene:
    if not 3 <= args.windows <= MOST_WINDOWS:
        raise ValueError(f"--windows {args.windows}: 3 to {MOST_WINDOWS:,}")
    if not 0 <= args.pace <= MOST_PACE:
        raise ValueError(f"--pace {args.pace}: 0 to {MOST_PACE:g} seconds")
    return Scene(Plan.of(args.seed, args.windows), fault(args.fault), on_window=on_window)


def run_top(args: argparse.Namespace) -> None:
    """Run the scene and show it."""
    if args.serve is not None:
        return _serve(args)
    if sys.stdout.isatty() and args.view == "top" and not (args.once or args.json):
        return _live(args)
    scene = _scene(args)
    recorder = kvmstat.ExitRecorder(scene.machine)
    if args.view == "perf":
        recorder.on()
    scene.run()
    if args.json:
        console.say(json.dumps(to_dict(scene)))
    else:
        console.say(_view(scene, args.view, recorder).rstrip("\n"))
    return None


def _view(scene: Scene, view: str, recorder: kvmstat.ExitRecorder) -> str:
    now, last = scene.samples[-1], scene.samples[-2]
    if view == "perf":
        return recorder.report()
    if view == "kvm_stat":
        return kvmstat.kvm_stat(now, last)
    if view == "sysfs":
        return "".join(f"{name} {path}: {content.rstrip().replace(chr(10), ' ')}\n" for name, guest in scene.guests.items() for path, content in sysfs.files(guest).items())
    if view == "perfmon":
        return table([(path, f"{value:.3f}") for path, value in perfmon.counters(now, last).items()], ("counter", "%"))
    if view == "pressure":
        return scene.loads["cache"][0].pressure.text()
    return prometheus.text(now) if view == "prometheus" else _screen(scene)


def _screen(scene: Scene) -> str:
    """The table of the last window, and what the rules and Microsoft's thresholds say of the whole run so far."""
    diagnosis = Diagnosis()
    for window in scene.windows:
        diagnosis.step(window)
    lines = [top.text(scene.windows[-1]), ""]
    lines += [f"{who}: {rule.what} is {value:.1f}, above {rule.limit:g}: {rule.advice}" for rule, who, value in published(scene.windows[-1])]
    if diagnosis.verdict is None:
        return "\n".join([*lines, "the rules find nothing"])
    found = FAULTS[diagnosis.verdict]
    first = next(each for each in diagnosis.findings if each.fault == found.name)
    return "\n".join([*lines, f"{found.title}, since window {first.window}: {first.what}, {first.number:.3g}", f"cause: {found.cause}", f"cure: {found.cure}"])


def to_dict(scene: Scene) -> dict[str, Any]:
    """Return plain data for JSON: each guest in the last window, and what was found."""
    diagnosis = Diagnosis()
    for window in scene.windows:
        diagnosis.step(window)
    return {"schema": SCHEMA, "seed": scene.plan.seed, "windows": scene.plan.windows, "window_ns": WINDOW_NS, "guests": top.to_dict(scene.windows[-1]),
            "verdict": diagnosis.verdict, "findings": [each._asdict() for each in diagnosis.findings]}


def _live(args: argparse.Namespace) -> None:
    """One window after another, in place."""
    try:
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        raise ValueError("top needs the package rich to draw in a terminal (pip install rich); with --once it prints text") from None
    with Live(Text(f"{len(GUESTS)} guests start"), auto_refresh=False) as live:
        def show(scene: Scene) -> None:
            if len(scene.samples) > 1:
                live.update(Text(_screen(scene)), refresh=True)
                time.sleep(args.pace)
        _scene(args, show).run()


def _serve(args: argparse.Namespace) -> None:
    exporter = Exporter(args.serve)
    try:
        def show(scene: Scene) -> None:
            exporter.show(prometheus.text(scene.samples[-1]))
            time.sleep(args.pace)
        scene = _scene(args, show)
        console.say(f"http://127.0.0.1:{exporter.port}/metrics")
        scene.run()
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)            # the last sample stays until somebody ends us
    finally:
        exporter.close()


def run_diagnose(args: argparse.Namespace) -> None:
    """Run the trial and show it."""
    if args.list:
        rows = [(each.name, each.title, each.cause, each.cure) for each in FAULTS.values()]
        console.say(json.dumps({"schema": trial.SCHEMA, "faults": [dict(zip(("name", "title", "cause", "cure"), row)) for row in rows]}) if args.json
                    else table(rows, ("fault", "what it is", "cause", "cure"), "<<<<"))
        return
    outcomes = trial.run(args.seeds, args.detector, args.first)
    console.say(json.dumps(trial.to_dict(outcomes, args.detector)) if args.json else trial.to_table(outcomes))
