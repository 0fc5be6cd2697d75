"""What is stored of a panel shows its faults: planted ones change the text that nbval compares."""

import ast
import base64
import json
import struct
from dataclasses import replace

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lab import axes, charts, panel_text
from vmio.lab.panel import Panel
from vmio.lessons.break_isolation import panel as isolation
from vmio.lessons.break_isolation import reach
from vmio.lessons.course import COURSE
from vmio.lessons.start_here import panel as lesson

WHERE = "To see the panel, run the cells from the top down to this one.\n\n"


def outputs(name):
    """(source, outputs) of each code cell of a lesson as it is stored."""
    cells = json.loads((data.NOTEBOOKS / COURSE.notebook(name)).read_text(encoding="utf-8"))["cells"]
    return [("".join(cell["source"]), cell["outputs"]) for cell in cells if cell["cell_type"] == "code"]


def panels(name):
    """The texts of a lesson's stored panels, with all that the cell holds."""
    return [("".join(one["data"]["text/plain"]).removeprefix(WHERE), one["data"]) for _, found in outputs(name) for one in found
            if "".join(one.get("data", {}).get("text/plain", "")).startswith(WHERE)]


def _control(change):
    def plant(monkeypatch):
        declared = lesson.declared
        monkeypatch.setattr(lesson, "declared", lambda *args, **options: change(declared(*args, **options)))
    return plant


def _chart(change, kind="bars"):
    def plant(monkeypatch):
        whole = getattr(charts, kind)
        monkeypatch.setattr(charts, kind, lambda *args, **options: change(whole(*args, **options)))
    return plant


def _edge(change):
    def plant(monkeypatch):
        edge = lesson.edge
        monkeypatch.setattr(lesson, "edge", lambda *args, **options: change(edge(*args, **options)))
    return plant


def _longer_axis(monkeypatch):
    count = axes.count
    monkeypatch.setattr(axes, "count", lambda *args: {**count(*args), "high": 10 * count(*args)["high"]})


