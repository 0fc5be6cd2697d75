"""How often are the rules right?  A hundred seeds, each with one of the faults or none, and what came of it.

    right      the fault was named, and not before it began
    wrong      another one was named
    missed     nothing was found
    false      something was found where nothing was wrong, or before it was

The time to detect is from the onset to the end of the first window that the right rule spoke of.
"""

from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median
from typing import Any

from vmio.experiments import many
from vmio.manage.diagnose.faults import FAULTS, fault
from vmio.manage.diagnose.rules import diagnose
from vmio.manage.diagnose.scene import WINDOW_NS, Plan, Scene
from vmio.table import table

NONE = "none"
SCHEMA = "vmio.diagnose/1"
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Outcome:
    """One seed: what was put in, what was named, and how long it took, in ns (None if it was not named)."""

    seed: int
    fault: str
    verdict: str
    early: bool                # something was found before the onset
    detected_ns: int | None

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        if self.fault == NONE:
            return "right" if self.verdict == NONE else "false"
        return "false" if self.early else "right" if self.verdict == self.fault else "missed" if self.verdict == NONE else "wrong"


def chosen(seed: int) -> str:
    """Return the fault of a seed, or "none"."""
    return Random(f"fault {seed}").choice([NONE, *FAULTS])


def one(detector: str, seed: int) -> Outcome:
    """Run the scene of a seed, and ask the rules."""
    name, plan = chosen(seed), Plan.of(seed)
    found = diagnose(Scene(plan, fault(name)).run().windows, detector)
    first = next((finding.window for finding in found.findings if finding.fault == name and finding.window >= plan.onset), None)
    early = any(finding.window < plan.onset for finding in found.findings)
    return Outcome(seed, name, found.verdict or NONE, early, None if first is None else (first + 1 - plan.onset) * WINDOW_NS)


def run(seeds: int = 100, detector: str = "cusum", first: int = 1) -> list[Outcome]:
    """Return the outcomes of so many seeds, on all cores of this machine.  ValueError for a number of seeds that is not allowed."""
    if not 1 <= seeds <= MOST_SEEDS:
        raise ValueError(f"seeds {seeds}: 1 to {MOST_SEEDS:,}")
    return many.run(partial(one, detector), range(first, first + seeds), what="seeds")


def summary(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Return a row for each fault that came: how many of each kind, and the median time to detect in ms."""
    rows = []
    for name in [*FAULTS, NONE]:
        mine = [outcome for outcome in outcomes if outcome.fault == name]
        if mine:
            kinds = [outcome.kind for outcome in mine]
            times = [outcome.detected_ns / 1e6 for outcome in mine if outcome.kind == "right" and outcome.detected_ns is not None]
            rows.append({"fault": name, "runs": len(mine), **{kind: kinds.count(kind) for kind in ("right", "wrong", "missed", "false")},
                         "median_ms": median(times) if times else None})
    return rows


def to_table(outcomes: list[Outcome]) -> str:
    """Return the rows as text, and the sums below."""
    rows = [tuple("" if value is None else value for value in row.values()) for row in summary(outcomes)]
    faulty = [outcome for outcome in outcomes if outcome.fault != NONE]
    right = sum(outcome.kind == "right" for outcome in faulty)
    alarms = sum(outcome.kind == "false" for outcome in outcomes)
    words = table(rows, ("fault", "runs", "right", "wrong", "missed", "false alarm", "median ms to detect"))
    return f"{words}\n{right} of {len(faulty)} faults named; {alarms} false alarms in {len(outcomes)} runs"


def to_dict(outcomes: list[Outcome], detector: str) -> dict[str, Any]:
    """Return plain data for JSON: the seeds, too."""
    faulty = [outcome for outcome in outcomes if outcome.fault != NONE]
    return {"schema": SCHEMA, "detector": detector, "rows": summary(outcomes),
            "detection_rate": sum(outcome.kind == "right" for outcome in faulty) / len(faulty) if faulty else None,
            "false_alarms": sum(outcome.kind == "false" for outcome in outcomes),
            "outcomes": [{"seed": each.seed, "fault": each.fault, "verdict": each.verdict, "kind": each.kind,
                          "ms": None if each.detected_ns is None else each.detected_ns / 1e6} for each in outcomes]}
