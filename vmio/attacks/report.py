"""The whole catalogue, run with the defence on and with it off, as a table or as plain data."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from vmio.attacks.catalogue import Attack, attacks, find
from vmio.attacks.checks import check
from vmio.attacks.verdict import FAIL, WEDGED, Outcome
from vmio.experiments import many
from vmio.table import table

Both = tuple[Outcome, Outcome]      # with the defence, and without


class Row(NamedTuple):
    """An attack and its two outcomes."""

    attack: Attack
    on: Outcome
    off: Outcome

    @property
    def holds(self) -> bool:
        """With the defence on nothing was lost."""
        return self.on.verdict not in (FAIL, WEDGED)


def run(only: str | None = None, kept: dict[str, Both] | None = None) -> list[Row]:
    """`Row`s of all attacks, or of the one with this id (ValueError if there is none), on all cores.

    `kept` is filled with what each came to as it ends, so a run that is stopped has lost nothing (`rows` makes rows of it).
    """
    kept = {} if kept is None else kept
    many.run(both, [find(only).id] if only is not None else list(attacks()), kept, what="attacks")
    return rows(kept)


def both(name: str) -> Both:
    """Return what the attack of that id comes to, with the defence and without."""
    attack = find(name)
    return attack.run(True), attack.run(False)


def rows(kept: Mapping[str, Both]) -> list[Row]:
    """Return the `Row`s of what has ended, in the order of the catalogue."""
    return [Row(attack, *kept[name]) for name, attack in attacks().items() if name in kept]


def to_table(rows: list[Row]) -> str:
    """Verdicts as fixed-width text, with how much slower the neighbour was beside the attack."""
    cells = [(row.attack.id, row.attack.mode, row.on.verdict, row.on.slowdown, row.off.verdict, row.off.evidence)
             for row in rows]
    return table(cells, ("attack", "mode", "on", "slower", "off", "what the defence prevents"))


def listing() -> str:
    """Return what there is, as text; nothing is run."""
    return table([(a.id, a.mode, a.title) for a in attacks().values()], ("attack", "mode", "what it does"))


def to_dict(rows: list[Row]) -> dict[str, Any]:
    """Return plain data for JSON."""
    return {"holds": all(row.holds for row in rows), "attacks": [{
        "id": row.attack.id, "title": row.attack.title, "mode": row.attack.mode, "surface": row.attack.surface,
        "rule": row.attack.rule, "source": row.attack.source, "defence": row.attack.defence, "wall": row.attack.wall, "check": check(row.attack.id)._asdict(),
        "on": row.on.verdict, "off": row.off.verdict, "evidence_on": row.on.evidence, "evidence_off": row.off.evidence,
        "slowdown_on": row.on.slowdown, "slowdown_off": row.off.slowdown,
        "touched_on": [one._asdict() for one in row.on.touched], "touched_off": [one._asdict() for one in row.off.touched]} for row in rows]}


def list_to_dict() -> dict[str, list[dict[str, str]]]:
    """Return the list as plain data."""
    return {"attacks": [{name: getattr(a, name) for name in ("id", "title", "mode", "surface", "rule", "source", "defence")}
                        for a in attacks().values()]}
