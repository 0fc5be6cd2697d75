"""What a host may change in *Keep secrets*, on a disk and on the way, and what comes of it: tables, and a panel with each protection on or off."""

from collections import Counter
from functools import lru_cache

from vmio.experiments import tampering, tampering_way
from vmio.experiments.tampering import GARBLED, NOTICED, UNNOTICED
from vmio.experiments.tampering_way import Protections
from vmio.lab import charts
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.table import table

SHORT = {"write another, erase the tags": "write one, erase the tags", "put the old letter back": "put the old one back",
         "put the old letter and its tags back": "put it and its tags back", "let two letters change places": "let two change places"}


def tampering_table() -> str:
    """What the guest notices of each change."""
    rows = [(change, *(tampering.run(change, kept).what for kept in tampering.KEPT)) for change in tampering.TAMPERINGS]
    return table(rows, ("what the host does to the disk", *tampering.KEPT), "<<<<<")


def flipped() -> tuple[int, int]:
    """How many bytes of the letter are wrong after one flipped bit: in clear, and encrypted."""
    in_clear, encrypted = (tampering.run("flip a bit", kept).wrong for kept in (tampering.PLAIN, tampering.XTS))
    assert in_clear is not None and encrypted is not None
    return in_clear, encrypted


def way_table() -> str:
    """What is noticed of each change on the way, in clear and protected."""
    rows = [(change, *(tampering_way.run(change, protected) for protected in (False, True))) for change in tampering_way.TAMPERINGS]
    return table(rows, ("what the host does on the way", "in clear", "protected"), "<<<")


# The panel.

@lru_cache(maxsize=16)
def _outcomes(protections: Protections) -> dict[str, dict[str, str]]:
    return protections.outcomes()


def _model(encrypted: bool, tags: bool, records: bool, bound: bool) -> Protections:
    return Protections(encrypted, tags, records, bound)


def _view(one: Protections) -> Shown:
    found = _outcomes(one)
    kept = [("disk", tampering.KEPT[one.encrypted + 2 * one.tags]), ("wire", "TLS records" if one.records else "in clear"),
            ("device", "bound by TDISP" if one.bound else "plain")]
    text = []
    for where, how in kept:
        text += [f"{where}, {how}:", *(f"  {SHORT.get(change, change):<26}{what:>10}" for change, what in found[where].items())]
    counts = {where: Counter(outcomes.values()) for where, outcomes in found.items()}
    return "\n".join(text), [charts.stack("What comes of the host's changes", {
        where: {what: counts[where][what] for what in (NOTICED, GARBLED, UNNOTICED)} for where in counts}, "tried")]


def _idle(tags: bool, **others: object) -> dict[str, str]:
    return {"encrypted": "who can read a disk is one thing, and tags notice the same on both"} if tags else {}


def changes_panel() -> Panel:
    """All changes of the host's, with each of a guest's protections on or off."""
    return Panel(_model, [
        declared(Protections, "encrypted", "Disk encrypted"),
        declared(Protections, "tags", "Tags on disk"),
        declared(Protections, "records", "Wire sealed"),
        declared(Protections, "bound", "Device bound")], _view, name="keep_secrets changes", idle=_idle)
