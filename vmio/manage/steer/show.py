"""What `vmio steer` shows: three runs of a loop beside each other, one of them window by window, or JSON."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from vmio import console
from vmio.manage.steer.guard import Decide
from vmio.manage.steer.loops import closed
from vmio.manage.steer.loops.closed import Loop, Managed
from vmio.manage.steer.loops.registry import LOOPS, named, to_table
from vmio.table import table

MAKERS: dict[str, Callable[[Loop], Decide]] = {"nobody": lambda loop: closed.nothing, "own": lambda loop: loop.controller(), "bad": lambda loop: loop.bad()}
SCHEMA = "vmio.steer/1"
FEWEST_WINDOWS, MOST_WINDOWS = 6, 1_000


def who_runs(loop: Loop, who: str, seed: int, windows: int) -> Managed:
    """Return the run of a loop with "nobody", its "own" controller or a "bad" one."""
    return closed.run(loop, seed, MAKERS[who](loop), windows)


def run(args: argparse.Namespace) -> None:
    """Run what was asked for and show it.  ValueError for a loop that is none, and for a number of windows that is not allowed."""
    if args.list:
        return _list(args.json)
    if args.loop is None:
        raise ValueError(f"steer: which loop?  Choose one of {', '.join(LOOPS)}")
    if not FEWEST_WINDOWS <= args.windows <= MOST_WINDOWS:
        raise ValueError(f"--windows {args.windows}: {FEWEST_WINDOWS} to {MOST_WINDOWS:,}")
    loop = named(args.loop)
    runs = {who: who_runs(loop, who, args.seed, args.windows) for who in ([args.windows_of] if args.windows_of else MAKERS)}
    if args.json:
        console.say(json.dumps({"schema": SCHEMA, "loop": loop.name, "seed": args.seed, "runs": {who: to_dict(one) for who, one in runs.items()}}))
    elif args.windows_of:
        console.say(windows_table(runs[args.windows_of]))
    else:
        console.say("\n".join([to_table([(loop.form if who == "own" else who, one) for who, one in runs.items()]),
                               *(f"{who}: {one.off}" for who, one in runs.items() if one.off)]))
    return None


def _list(as_json: bool) -> None:
    rows = [(loop.name, loop.fault, loop.watches, f"{loop.bounds.what}, {loop.bounds.unit}", loop.form) for loop in LOOPS.values()]
    heads = ("loop", "a cure for", "watches", "sets", "decides by")
    console.say(json.dumps({"schema": SCHEMA, "loops": [dict(zip(heads, row)) for row in rows]}) if as_json else table(rows, heads, "<<<<<"))


def windows_table(one: Managed) -> str:
    """Return each window of a run as text: the step response."""
    rows = [(look.window, look.figure, look.setting, "the fault" if look.window == one.onset else "") for look in one.looks]
    words = table(rows, ("window", one.loop.watches, f"{one.loop.bounds.what}, {one.loop.bounds.unit}", "begins"), ">>><")
    return f"{words}\n{one.off}" if one.off else words


def to_dict(one: Managed) -> dict[str, Any]:
    """Return plain data for JSON."""
    return {"onset": one.onset, "target": one.loop.target, "kept": one.kept, "settled": one.settled, "changes": one.changes, "turns": one.turns, "off": one.off,
            "looks": [look._asdict() for look in one.looks]}
