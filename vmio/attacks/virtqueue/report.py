"""The attacks by virtio, run with each check and without it, in every case that they are for; as a table or as plain data."""

from collections.abc import Mapping
from typing import NamedTuple

from vmio.attacks.verdict import FAIL, WEDGED, Outcome
from vmio.attacks.virtqueue.catalogue import QueueAttack, attacks, find
from vmio.attacks.virtqueue.parts import Case
from vmio.table import table

SCHEMA = "vmio.attack.virtio/1"
Ran = list[tuple[Case, Outcome, Outcome]]       # (case, with the check, without)


class Row(NamedTuple):
    """An attack and what it came to in each of its cases."""

    attack: QueueAttack
    ran: Ran

    @property
    def holds(self) -> bool:
        """With the checks nothing was lost, in no case."""
        return all(on.verdict not in (FAIL, WEDGED) for _, on, _ in self.ran)

    @property
    def verdicts(self) -> tuple[str, str]:
        """With the check and without, each once: "REJECT", or, where cases differ, "PASS/REJECT"."""
        on, off = ("/".join(sorted({one[at].verdict for one in self.ran})) for at in (1, 2))     # type: ignore[union-attr]
        return on, off


class Report:
    """All attacks by virtio of a `hostile` "guest" or "host"."""

    def __init__(self, hostile: str = "guest") -> None:
        self.hostile = hostile

    def run(self, only: str | None = None, kept: dict[str, Ran] | None = None) -> list[Row]:
        """Return the rows of all attacks, or of the one with this id (ValueError if there is none); `kept` is filled as each ends."""
        kept = {} if kept is None else kept
        for attack in [find(only, self.hostile)] if only is not None else attacks(self.hostile).values():
            kept[attack.id] = [(case, attack.run(case), attack.run(case, False)) for case in attack.cases]
        return self.rows(kept)

    def rows(self, kept: Mapping[str, Ran]) -> list[Row]:
        """Return the rows of what has ended, in the order of the catalogue."""
        return [Row(attack, kept[id]) for id, attack in attacks(self.hostile).items() if id in kept]

    def to_table(self, rows: list[Row]) -> str:
        """Return verdicts and evidence of each attack's first case as fixed-width text, and in how many cases it was tried."""
        cells = [(row.attack.id, len(row.ran), row.verdicts[0], row.ran[0][1].evidence[:100], row.verdicts[1], row.ran[0][2].evidence[:60]) for row in rows]
        noticed = "what the device answers" if self.hostile == "guest" else "what the driver says"
        return table(cells, ("attack by virtio", "cases", "on", noticed, "off", "what the check prevents"), "<><<<<")

    def listing(self) -> str:
        """Return what there is, as text; nothing is run."""
        return table([(each.id, each.source, each.title) for each in attacks(self.hostile).values()], ("attack by virtio", "VIRTIO 1.2", "what it does"), "<<<")

    def to_dict(self, rows: list[Row]) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"schema": SCHEMA, "hostile": self.hostile, "holds": all(row.holds for row in rows), "attacks": [{**_about(row.attack), "cases": [{
            **case._asdict(), "check": row.attack.check(case)._asdict(), "on": on.verdict, "evidence_on": on.evidence,
            "off": off.verdict, "evidence_off": off.evidence} for case, on, off in row.ran]} for row in rows]}

    def list_to_dict(self) -> dict[str, object]:
        """Return the list as plain data."""
        return {"schema": SCHEMA, "hostile": self.hostile, "attacks": [_about(each) for each in attacks(self.hostile).values()]}


def _about(attack: QueueAttack) -> dict[str, str]:
    return {"id": attack.id, "title": attack.title, "rule": attack.rule, "source": f"VIRTIO 1.2, {attack.source}", "defence": attack.defence}
