"""What the panel of all attacks says: for each thing that is not the attacker's and each mode, which attacks aim there, and which get there."""

from collections.abc import Mapping
from typing import TypeAlias

from vmio.attacks.catalogue import MODES, attacks
from vmio.attacks.places import PLACES, Touch
from vmio.lab.panel import Shown
from vmio.lab.reach_view import called, reach_map

LOOK_AT = {called(whose, what): (whose, what) for whose, whats in PLACES.items() for what in whats}
Touched: TypeAlias = tuple[tuple[Touch, ...], tuple[Touch, ...]]      # what an attack has touched: as it was run, and without its own defence
Answer: TypeAlias = tuple[str, str, Mapping[str, Touched]]        # what is switched off, where one looks, {id: what it has touched}


def fields(found: Mapping[str, Touched]) -> dict[tuple[str, str], dict[str, dict[str, str]]]:
    """Return {(whose, what): {mode: {id: how it gets there, "" if it doesn't}}}; an attack aims at what it gets to without its own defence."""
    rows: dict[tuple[str, str], dict[str, dict[str, str]]] = {where: {mode: {} for mode in MODES} for where in LOOK_AT.values()}
    for id, attack in attacks().items():
        now, aims = found.get(id, ((), ()))
        for where in dict.fromkeys(one[:2] for one in (*aims, *now)):
            rows[where][attack.mode][id] = " and ".join(one.how for one in now if one[:2] == where)
    return rows


def view(answer: Answer) -> Shown:
    """Return the readout, no charts, and the drawing."""
    without, place, found = answer
    rows, where, every = fields(found), LOOK_AT[place], len(attacks())
    here = [how for field in rows[where].values() for how in field.values()]
    text = [place, f"switched off: {without}", f"attacks that aim there: {len(here)}", f"attacks that get there: {sum(map(bool, here))}", "",
            f"of all {every} attacks", f"{sum(bool(now) for now, _ in found.values())} get somewhere"]
    if len(found) < every:
        text.append(f"{every - len(found)} are still to be run")
    return "\n".join(text), [], {"reach": reach_map(f"Who gets where, switched off: {without}", MODES, rows, where)}
