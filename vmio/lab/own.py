"""A student's own driver in the live machine: what it costs at any setting, drawn, beside the reference.

`driver_panel` takes an exercise whose check.py has a `cost` (`vmio.lab.cost`), and controls for its settings.  A student's
runs in a process of its own, each setting once; only counts come back, so whatever it does, the page is safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmio.lab import charts
from vmio.lab.check import exercise
from vmio.lab.controls import Control, choice
from vmio.lab.cost import INSTRUCTION, Counts, table_of
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel

YOURS, REFERENCE = "yours", "reference"
ARROWS = {      # what is counted: who touches whom, in which way
    "exits": ("guest", "hypervisor", "exits", "exit"),
    "to the worker": ("hypervisor", "host", "to the worker", "exit"),
    "bytes sent": ("host", "device", "bytes", "data"),
    "sectors in memory": ("host", "guest", "sectors", "data"),
    "interrupts": ("device", "guest", "interrupts", "interrupt"),
}


@dataclass(frozen=True)
class Run:
    """What both drivers counted at a setting, whose is looked at, and in words what was run."""

    driver: str
    yours: Counts | str
    reference: Counts
    what: str


def driver_panel(slug: str, answer: Any, controls: Sequence[Control], device: str) -> Panel:
    """Return a panel in which a driver runs: `controls` are settings of the exercise's `cost`, `device` the name in its box."""
    one = exercise(slug)
    known: dict[tuple[Any, ...], tuple[Counts | str, Counts]] = {}

    def model(driver: str, **settings: Any) -> Run:
        key = tuple(settings.items())
        if key not in known:
            known[key] = one.counts(answer, **settings)
        return Run(driver, *known[key], one.what(**settings))

    def view(run: Run) -> Any:
        if isinstance(run.yours, dict):
            text = table_of(run.yours, run.reference, run.what)
        elif run.yours == one.NOT_YET:
            text = f"{run.what}\n\n{one.load('stub').__name__} is not written yet.\nWrite it, run its check,\nand run this cell again."
        else:
            text = f"{run.what}\n\nYour driver: {run.yours}."
        both = {YOURS: run.yours, REFERENCE: run.reference}
        counts, title = both[run.driver], f"{device}, {run.driver}"
        if isinstance(counts, str):
            return text, [None, None], {"edges": [], "title": title}
        exits = {name: counted["exits"] for name, counted in both.items() if isinstance(counted, dict)}
        parts = {name.removeprefix(INSTRUCTION): number for name, number in counts.items() if name.startswith(INSTRUCTION)}
        edges = [edge(source, target, label, counts[name], kind) for name, (source, target, label, kind) in ARROWS.items() if name in counts]
        return text, [charts.bars("Exits of both", exits, "exits"),
                      charts.bars("Exits by instruction", parts, "exits") if parts else None], {"edges": edges, "title": title}
    return Panel(model, [choice("driver", (YOURS, REFERENCE), label="Driver"), *controls], view, name=f"own {slug}",
                 live=MachineView(title=device, notes={"device": device}))
