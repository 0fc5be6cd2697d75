"""The numbers of a panel as CSV: every panel's, equal to what is drawn, each with its unit, in a new file or in none."""

import csv
import io
import os

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import axes, charts, rows
from vmio.lab.controls import choice, slider, toggle
from vmio.lab.isolation_view import IsolationView
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.lab.reach_view import ReachView, called
from vmio.lab.ring_view import RingView
from vmio.lab.timeline_view import TimelineView
from vmio.lessons.panels import PANELS, make
from vmio.machine import files
from vmio.table import number


def read(text):
    """The rows of a CSV text as `rows.Row`s of text."""
    head, *found = csv.reader(io.StringIO(text))
    assert tuple(head) == rows.HEAD
    return [rows.Row(*row) for row in found]


def said(value):
    """A number out of the file as a page writes it."""
    return number(float(value))


def of(found, title):
    return [row for row in found if row.shown_in == title]


def check_chart(chart, mine):
    """The rows of one chart against the words and places that the page draws."""
    if chart["kind"] == "bars":
        assert {row.name: said(row.value) for row in mine} == {bar["name"]: bar["text"] for bar in chart["bars"]}
        assert {row.unit for row in mine} == {chart["unit"]}
    elif chart["kind"] == "stack":
        drawn = {(row["name"], part["name"]): text for row in chart["rows"] for part, text in zip(chart["parts"], row["texts"])}
        assert {(row.name, row.series): said(row.value) for row in mine} == drawn and {row.unit for row in mine} == {chart["axis"]["label"]}
    elif chart["kind"] == "dots":
        drawn = [(group["name"], chart["names"][at], value) for group in chart["groups"] for value, at in group["points"]]
        assert [(row.series, row.name, float(row.value)) for row in mine] == drawn and {row.unit for row in mine} == {chart["axis"]["label"]}
    else:
        points = [row for row in mine if row.value and row.series]
        drawn = [(one["name"], x, y) for one in chart["series"] for x, y in zip(one["x"], one["y"])]
        assert [(row.series, float(row.x), float(row.value)) for row in points] == drawn
        assert {(row.x_unit, row.unit) for row in points} == {(chart["x"]["label"], chart["y"]["label"])}
        assert [(row.series, float(row.x)) for row in mine if row.name == "signal"] == [
            (one["name"], x) for one in chart["series"] for x in one["ticks"]]
        assert [(row.name, float(row.value)) for row in mine if not row.series] == [(one["text"], one["y"]) for one in chart["limits"]]


def check_panel(panel):
    """Everything that a panel shows is in its file, once."""
    found = read(panel.csv())
    shown = [chart for chart in panel.charts if chart is not None]
    assert {row.name: row.value for row in of(found, "setting")} == {
        panel.controls[name].label: str(value) for name, value in panel.params.items()}
    for chart in shown:
        check_chart(chart, of(found, chart["title"]))
    assert [row.name for row in of(found, "readout")] == [line.rstrip() for line in panel.text.splitlines() if line.strip()]
    if isinstance(panel.live, MachineView):
        arrows = [(f"{one['source']} to {one['target']}", one["label"], str(one["count"])) for one in panel.live.edges]
        assert [(row.name, row.unit, row.value) for row in of(found, "drawing") if row.series != "canary"] == arrows
    if isinstance(panel.live, RingView):
        steps = of(found, "ring")
        for name in ("write", "read", "used", "mask", "pending", "signals"):
            assert [int(row.value) for row in steps if row.series == name] == [frame[name] for frame in panel.live.frames]
    if isinstance(panel.live, IsolationView):
        drawn = panel.live.drawn
        assert [(row.name, row.value) for row in of(found, "map")][:3] == [
            (drawn["wall"], drawn["wallIs"]), (drawn["check"], drawn["file"]), (drawn["end"], drawn["way"])]
        assert [(row.series, row.name, row.value) for row in of(found, "map")][3:] == [
            (guest["name"], f"{one['name']}: {one['state']}", str(int(one["harmed"]))) for guest in drawn["guests"] for one in guest["places"]]
    if isinstance(panel.live, ReachView):
        assert sorted((row.series, row.name, row.value) for row in of(found, "reach")) == sorted(
            (way, f"{called(guest['name'], place['name'])}: {one['id']}", one["how"]) for guest in panel.live.reach["guests"]
            for place in guest["places"] for way, field in zip(panel.live.reach["ways"], place["fields"]) for one in field)
    if isinstance(panel.live, TimelineView):
        steps = of(found, "steps")
        assert [(row.series, row.name, float(row.x), row.value) for row in steps if row.unit == "harm"] == [
            (one["who"], one["text"], one["us"], str(int(one["harm"]))) for one in panel.live.frames]
        assert [(row.series, row.value) for row in steps if row.unit != "harm"] == [
            (lane, has) for one in panel.live.frames for lane, has in one["has"].items()]
    assert panel.live is None or isinstance(panel.live, rows.Tabled) and list(panel.live.rows()), "a drawing says its numbers"
    assert {row.shown_in for row in found} <= {"setting", "drawing", "ring", "map", "reach", "steps", "readout", *(chart["title"] for chart in shown)}
    assert all(row.unit for row in found if row.value != "" and row.shown_in != "setting")
    return found


