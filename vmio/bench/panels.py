"""What a move costs the kernel, every panel: a value that nobody has asked for, and one where the slider has been.

A class works on one server: what counts is how many moves a processor answers in a second.
"""

import sys
from functools import partial
from time import process_time_ns
from typing import Any

from vmio.bench import Row, cost, row

ROUNDS = 5


def measure() -> list[Row]:
    """Move each control of each panel to each of its values and back; no rows without the packages of the lab."""
    try:
        from vmio.lessons.panels import PANELS, make
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("vmio"):
            raise
        print(f"panels: the lab's packages are not installed ({missing}), so they were not measured", file=sys.stderr)
        return []
    rows = []
    for module, maker in PANELS:
        start = process_time_ns()
        panel = make(module, maker)
        built = (process_time_ns() - start) / 1e6
        name = f"{module.partition('.')[0]} {maker}"
        first, rest = zip(*moves(panel))
        again = [sum(ms) for _ in range(ROUNDS) for ms in moves(panel)]
        panel.close()
        rows += [row(f"{name}: to build, CPU ms", [built]), row(f"{name}: a value's first visit, CPU ms", first),
                 row(f"{name}: its dearest first visit, CPU ms", [max(first)], "at most 100"),
                 row(f"{name}: what that leaves for when it is idle, at most, CPU ms", [max(rest)]),
                 row(f"{name}: a move to where it has been, CPU ms", again, "at most 5"),
                 row(f"{name}: moves to where it has been, a core-second", [1000 / ms for ms in again])]
    return rows


def moves(panel: Any) -> Any:
    """(CPU ms of the kernel until a move shows, CPU ms until it shows all): each control to each value, and back to where it was."""
    taken = []
    for name, control in panel.controls.items():
        for value in (*control.values, control.value):
            if value != panel.params[name]:
                taken.append((cost(partial(panel.set, **{name: value}))() / 1e6, cost(panel.finish)() / 1e6))
    return taken
