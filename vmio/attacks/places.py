"""What there is to reach beside a hostile guest, and what a run found there.

    neighbour     RAM, disk, rings, registers, interrupts, frames: canaries; requests: how many were answered, and how fast
    host          memory, tables (of its IOMMU), interrupts: canaries; itself: is it alive, and what does it keep
    next guest    RAM: a canary in the memory that the hostile guest had when it died
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

PLACES = {"neighbour": ("RAM", "disk", "rings", "registers", "interrupts", "frames", "requests"),
          "host": ("memory", "tables", "interrupts", "itself"), "next guest": ("RAM",)}
HOWS = ("changed", "leaked", "late", "stopped", "filled")
_GUARDS = {"host's page": ("host", "memory"), "host's first page": ("host", "memory"), "hypercall page": ("host", "memory"),
           "IOMMU's root table": ("host", "tables")}     # what a canary stands for whose name doesn't say it


class Touch(NamedTuple):
    """Something that was reached: `whose` and `what` of PLACES, `how` of HOWS."""

    whose: str
    what: str
    how: str


def place(name: str) -> tuple[str, str]:
    """Return (whose, what) of a canary's name; ValueError for one that is on no map."""
    whose, _, what = name.partition("'s ")
    found = _GUARDS.get(name) or (whose, what)
    if found[1] not in PLACES.get(found[0], ()):
        raise ValueError(f"canary {name!r} is on no map; name it after one of "
                         f"{', '.join(f'{one}{chr(39)}s {each}' for one, all in PLACES.items() for each in all)}")
    return found


def touches(changed: Iterable[str], leaked: Iterable[str], down: Iterable[str], late: bool,
            held: Mapping[str, tuple[int, int]]) -> tuple[Touch, ...]:
    """Return what was reached, once each, in the order of PLACES.

    `changed`, `leaked`, `down`: names of canaries, and of what no longer goes on;
    `late`: the neighbour's requests were; `held` {what: (number, most)} as a world has it.
    """
    found = {Touch(*place(name), how) for how, names in (("changed", changed), ("leaked", leaked), ("stopped", down)) for name in names}
    if late:
        found.add(Touch("neighbour", "requests", "late"))
    if any(number > most for number, most in held.values()):
        found.add(Touch("host", "itself", "filled"))
    order = [(whose, what) for whose, whats in PLACES.items() for what in whats]
    return tuple(sorted(found, key=lambda one: (order.index(one[:2]), HOWS.index(one.how))))