@pytest.mark.parametrize("module, maker", PANELS, ids=[f"{module} {maker}" for module, maker in PANELS])
def test_every_panel_has_all_its_numbers_in_a_file(module, maker):
    panel = make(module, maker)
    first = check_panel(panel)
    moved = next((name for name, control in panel.controls.items() if len(control.values) > 1), None)
    control = panel.controls[moved]
    panel.set(**{moved: next(value for value in control.values if value != panel.params[moved])})
    second = check_panel(panel)
    assert first != second and len(of(first, "setting")) == len(panel.controls)
    panel.close()


def sample(**more):
    """A panel with one of everything."""
    def view(answer):
        count, on, kind = answer
        shown = [charts.bars("Bars", {"a": count, "b, with a \"comma\"": 0.125}, "exits"),
                 charts.stack("Parts", {"one": {"guest": 1 / 3, "exit": count}}, "us"),
                 charts.lines("Lines", {"dma": ([1, 2], [count, 1e-9])}, axes.log("KiB", (), (1, 2)), axes.linear("us", (0, count)), limits={"full": 7},
                              ticks={"dma": [1.5]}), None,
                 charts.dots("Dots", ["x", "y"], {"off": ("#000000", "circle", [(0.5, 1)])}, axes.log("ratio", (), (0.1, 1)), (0.9, 1.1), 1)]
        return f"count {count:,}\n\nkind {kind}  ", shown, {"edges": [edge("guest", "hypervisor", "exits", count)], "canaries": {"g": on}}
    return Panel(lambda **params: tuple(params.values()), [slider("count", 1, 9000, 1, 4096, "Count"), toggle("on", True, "On"),
                                                          choice("kind", ("x", "ü"), label="Kind")], view, name="csv sample", live=MachineView(), **more)


def test_the_rows_of_one_of_everything():
    found = read(sample().csv())
    assert found == [rows.Row(*row) for row in (
        ("setting", "", "Count", "", "", "4096", ""), ("setting", "", "On", "", "", "True", ""), ("setting", "", "Kind", "", "", "x", ""),
        ("drawing", "exit", "guest to hypervisor", "", "", "4096", "exits"), ("drawing", "canary", "g", "", "", "1", "intact"),
        ("Bars", "", "a", "", "", "4096", "exits"), ("Bars", "", 'b, with a "comma"', "", "", "0.125", "exits"),
        ("Parts", "guest", "one", "", "", "0.3333333333333333", "us"), ("Parts", "exit", "one", "", "", "4096", "us"),
        ("Lines", "dma", "", "1", "KiB", "4096", "us"), ("Lines", "dma", "", "2", "KiB", "1e-09", "us"),
        ("Lines", "dma", "signal", "1.5", "KiB", "", ""), ("Lines", "", "full", "", "", "7", "us"),
        ("Dots", "off", "y", "", "", "0.5", "ratio"), ("readout", "", "count 4,096", "", "", "", ""), ("readout", "", "kind x", "", "", "", ""))]


