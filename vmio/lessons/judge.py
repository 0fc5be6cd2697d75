"""A check for marks, inside somebody else's grading: the notebook's cells go to a new Python, which knows nothing of this kernel.

    from vmio.lessons.judge import judged
    outcome = judged("count-the-exits")
    assert outcome, outcome.text

What a cell has done to `vmio` in its kernel, and what it runs beside what it defines, is not there: of the cells only imports,
functions, classes and plain assignments are run, as `vmio grade` does.  What is left: a cell can replace `judged` itself, or what
it asks for the cells.  Whoever needs to be sure runs `vmio grade` on the notebooks that were handed in.
"""

import json
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any

from vmio import seed
from vmio.lab.check import ERROR, KINDS, Outcome, exercise
from vmio.lessons.grade import answer_of


def judged(slug: str, cells: list[str] | None = None) -> Outcome:
    """Return how the check of an exercise ends for what the cells define: those given, or those that this kernel has run so far."""
    if cells is None:
        cells = _run_so_far()
    told = json.dumps({"slug": slug, "cells": cells, "seed": seed.current()})
    with TemporaryDirectory(prefix="vmio-judge-") as empty:     # -P: no module of the notebook's folder goes before the course's
        done = subprocess.run([sys.executable, "-P", "-m", "vmio.lessons.judge"], input=told, capture_output=True, text=True, cwd=empty)
    try:
        kind, text = json.loads(done.stdout.splitlines()[-1])
        return Outcome(kind if kind in KINDS else ERROR, str(text))
    except (ValueError, TypeError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Outcome(ERROR, f"{slug}: nothing was judged: {last}")


def _run_so_far() -> list[str]:
    """The cells that this kernel has run, as they were typed; ValueError outside a notebook."""
    from IPython import get_ipython
    shell = get_ipython()
    if shell is None:
        raise ValueError("judged() reads the cells of a notebook, and this is none; give it the cells")
    return [str(cell) for cell in shell.history_manager.input_hist_raw[1:]]


def answer(asked: dict[str, Any]) -> tuple[str, str]:
    """Return (kind, text) of what was asked; raises ValueError for an exercise that isn't there."""
    one = exercise(asked["slug"])
    with seed.held(asked["seed"]), TemporaryDirectory(prefix="vmio-judge-", ignore_cleanup_errors=True) as empty:
        outcome = one.check_made(lambda: answer_of(asked["cells"], one, empty))
    return outcome.kind, outcome.text


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
