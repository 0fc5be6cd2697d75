"""A panel read as a student reads it: every arrow, every number of its charts and of its words, held against what a run says."""

import re
from dataclasses import dataclass, field
from itertools import combinations, product
from math import isclose, isnan

from vmio.table import number

NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?(?!\w)")

ANY = object()      # where an axis ends: not counted


@dataclass
class Truth:
    """What a panel must show.

    `arrows` {(from, to): count}; `charts` [{name: value or [(x, y), ...]}], as `drawn` reads one; `words` all numbers of the
    readout, in its order; `totals` {number of a chart: what its values add up to}.  Of an attack's map: `on_map` are all numbers,
    `harmed` the places {(whose, what)}.
    """

    words: list
    arrows: dict = field(default_factory=dict)
    charts: list = field(default_factory=list)
    totals: dict = field(default_factory=dict)
    on_map: list | None = None
    harmed: set = field(default_factory=set)


def numbers(text):
    """All numbers of a text, as (value, decimals)."""
    return [(float(word.replace(",", "")), len(word.partition("e")[0].partition(".")[2])) for word in NUMBER.findall(text)]


def drawn(chart):
    """What a chart shows as {name: value or points}."""
    if chart["kind"] == "bars":
        return {bar["name"]: bar["value"] for bar in chart["bars"]}
    if chart["kind"] == "stack":
        parts = [part["name"] for part in chart["parts"]]
        return {(row["name"], part): value for row in chart["rows"] for part, value in zip(parts, row["values"])}
    if chart["kind"] == "dots":
        return {group["name"]: sorted(map(tuple, group["points"])) for group in chart["groups"]}
    return {one["name"]: list(zip(one["x"], one["y"])) for one in chart["series"]}


def written(chart):
    """[(a number's text in a chart, the value that it stands for), ...]"""
    if chart["kind"] == "bars":
        return [(bar["text"], bar["value"]) for bar in chart["bars"]]
    if chart["kind"] == "stack":
        return [pair for row in chart["rows"] for pair in
                (*zip(row["texts"], row["values"]), (row["total"].split()[0], sum(row["values"])))]
    if chart["kind"] == "lines":
        return [(one["here"], dict(zip(one["x"], one["y"]))[chart["at"]]) for one in chart["series"] if one["here"] is not None]
    return []


def near(one, other):
    """Equal but for what adding up in another order makes; lists and tuples part by part."""
    if other is ANY:
        return True
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(near, one, other))
    if isinstance(one, str) or isinstance(other, str) or one is None or other is None:
        return one == other
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-6) or isnan(one) and isnan(other)


def faults(panel, truth, so_far=False):
    """What a panel shows and should not, as sentences; [] if all is as it was counted.  `so_far`: of a sweep that has just begun."""
    text, charts = panel.so_far if so_far else (panel.text, panel.charts)
    found = []
    edges = panel.live.edges if panel.live is not None and hasattr(panel.live, "edges") else []
    arrows = {(one["source"], one["target"]): one["count"] for one in edges}
    found += [f"arrow {pair}: {arrows.get(pair)}, counted {truth.arrows.get(pair)}" for pair in sorted({*arrows, *truth.arrows})
              if arrows.get(pair) != truth.arrows.get(pair)]
    said = panel.live.text if edges else ""
    for one in edges:
        if one["count"] and f"{one['source']} to {one['target']}: {number(one['count'])} {one['label']}" not in said:
            found.append(f"not said: {one['label']}")
    if truth.on_map is not None:
        shown = panel.live.drawn
        places = [(whose["name"], place) for whose in shown["guests"] for place in whose["places"]]
        said = [value for words in (shown["end"], *(place["state"] for _, place in places)) for value, _ in numbers(words)]
        found += [f"the map says {said}, counted {truth.on_map}"] * (said != truth.on_map)
        harmed = {(whose, place["name"]) for whose, place in places if place["harmed"]}
        found += [f"the map shows {harmed} harmed, it was {truth.harmed}"] * (harmed != truth.harmed)
    charts = [chart for chart in charts if chart is not None]
    if len(charts) != len(truth.charts):
        found.append(f"{len(charts)} charts, {len(truth.charts)} expected")
    for at, (chart, true) in enumerate(zip(charts, truth.charts)):
        shown = drawn(chart)
        found += [f"{chart['title']}, {name}: {shown.get(name)}, counted {true.get(name)}" for name in {**shown, **true}
                  if name not in shown or name not in true or not near(shown[name], true[name])]
        found += [f"{chart['title']}: {text} written for {value}" for text, value in written(chart) if text != number(value)]
        if at in truth.totals and not near(sum(shown.values()), truth.totals[at]):
            found.append(f"{chart['title']}: adds up to {sum(shown.values())}, all are {truth.totals[at]}")
    words = numbers(text)
    if len(words) != len(truth.words):
        found.append(f"{len(words)} numbers in the readout, {len(truth.words)} counted: {[value for value, _ in words]} {truth.words}")
    for (value, decimals), true in zip(words, truth.words):
        if abs(value - true) > 0.5000001 * 10 ** -decimals:
            found.append(f"the readout says {value}, counted {true}")
    return found


def of_control(control):
    """All values of a choice or tick box; of a slider both ends, its default and one in between."""
    if control.kind in ("choice", "toggle"):
        return list(dict.fromkeys((control.value, *control.values)))
    values = control.values
    return list(dict.fromkeys((control.value, values[0], values[-1], values[2 * len(values) // 3])))


def settings(panel, alone=()):
    """Settings of a panel in which each value of a control meets each of every other; those of `alone` meet the defaults only."""
    values = {name: of_control(control) for name, control in panel.controls.items()}
    first = {name: of[0] for name, of in values.items()}
    paired = [name for name in values if name not in alone]
    left = {((one, a), (other, b)) for one, other in combinations(paired, 2) for a, b in product(values[one], values[other])}
    yield first
    left -= _pairs(first)
    while left:
        chosen = dict(min(left, key=repr))      # one that is still to come, and whatever goes with it
        for name in paired:
            if name not in chosen:
                chosen[name] = max(values[name], key=lambda value: len(left & _pairs({**chosen, name: value}, paired)))
        chosen = {**first, **chosen}
        left -= _pairs(chosen)
        yield chosen
    for name in values if len(paired) < 2 and not alone else alone:
        yield from ({**first, name: value} for value in values[name][1:])


def _pairs(chosen, order=None):
    """All pairs of a setting, in one order of the controls."""
    return set(combinations([(name, chosen[name]) for name in order or chosen if name in chosen], 2))
