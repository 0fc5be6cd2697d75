"""Tables and panel of *Break isolation*: a hostile guest, with each defence on and off."""

from functools import lru_cache

from vmio.attacks.catalogue import MODES, attacks, find
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.lab.controls import choice, toggle
from vmio.lab.figures import CountBars
from vmio.lab.panel import Panel
from vmio.table import table

VERDICTS = (PASS, REJECT, FAIL, WEDGED)
WHAT = {PASS: "no effect", REJECT: "refused", FAIL: "leaked or changed", WEDGED: "no progress"}


@lru_cache(maxsize=512)
def outcome(id, defence):
    """The `Outcome` of one attack in a machine made for it; the same question gets the same answer."""
    return find(id).run(defence)


def one_table(id):
    """One attack: what it does, which rule it breaks, and what came of it."""
    attack, on, off = find(id), outcome(id, True), outcome(id, False)
    return table([("what it does", attack.title), ("the rule", attack.rule), ("who says so", attack.source),
                  ("the defence", attack.defence), ("defence on", f"{on.verdict}: {on.evidence}"),
                  ("defence off", f"{off.verdict}: {off.evidence}")], (id, ""))


def verdicts_table():
    """How many attacks ended how, by mode."""
    rows = []
    for mode in MODES:
        of_mode = [attack.id for attack in attacks().values() if attack.mode == mode]
        for defence in (True, False):
            ends = [outcome(id, defence).verdict for id in of_mode]
            rows.append((mode, "on" if defence else "off", len(of_mode), *(ends.count(verdict) for verdict in VERDICTS)))
    return table(rows, ("mode", "defences", "attacks", *VERDICTS))


def matrix_table():
    """What was leaked (L) or changed (C) with the defences off, by resource and mode; "." is intact.  All on: all intact."""
    crossed = {}
    for attack in attacks().values():
        for words in outcome(attack.id, False).crossed:
            resource, _, how = words.rpartition(" ")
            crossed.setdefault(resource, {}).setdefault(attack.mode, set()).add(how[0].upper())
    rows = [(resource, *("".join(sorted(by_mode.get(mode, "."))) for mode in MODES))
            for resource, by_mode in sorted(crossed.items())]
    on = [words for attack in attacks().values() for words in outcome(attack.id, True).crossed]
    return table(rows, ("resource", *MODES)) + f"\n\nwith all defences on: {len(on)} resources leaked or changed"


def floods_table():
    """How many times as long the neighbour's requests take beside each flood; "-": they never end, or the host doesn't."""
    floods = [attack for attack in attacks().values() if attack.surface == "floods"]
    rows = [(attack.id, *(outcome(attack.id, on).slowdown or "-" for on in (False, True)), attack.defence) for attack in floods]
    return table(rows, ("attack", "off", "on", "defence"))


def double_fetch_table():
    """A host that checks a length in shared memory and then uses it, step by step, against one that fetches once."""
    rows = []
    for fetches in (2, 1):
        shared, room = {"length": 64}, 128
        checked = shared["length"]
        rows.append((f"fetches {fetches}", "host", f"reads the length: {checked}, and there is room for {room}"))
        shared["length"] = 4096
        rows.append(("", "guest", "writes 4,096 over it"))
        used = shared["length"] if fetches == 2 else checked
        rows.append(("", "host", f"copies {used:,} bytes: " + ("past its buffer" if used > room else "what it has checked")))
    return table(rows, ("host", "who", "does what"))


_slow = CountBars("Neighbour: times as long", width=4.6, left=0.3, height=1.7)


def _run(id, defence):
    return find(id), outcome(id, defence), defence


def _view(answer):
    attack, result, defence = answer
    times = f"{result.slowdown:g} times as long" if result.slowdown else "it or the host stopped"
    text = "\n".join([
        attack.id, f"mode: {attack.mode}", f"defence {'on' if defence else 'off'}: {result.verdict}",
        f"  ({WHAT[result.verdict]})", f"neighbour: {times}", "", *_wrap(attack.title), "",
        *_wrap("evidence: " + result.evidence), "", *_wrap("defence: " + attack.defence)])
    return text, [_slow.update({"at rest": 1, "beside it": result.slowdown or 0})]


def _wrap(text, width=38):
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) + 1 > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def panel():
    """Any attack, with its defence on or off."""
    return Panel(_run, [choice("id", attacks(), "ring-double-fetch", label="Attack"),
                        toggle("defence", True, label="Defence on")], _view, name="break_isolation")
