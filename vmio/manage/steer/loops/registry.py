"""All closed loops of the watched host, by their names, and how a run of each compares with one that nobody steers."""

from vmio.manage.steer.loops import function, limit, moderation, polling
from vmio.manage.steer.loops.closed import Loop, Managed
from vmio.table import table

LOOPS = {loop.name: loop for loop in (limit.LOOP, polling.LOOP, moderation.LOOP, function.LOOP)}


def named(name: str) -> Loop:
    """Return the loop of this name.  ValueError lists those there are."""
    if name not in LOOPS:
        raise ValueError(f"loop {name!r}: choose one of {', '.join(LOOPS)}")
    return LOOPS[name]


def to_table(runs: list[tuple[str, Managed]]) -> str:
    """Return runs as text, a row for each: who decided, and what came of it."""
    rows = [(one.loop.name, who, f"{one.loop.watches} <= {one.loop.target:g}", round(one.kept), "never" if one.settled is None else one.settled,
             one.changes, one.turns, "yes" if one.off else "") for who, one in runs]
    return table(rows, ("loop", "who decides", "objective", "kept, %", "settled after", "changes", "turns", "switched off"), "<<<>>>><")
