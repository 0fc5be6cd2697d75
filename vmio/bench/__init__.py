"""Benchmarks: what this machine reaches, as ratios within one run.  `python -m vmio bench`.

Each prints what it measured beside something measured in the same run on the
same machine, so that a slow or busy machine moves both.  No test has a limit
on them; the design's targets are printed for comparison.
"""

import importlib
import json

from vmio import console

NAMES = ("exits", "disk", "start", "sharing", "growth", "slider", "kvm")


def main(only=None, as_json=False):
    """Run all benchmarks, or the one named; ValueError names those there are."""
    if only is not None and only not in NAMES:
        raise ValueError(f"benchmark {only!r}: choose one of {', '.join(NAMES)}")
    results = {}
    for name in NAMES if only is None else (only,):
        rows = importlib.import_module(f"vmio.bench.{name}").measure()
        results[name] = {row[0]: row[1] for row in rows}
        if not as_json:
            for what, value, target in rows:
                console.say(f"{name:6}  {what:58} {value:>14,.3f}   {target}")
    if as_json:
        console.say(json.dumps(results))


def best(function, repeats=7):
    """The smallest of `repeats` results: what the work costs when nothing else disturbs it."""
    return min(function() for _ in range(repeats))