def test_the_unit_of_a_declared_control_goes_along():
    panel = make("start_here.panel", "panel")
    units = {name: row.unit for name, row in zip(panel.controls, of(read(panel.csv()), "setting"))}
    assert units == {"mode": "", "block": "bytes", "queue_depth": "", "guests": ""}


def test_a_sweep_is_counted_to_its_end_first():
    def model(top):
        yield from range(top + 1)

    panel = Panel(model, [slider("top", 1, 9, 1, 5, "Top")], lambda at: (f"at {at}", []), name="csv sweep")
    assert panel.so_far[0] == "at 0" and read(panel.csv())[-1].name == "at 5"


def test_a_panel_without_a_run_says_so_and_goes_on(monkeypatch, tmp_path):
    monkeypatch.setenv("VMIO_STRICT", "0")

    def model(number):
        if number == 3:
            raise ValueError("number is 3; allowed: others.")
        return number
    panel = Panel(model, [slider("number", 1, 9, 1, 5, "Number")], lambda at: (f"at {at}", []), name="csv failing")
    panel.set(number=3)
    for ask in (panel.csv, lambda: panel.save_csv(tmp_path / "x.csv")):
        with pytest.raises(ValueError, match="panel csv failing shows no run: number is 3; allowed: others."):
            ask()
    panel.set(number=4)
    assert read(panel.csv())[-1].name == "at 4" and os.listdir(tmp_path) == []


def test_a_file_is_new_and_whole_or_not_there(tmp_path, monkeypatch):
    panel, path = sample(), tmp_path / "run ü.csv"
    panel.save_csv(path)
    assert path.read_bytes().decode("utf-8") == panel.csv() and os.listdir(tmp_path) == [path.name]
    panel.set(count=1)
    before = path.read_bytes()
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    for taken in (path, tmp_path / "link.csv", tmp_path):
        with pytest.raises(ValueError, match="something has that name, and it stays; choose another name"):
            panel.save_csv(taken)
    assert path.read_bytes() == before and not (tmp_path / "nowhere").exists()
    with pytest.raises(ValueError, match="there is no folder"):
        panel.save_csv(tmp_path / "none" / "x.csv")
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left on device"):
        panel.save_csv(tmp_path / "full.csv")
    assert sorted(os.listdir(tmp_path)) == ["link.csv", path.name]


def test_what_came_a_moment_ago_stays(tmp_path, monkeypatch):
    panel, path, fsync = sample(), tmp_path / "run.csv", os.fsync

    def meanwhile(number):
        path.write_text("somebody else's")
        fsync(number)
    monkeypatch.setattr(files.os, "fsync", meanwhile)
    with pytest.raises(ValueError, match="something has that name, and it stays"):
        panel.save_csv(path)
    assert path.read_text() == "somebody else's" and os.listdir(tmp_path) == ["run.csv"]


def test_where_no_links_are_the_file_is_renamed(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(95, "Operation not supported")
    monkeypatch.setattr(files.os, "link", none)
    panel = sample()
    panel.save_csv(tmp_path / "run.csv")
    assert (tmp_path / "run.csv").read_text() == panel.csv() and os.listdir(tmp_path) == ["run.csv"]


def test_the_page_gets_the_file_it_asked_for_and_nothing_else(monkeypatch):
    panel, sent = sample(), []
    monkeypatch.setattr(panel.card, "send", lambda content, buffers=None: sent.append(content))
    for nonsense in ({}, {"want": "csv"}, {"want": "csv", "by": 5}, {"want": "all", "by": "me"}, "csv", None, [1]):
        panel.card._handle_custom_msg(nonsense, [])
    assert sent == []
    panel.card._handle_custom_msg({"want": "csv", "by": "me"}, [])
    assert sent == [{"csv": panel.csv(), "name": "vmio-csv-sample.csv", "by": "me"}]
