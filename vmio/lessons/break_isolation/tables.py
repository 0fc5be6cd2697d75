"""Tables of *Break isolation*: every attack, measured, by mode, by what it reaches, and by who noticed."""

from collections.abc import Mapping
from typing import Any

from vmio.attacks.catalogue import MODES, attacks, find
from vmio.attacks.places import PLACES
from vmio.attacks.series import series
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED, Outcome
from vmio.lessons.break_isolation.panel import outcome
from vmio.table import table

VERDICTS = (PASS, REJECT, FAIL, WEDGED)
WAYS = (("emulated", "nothing"), ("split", "nothing"), ("passthrough", "nothing"), ("passthrough", "the IOMMU"), ("hypervisor", "nothing"))
HOLE = "scsi-into-foreign-page"     # the attack against which a defence got lost
FIRST = ("scsi-short-answer", "ring-double-fetch", "scsi-read-past-the-end", "scsi-buffer-too-small")


def _reached(result: Outcome) -> str:
    """What was reached, in words."""
    return "; ".join(f"the {one.whose} {one.how}" if one.what == "itself" else f"{one.whose}'s {one.what} {one.how}"
                     for one in result.touched) or "nothing"


def _refused(counts: Mapping[str, int]) -> str:
    """Who refused, and how often, in words."""
    return "; ".join(f"{who}: {count}" for who, count in counts.items()) or "nothing"


def ids(mode: str) -> list[str]:
    """The ids of a mode's attacks."""
    return [attack.id for attack in attacks().values() if attack.mode == mode]


def harmful(mode: str, without: str) -> list[str]:
    """Which of a mode's attacks do damage, FAIL or WEDGED, `without` one of `panel.WITHOUT`."""
    return [id for id in ids(mode) if outcome(id, without).verdict in (FAIL, WEDGED)]


def noticed() -> list[str]:
    """Which attacks somebody refuses when every defence is on."""
    return [id for id in attacks() if outcome(id).verdict == REJECT]


def without_iommu_table() -> str:
    """The attacks through a passed-through device that do damage in a machine without an IOMMU, and what they reach."""
    rows = [(id, find(id).wall, _reached(outcome(id, "the IOMMU")))
            for id in harmful("passthrough", "the IOMMU")]
    return table(rows, ("attack", "the wall that is missing", "measured"))


def verdicts_table() -> str:
    """How many attacks ended how, by mode."""
    rows = []
    for mode in MODES:
        for word, without in (("on", "nothing"), ("its own off", "its defence")):
            ends = [outcome(id, without).verdict for id in ids(mode)]
            rows.append((mode, word, len(ends), *(ends.count(verdict) for verdict in VERDICTS)))
    return table(rows, ("mode", "defences", "attacks", *VERDICTS))


def reach_table() -> str:
    """For each thing that is not the attacker's and each way to a disk: how many attacks reach it, of how many that aim at it.

    An attack aims at what it reaches when its own defence is off; both are what canaries and probes say.
    """
    def reached(id: str, without: str) -> set[tuple[str, str]]:
        return {(one.whose, one.what) for one in outcome(id, without).touched}
    rows: list[tuple[Any, ...]] = []
    for whose, whats in PLACES.items():
        for what in whats:
            cells = []
            for mode, without in WAYS:
                aims = [id for id in ids(mode) if (whose, what) in reached(id, "its defence")]
                hits = sum((whose, what) in reached(id, without) for id in ids(mode))
                cells.append(f"{hits} of {len(aims)}" if aims or hits else ".")
            rows.append((whose, what, *cells))
    harm = [sum(bool(reached(id, without)) for id in attacks()) for without in ("nothing", "its defence")]
    return (table(rows, ("whose", "what", "emulated", "split", "passthrough", "no IOMMU", "hypervisor"), "<<>>>>>")
            + f"\n\nattacks that reach something: {harm[0]} of {len(attacks())} with all walls up, {harm[1]} of {len(attacks())} without their own")


def floods_table() -> str:
    """How many times as long the neighbour's requests take beside each flood; "-": they never end, or the host doesn't."""
    floods = [attack for attack in attacks().values() if attack.surface == "floods"]
    rows = [(attack.id, *(outcome(attack.id, without).slowdown or "-" for without in ("its defence", "nothing")), attack.defence)
            for attack in floods]
    return table(rows, ("attack", "off", "on", "defence"))


def refusals_table() -> str:
    """What is known of an attack afterwards: two of each verdict, with what the host has counted."""
    rows = []
    for id, without in (("scsi-short-answer", "nothing"), ("scsi-read-past-the-end", "nothing"), ("scsi-read-past-the-end", "its defence"),
                        ("ring-index-outside", "its defence")):
        one = outcome(id, without)
        rows.append((one.verdict, id, "on" if without == "nothing" else "off", _reached(one),
                     _refused(one.refused)))
    return table(rows, ("verdict", "attack", "its defence", "reached", "refusals counted"))


def series_table() -> str:
    """A guest that tries one attack and then another, on a host that stops it at the first refusal and has lost one check."""
    rows = []
    for first in FIRST:
        one = series(first, HOLE)
        rows.append((first, _refused(one.noticed), "yes" if one.tried else "no",
                     _reached(one.outcome)))
    return table(rows, ("first attempt", "the host has noticed", f"{HOLE} tried", "lost in the end"))