FAULTS = {
    "a slider's words": _control(lambda one: replace(one, label=one.label + "s")),
    "a slider's range": _control(lambda one: replace(one, values=one.values[:-1] if one.name == "block" else one.values)),
    "a slider's default": _control(lambda one: replace(one, value=one.values[-1]) if one.name == "guests" else one),
    "a slider's help": _control(lambda one: replace(one, help="")),
    "a missing control": lambda monkeypatch: monkeypatch.setattr(
        lesson, "Panel", lambda run, controls, *args, **options: Panel(run, controls[:-1], *args, **options)),
    "dead sliders": lambda monkeypatch: monkeypatch.setattr(Panel, "_moved", lambda self, change: None),
    "an arrow's words": _edge(lambda one: {**one, "label": one["label"] + "?"}),
    "an arrow's count": _edge(lambda one: {**one, "count": 2 * one["count"]}),
    "an arrow's kind": _edge(lambda one: {**one, "kind": "data"}),
    "a chart's title": _chart(lambda one: {**one, "title": "Exits"}),
    "a chart's numbers": _chart(lambda one: {**one, "bars": [{**bar, "text": bar["text"] + "0"} for bar in one["bars"]]}),
    "a chart's axis": _longer_axis,
    "a missing chart": _chart(lambda one: None),
    "the time's parts": _chart(lambda one: {**one, "parts": one["parts"][::-1]}, "stack"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_changes_what_is_stored(fault, monkeypatch):
    stored, = [text for text, _ in panels("start_here")]
    panel = lesson.panel()
    assert panel_text.describe(panel, moved=True) == stored
    panel.close()
    FAULTS[fault](monkeypatch)
    assert panel_text.describe(lesson.panel(), moved=True) != stored


def _map(**change):
    def plant(monkeypatch):
        whole = isolation.attack_map
        monkeypatch.setattr(isolation, "attack_map", lambda *args: {**whole(*args), **change})
    return plant


def _places(change):
    def plant(monkeypatch):
        whole = isolation.attack_map
        monkeypatch.setattr(isolation, "attack_map", lambda *args: (drawn := whole(*args)) | {"guests": [
            {**guest, "places": [change(one) for one in guest["places"]]} for guest in drawn["guests"]]})
    return plant


def _fields(change):
    def plant(monkeypatch):
        whole = reach.fields
        monkeypatch.setattr(reach, "fields", lambda found: change(whole(found)))
    return plant


def _frames(change):
    def plant(monkeypatch):
        whole = isolation.moments
        monkeypatch.setattr(isolation, "moments", lambda log: change(whole(log)))
    return plant


MAP_FAULTS = {
    "another wall": _map(wall="SLAT"), "another function": _map(check="open"), "another file": _map(file="vmio/table.py"),
    "a wall that is not there": _map(wallIs="off"), "an arrow that goes through": _map(way="through"),
    "an arrow that is stopped": _map(way="stopped"), "another end": _map(end="stopped"), "another door": _map(door="rings"),
    "nothing is harmed": _places(lambda one: {**one, "harmed": False}), "all is intact": _places(lambda one: {**one, "state": "intact"}),
    "no aim": _places(lambda one: {**one, "aim": False}), "a guest left out": lambda monkeypatch: monkeypatch.setattr(
        isolation, "states", lambda result, whole=isolation.states: {"neighbour": whole(result)["neighbour"], "host": whole(result)["host"]}),
    "another attack's lines": lambda monkeypatch: monkeypatch.setattr(isolation, "lines", lambda attack: ["pass"]),
    "a switch that switches nothing": lambda monkeypatch: monkeypatch.setattr(
        isolation, "outcome", lambda id, without="nothing", whole=isolation.outcome: whole(id, "nothing")),
    "dead controls": FAULTS["dead sliders"],
}
LANE_FAULTS = {
    "a step left out": _frames(lambda frames: frames[:4] + frames[5:]), "two steps swapped": _frames(lambda frames: [*frames[1::-1], *frames[2:]]),
    "another value": _frames(lambda frames: [{**one, "has": {**one["has"], "page number": "640"}} for one in frames]),
    "another arrow": _frames(lambda frames: [{**one, "target": "guest"} for one in frames]),
    "no harm": _frames(lambda frames: [{**one, "harm": False} for one in frames]),
    "another time": _frames(lambda frames: [{**one, "us": one["us"] + 1} for one in frames]),
    "dead controls": FAULTS["dead sliders"],
}


REACH_FAULTS = {
    "an attack left out": _fields(lambda rows: {**rows, ("host", "tables"): {}}),
    "a cross that is none": _fields(lambda rows: {**rows, ("host", "tables"): {"passthrough": {"dma-into-the-tables": "changed"}}}),
    "another mode": _fields(lambda rows: {**rows, ("host", "tables"): {"split": rows["host", "tables"]["passthrough"]}}),
    "a row left out": _fields(lambda rows: {where: row for where, row in rows.items() if where != ("host", "tables")}),
    "another row is looked at": lambda monkeypatch: monkeypatch.setattr(
        reach, "reach_map", lambda title, ways, rows, _, whole=reach.reach_map: whole(title, ways, rows, ("host", "tables"))),
    "a switch that switches nothing": MAP_FAULTS["a switch that switches nothing"], "dead controls": FAULTS["dead sliders"],
}


def on_the_map():
    """What is stored of the map of *Break isolation*: the panel, and before it the same in words without the defence."""
    panel = isolation.panel()
    panel.set(id="dma-stale-mapping", without="its defence")
    panel.finish()
    words = f"the map in words: {panel.live.text}"
    panel.set(id="dma-into-neighbour", without="nothing")
    text = panel_text.describe(panel, moved=True)
    panel.close()
    return words, text


@pytest.mark.parametrize("fault", MAP_FAULTS)
def test_a_fault_planted_in_the_map_changes_what_is_stored(fault, monkeypatch):
    stored = panels("break_isolation")[1][0], "".join(
        "".join(one["text"]) for _, found in outputs("break_isolation") for one in found if one["output_type"] == "stream")

    def is_stored():
        words, text = on_the_map()
        return text == stored[0] and words in stored[1]
    assert is_stored()
    MAP_FAULTS[fault](monkeypatch)
    try:
        assert not is_stored()
    except ValueError as refused:
        assert "is on no map" in str(refused)


@pytest.mark.parametrize("fault", REACH_FAULTS)
def test_a_fault_planted_among_all_attacks_changes_what_is_stored(fault, monkeypatch):
    stored = panels("break_isolation")[0][0]
    assert panel_text.describe(isolation.reach_panel(), moved=True) == stored
    REACH_FAULTS[fault](monkeypatch)
    try:
        assert panel_text.describe(isolation.reach_panel(), moved=True) != stored
    except ValueError as refused:
        assert "is not there" in str(refused)


@pytest.mark.parametrize("fault", LANE_FAULTS)
def test_a_fault_planted_in_the_lanes_changes_what_is_stored(fault, monkeypatch):
    stored = panels("break_isolation")[2][0]
    assert panel_text.describe(isolation.fetches_panel(), moved=True) == stored
    LANE_FAULTS[fault](monkeypatch)
    assert panel_text.describe(isolation.fetches_panel(), moved=True) != stored


def test_to_describe_a_panel_leaves_it_as_it_was(monkeypatch):
    panel = lesson.panel()
    panel.set(mode="split", queue_depth=8)
    before = panel.text, panel.params
    panel_text.describe(panel, moved=True)
    assert (panel.text, panel.params) == before
    monkeypatch.setenv("VMIO_STRICT", "0")
    assert "Moved, " not in panel_text.describe(panel) and "[In flight] 8; allowed: powers of two" in panel_text.describe(panel)


@pytest.mark.parametrize("name", COURSE.names)
def test_every_lesson_stores_its_panels_with_a_picture_and_no_control_is_dead(name):
    found = panels(name)
    assert found
    for text, bundle in found:
        assert "lines change at" in text and any(words in text for words in ("Chart: ", "The hostile guest goes by", "Who gets where")) == ("image/png" in bundle)
        if "image/png" in bundle:
            wide, high = struct.unpack(">II", base64.b64decode(bundle["image/png"])[16:24])
            assert wide >= 500 and high >= 100


@pytest.mark.parametrize("name", COURSE.names)
def test_no_stored_output_is_missing(name):
    for source, found in outputs(name):
        if source.startswith("%") or "NBVAL_IGNORE_OUTPUT" in source:
            continue
        last = ast.parse(source).body[-1]
        called = last.value.func if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) else None
        quiet = not isinstance(last, ast.Expr) or isinstance(called, ast.Attribute) and called.attr in ("set", "append")
        assert found or quiet and "print(" not in source, source
