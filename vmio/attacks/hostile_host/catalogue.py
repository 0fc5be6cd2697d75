"""What a hostile host tries, each with the wall in its way, and what a driver that trusts its host makes of it.

    rows = run()                    of all; `run("ppi-endless")` of one
    print(to_table(rows))
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from vmio.attacks.checks import Check
from vmio.attacks.hostile_host.world import HostWorld
from vmio.attacks.verdict import FAIL, WEDGED, Outcome
from vmio.experiments import many
from vmio.table import table

DEVICES = ("bus", "disk", "network card", "memory", "own device")


@dataclass(frozen=True)
class HostAttack:
    """`act(world)` is what the host does, once, while the guest works; it breaks `rule`, which `source` says.

    `wall` is the function of the guest's that stands in its way ("module:function", of the package), or of the hypervisor's for memory.
    `off(world)` takes it away; None where nothing un-hardened can be shown honestly.  `on_verdict`, `off_verdict`: what must come out.
    `world` makes the guest that is attacked, as `HostWorld` or `LeftoverWorld` does.
    """

    id: str
    title: str
    rule: str
    source: str
    device: str
    act: Callable[[Any], object]
    wall: str
    defence: str
    off: Callable[[Any], Any] | None
    on_verdict: str
    off_verdict: str | None
    world: Callable[[], Any] = HostWorld

    def run(self, defended: bool = True) -> Outcome:
        """Return the `Outcome`, measured in a machine made for it.  ValueError without the defence where there is no such driver."""
        if not defended and self.off is None:
            raise ValueError(f"attack {self.id}: there is no driver without this check to show")
        world = self.world()
        with nullcontext() if defended or self.off is None else self.off(world):
            return world.run(self.act)

    @property
    def check(self) -> Check:
        """Where the wall stands: function and file."""
        module, _, function = self.wall.partition(":")
        return Check(function, f"vmio/{module.replace('.', '/')}.py")


class HostRow(NamedTuple):
    """An attack and its outcomes, with the check and without (None where nothing can be shown)."""

    attack: HostAttack
    on: Outcome
    off: Outcome | None

    @property
    def holds(self) -> bool:
        """With the check nothing was lost."""
        return self.on.verdict not in (FAIL, WEDGED)


def attacks() -> dict[str, HostAttack]:
    """Return all of them, {id: HostAttack}."""
    return {attack.id: attack for room in ("rings", "answers", "frames", "offers", "leftovers")
            for attack in import_module(f"vmio.attacks.hostile_host.{room}").ATTACKS}


def find(id: str) -> HostAttack:
    """Return one attack by its id; ValueError names the command that lists them."""
    found = attacks().get(id)
    if found is None:
        raise ValueError(f"attack {id!r}: no such attack of a host; `python -m vmio attack --hostile host --list` shows them")
    return found


def both(id: str) -> tuple[Outcome, Outcome | None]:
    """Return what the attack of that id comes to, with the check and without."""
    attack = find(id)
    return attack.run(), attack.run(False) if attack.off is not None else None


def run(only: str | None = None, kept: dict[str, tuple[Outcome, Outcome | None]] | None = None) -> list[HostRow]:
    """Return the rows of all attacks, or of the one with this id (ValueError if there is none), on all cores.

    `kept` is filled as each ends, so a run that is stopped has lost nothing (`rows` makes rows of it).
    """
    kept = {} if kept is None else kept
    many.run(both, [find(only).id] if only is not None else list(attacks()), kept, what="attacks")
    return rows(kept)


def rows(kept: dict[str, tuple[Outcome, Outcome | None]]) -> list[HostRow]:
    """Return the rows of what has ended, in the order of the catalogue."""
    return [HostRow(attack, *kept[id]) for id, attack in attacks().items() if id in kept]


def to_table(rows: list[HostRow]) -> str:
    """Return verdicts and evidence as fixed-width text."""
    cells = [(row.attack.id, row.attack.device, row.on.verdict, row.on.evidence[:60], row.off.verdict if row.off else "-",
              row.off.evidence[:60] if row.off else "") for row in rows]
    return table(cells, ("attack of the host", "on", "hardened", "what the guest noticed", "trusting", "what hardening prevents"))


def listing() -> str:
    """Return what there is, as text; nothing is run."""
    return table([(each.id, each.device, each.title) for each in attacks().values()], ("attack of the host", "on", "what it does"))


def to_dict(rows: list[HostRow]) -> dict[str, Any]:
    """Return plain data for JSON."""
    return {"schema": "vmio.attack.host/1", "hostile": "host", "holds": all(row.holds for row in rows), "attacks": [{
        **_about(row.attack), "on": row.on.verdict, "evidence_on": row.on.evidence,
        "off": row.off.verdict if row.off else None, "evidence_off": row.off.evidence if row.off else None} for row in rows]}


def list_to_dict() -> dict[str, Any]:
    """Return the list as plain data."""
    return {"schema": "vmio.attack.host/1", "hostile": "host", "attacks": [_about(each) for each in attacks().values()]}


def _about(attack: HostAttack) -> dict[str, Any]:
    return {**{name: getattr(attack, name) for name in ("id", "title", "device", "rule", "source", "defence")}, "check": attack.check._asdict()}
