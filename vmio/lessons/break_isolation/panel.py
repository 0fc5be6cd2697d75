"""Panels of *Break isolation*: a map on which a hostile guest's attack is an arrow, and the double fetch, access by access."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from vmio.attacks import fetches
from vmio.attacks.catalogue import DOORS, OF_THE_IOMMU, Attack, attacks, find, lines
from vmio.attacks.checks import check
from vmio.attacks.places import PLACES
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED, Outcome
from vmio.attacks.world import AFTER, ROUNDS
from vmio.lab.controls import choice, toggle
from vmio.lab.isolation_view import IsolationView, attack_map
from vmio.lab.panel import Panel, Shown
from vmio.lab.reach_view import ReachView
from vmio.lab.timeline_view import TimelineView, moment
from vmio.lessons.break_isolation import reach
from vmio.table import number

WITHOUT = ("nothing", "its defence", "the IOMMU")
ASKED = ROUNDS + AFTER      # requests of the neighbour's
WORDS = {"changed": "changed", "leaked": "leaked", "late": "late", "stopped": "stopped", "filled": "overfull"}
MEANS = {PASS: "harmless, and nobody noticed", REJECT: "harmless, and somebody said no", FAIL: "leaked or changed",
         WEDGED: "somebody no longer gets on"}
RING = "page number"


_known: dict[tuple[str, str], Outcome] = {}     # of what was run before


def outcome(id: str, without: str = "nothing") -> Outcome:
    """The `Outcome` of one attack in a machine made for it, `without` one of WITHOUT; the same question gets the same answer."""
    if (id, without) not in _known:
        _known[id, without] = find(id).run(defended=without != "its defence", iommu=without != "the IOMMU")
    return _known[id, without]


def _run(id: str, without: str) -> Iterator[tuple[Attack, str, Outcome | None, Outcome | None]]:
    """Yield (attack, what is switched off, its outcome, what it reaches without its defence): first what is quickly had."""
    attack = find(id)
    if attack.long and (id, without) not in _known:
        yield attack, without, None, None
    asked = outcome(id, without)
    if (id, "its defence") not in _known and without != "its defence":
        yield attack, without, asked, None
    yield attack, without, asked, outcome(id, "its defence")


def _standing(attack: Attack, without: str) -> bool:
    return without != "its defence" and not (without == "the IOMMU" and attack.mode == "passthrough" and attack.wall in OF_THE_IOMMU)


def _missing(attack: Attack, without: str) -> str:
    """What is switched off, in words; and why it changes nothing, where it doesn't."""
    if without != "the IOMMU" or not _standing(attack, without):
        return f"switched off: {without}"
    return "no IOMMU, but another wall holds" if attack.mode == "passthrough" else "no IOMMU, and no device here needs it"


def ending(attack: Attack, without: str, result: Outcome | None) -> tuple[str, str]:
    """(way of the arrow, what came of it in words), from what was measured."""
    if result is None:
        return "waiting", "it runs now"
    hows = {(one.what, one.how) for one in result.touched}
    if ("itself", "stopped") in hows:
        return "through", "the host has stopped"
    if ("requests", "stopped") in hows:
        return "through", "the neighbour has stopped"
    if ("requests", "late") in hows:
        return "through", f"the neighbour waits {result.slowdown:.0f} times as long"
    if ("itself", "filled") in hows:
        return "through", "the host keeps more than it should"
    if hows:
        return "through", "went through"
    if result.refused:
        return "stopped", "refused: somebody said no"
    return ("stopped", "stopped: nobody noticed") if _standing(attack, without) else ("nowhere", "no wall, but nothing is reached")


def states(result: Outcome | None) -> dict[str, dict[str, str]]:
    """{whose: {what: its state in words}}, as the canaries and probes found it."""
    found = {whose: dict.fromkeys(whats, "" if result is None else "intact") for whose, whats in PLACES.items()}
    if result is None:
        return found
    found["neighbour"]["requests"] = f"{result.answered} of {ASKED}"
    found["host"]["itself"] = "alive"
    for one in result.touched:
        if (one.what, one.how) != ("requests", "stopped"):
            told = found[one.whose][one.what]
            word = f"{result.slowdown:.0f} times" if one.how == "late" else WORDS[one.how]
            found[one.whose][one.what] = f"{told}, {word}" if told in WORDS.values() else word
    return found


def _view(answer: tuple[Attack, str, Outcome | None, Outcome | None]) -> Shown:
    attack, without, result, reached = answer
    way, end = ending(attack, without, result)
    wall = "up" if _standing(attack, without) else "off"
    harmed = [one[:2] for one in result.touched] if result else []
    aims = [one[:2] for one in reached.touched] if reached else []
    drawn = attack_map(attack.id, DOORS, attack.door, attack.wall, check(attack.id), wall, way, end, states(result), harmed, aims)
    said = [attack.id, *_wrap(attack.title), f"mode {attack.mode}", _missing(attack, without)]
    if result is None:
        said += ["", "It takes a while: the machine runs now."]
    else:
        slow = "" if not result.slowdown else ", as fast as ever" if result.slowdown == 1 else f", {result.slowdown:g} times as long"
        said += [f"verdict {result.verdict}:", f"  {MEANS[result.verdict]}", *_wrap(f"measured: {result.evidence}"),
                 f"neighbour: {result.answered} of {ASKED} requests", f"  answered{slow}", *_wrap(f"the wall: {attack.defence}")]
    return "\n".join(said), [], {"drawn": drawn, "code": lines(attack)}


def _wrap(text: str, width: int = 38) -> list[str]:
    found, line = [], ""
    for word in text.split():
        if len(line) + len(word) + 1 > width:
            found.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*found, line]


def panel() -> Panel:
    """Any attack as an arrow: with all walls up, without its own, or in a machine without an IOMMU."""
    return Panel(_run, [choice("id", attacks(), "ring-double-fetch", label="Attack"),
                        choice("without", WITHOUT, label="Switched off")], _view, name="break_isolation", live=IsolationView())


def _reach(without: str, place: str) -> Iterator[reach.Answer]:
    """Yield what all attacks touch: of those that were run before at once, then of one more each time."""
    def asked(attack: Attack) -> str:
        return "nothing" if without == "the IOMMU" and attack.mode != "passthrough" else without      # there is none that could be missing
    known = [attack for attack in attacks().values() if {(attack.id, asked(attack)), (attack.id, "its defence")} <= _known.keys()]
    found = {attack.id: (outcome(attack.id, asked(attack)).touched, outcome(attack.id, "its defence").touched) for attack in known}
    yield without, place, found
    for attack in attacks().values():
        if attack.id not in found:
            found = {**found, attack.id: (outcome(attack.id, asked(attack)).touched, outcome(attack.id, "its defence").touched)}
            yield without, place, found


def reach_panel() -> Panel:
    """All attacks at once: with all walls up, each without its own, or in a machine without an IOMMU."""
    return Panel(_reach, [choice("without", WITHOUT, label="Switched off"), choice("place", reach.LOOK_AT, label="Look at")], reach.view,
                 name="break_isolation reach", live=ReachView())


Fetched: TypeAlias = tuple[bool, list[fetches.Access], Outcome]      # does the host copy first? accesses, and what came of it


@lru_cache(maxsize=2)
def watched(copy_first: bool) -> tuple[list[fetches.Access], Outcome]:
    """(accesses, outcome) of the double fetch."""
    return fetches.watched(copy_first)


def _fetches(copy_first: bool) -> Fetched:
    return copy_first, *watched(copy_first)


LANES = (fetches.OTHER, fetches.GUEST, RING, fetches.HOST, fetches.DISK)


def moments(log: list[fetches.Access]) -> list[dict[str, Any]]:
    """The frames of the double fetch, of what was written down in the run."""
    frames = []
    for one in log:
        has = {}
        if one.word is not None:
            has[RING] = number(one.word)
        if one.held is not None:
            has[fetches.HOST] = number(one.held)
        source = target = one.who
        if one.does == "stores":
            target = RING
        elif one.does == "fetches":
            source = RING
        elif one.does == "orders":
            source = fetches.HOST
        frames.append(moment(one.ns / 1000, one.who, source, target, one.what, has, one.harm))
    return frames


def _fetches_view(answer: Fetched) -> Shown:
    copy_first, log, result = answer
    looks = sum(one.does == "fetches" for one in log)
    checked = next(one for one in log if one.does == "checks")
    used = next(one for one in log if one.does == "orders")
    text = "\n".join([
        f"the host copies the request first: {'yes' if copy_first else 'no'}",
        f"the page number is fetched {'once' if looks == 1 else 'twice'}; checked: {number(checked.held)}; used: {number(used.held)}",
        f"verdict {result.verdict}: {result.evidence}"])
    return text, [], {"lanes": list(LANES), "frames": moments(log), "frame": 0, "title": f"Double fetch, copy first {'on' if copy_first else 'off'}."}


def fetches_panel() -> Panel:
    """The double fetch, step by step, on a host that copies first and on one that does not."""
    return Panel(_fetches, [toggle("copy_first", False, label="Host copies first")], _fetches_view, name="break_isolation fetches",
                 live=TimelineView(lanes=list(LANES)))
