"""Charts as plain data: what stands where on an axis, what is said of it, and colours that a colour-blind reader tells apart."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import axes, charts, palette, printed
from vmio.lessons import panels
from vmio.lessons.panels import PANELS, make

# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency (2009): deuteranopia.
DEUTERANOPE = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
SRGB = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
APART = 25      # CIELAB, 1976: 2 to 3 are just noticeable, 10 are seen at a glance


def light(colour):
    """The linear RGB of #RRGGBB."""
    parts = np.array([int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB under D65."""
    x, y, z = (np.cbrt(part) if part > 0.008856 else 7.787 * part + 16 / 116
               for part in SRGB @ np.clip(rgb, 0, 1) / (0.95047, 1, 1.08883))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(one, other):
    """How far two colours are from each other for a deuteranope."""
    return float(np.linalg.norm(lab(DEUTERANOPE @ light(one)) - lab(DEUTERANOPE @ light(other))))


def test_red_and_green_are_close_for_a_deuteranope_and_blue_and_yellow_are_not():
    assert apart("#B22222", "#556B2F") < 15 and apart("#0000FF", "#FFFF00") > 100


@pytest.mark.parametrize("colours", [palette.MODE, palette.PART, dict(enumerate(palette.OTHERS))], ids=["modes", "parts", "others"])
def test_colours_stay_apart_for_deuteranopes(colours):
    for (one, first), (other, second) in combinations(colours.items(), 2):
        assert apart(first, second) >= APART, f"{one} and {other}"


def test_lines_are_seen_on_paper():
    for colour in (*palette.MODE.values(), *palette.OTHERS):
        assert 1.05 / (light(colour) @ (0.2126, 0.7152, 0.0722) + 0.05) >= 3


@pytest.mark.parametrize("value, at", [(0, 0), (0.5, 1 / 12), (1, 1 / 6), (10, 1 / 3), (33_408, 0.92064), (100_000, 1)])
def test_equal_steps_of_a_count_are_factors_of_ten(value, at):
    axis = axes.count("exits", [16, 33_408])
    assert axes.place(axis, value) == pytest.approx(at, abs=1e-4)
    assert [text for _, text in axis["ticks"]] == ["0", "1", "10", "100", "1,000", "10,000", "100,000"]


@pytest.mark.parametrize("values, low, high, ticks", [
    ([52_412], 0, 60_000, ["0", "20,000", "40,000", "60,000"]), ([0], 0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ([-12, 55], -15, 60, ["0", "20", "40", "60"]), ([7], 0, 8, ["0", "2", "4", "6", "8"])])
def test_linear_axes_end_at_round_numbers(values, low, high, ticks):
    axis = axes.linear("us", values)
    assert (axis["low"], axis["high"], [text for _, text in axis["ticks"]]) == (low, high, ticks)


def test_log_axes_hold_their_values_and_mark_given_steps():
    axis = axes.log("us", [3, 70])
    assert (axis["low"], axis["high"], [value for value, _ in axis["ticks"]]) == (2, 100, [2, 5, 10, 20, 50, 100])
    assert [value for value, _ in axes.log("us", [0.3, 700])["ticks"]] == [1, 10, 100, 1000]
    axis = axes.log("sectors", [], [1, 2, 4])
    assert [text for _, text in axis["ticks"]] == ["1", "2", "4"] and axis["low"] < 1 and axis["high"] > 4


def test_a_tick_is_what_it_marks():
    for axis in (axes.linear("x", [7.3]), axes.count("x", [123]), axes.log("x", [0.02, 5e5]), axes.linear("x", (), top=33.7)):
        for value, text in axis["ticks"]:
            assert float(text.replace(",", "")) == value and -1e-9 <= axes.place(axis, value) <= 1 + 1e-9


def test_bars_say_their_numbers_in_one_sentence():
    chart = charts.bars("Exits", {"PIO": 33_408, "HLT": 0}, "exits", log=True)
    assert charts.sentence(chart) == "Exits: PIO 33,408; HLT 0; in exits."
    assert [bar["text"] for bar in chart["bars"]] == ["33,408", "0"]


def test_a_stack_adds_its_parts_up():
    chart = charts.stack("Time", {"split": {"guest": 5, "exit": 9.5}}, "us")
    assert charts.sentence(chart) == "Time: split 14.5 us (guest 5, exit 9.5)."
    assert (chart["axis"]["high"], chart["rows"][0]["total"]) == (15, "14.5 us")


def test_lines_say_what_was_counted_where_the_slider_stands():
    series = {"emulated": ([1, 2, 4], [400, 200, 100]), "b": ([1, 4], [3, 7])}
    chart = charts.lines("Exits", series, axes.log("sectors", [], [1, 2, 4]), axes.linear("exits", [400]), at=2)
    assert [one["here"] for one in chart["series"]] == ["200", None], "b was not counted at 2"
    assert charts.sentence(chart) == "Exits: exits by sectors; emulated 200 at 2, from 100 to 400; b from 3 to 7."


def test_rings_are_steps_with_a_row_of_signals_each():
    chart = charts.rings("Rings", {"to host": [(0, 0), (2_000, 64)]}, {"to host": [1_000]}, full=100)
    assert (chart["series"][0]["x"], chart["series"][0]["ticks"], chart["series"][0]["step"]) == ([0, 2], [1], True)
    assert chart["limits"] == [{"text": "full", "y": 100}] and chart["x"]["high"] == 2 and chart["y"]["high"] == pytest.approx(115)


@pytest.mark.parametrize("module, maker", PANELS)
def test_panels_charts_are_whole_and_their_colours_stay_apart(module, maker):
    panel = make(module, maker)
    for chart in filter(None, panel.charts):
        assert chart["title"] and all(axis["label"] and len(axis["ticks"]) > 1 for axis in map(chart.get, ("axis", "x", "y")) if axis)
        drawn = {one["color"] for one in chart.get("parts") or chart.get("series") or ()}
        assert len(drawn) == len(chart.get("parts") or chart.get("series") or ())
        assert all(apart(one, other) >= APART for one, other in combinations(drawn, 2))
    panel.close()


def test_every_panel_is_listed_but_those_that_show_a_students_own_code():
    made = {(f"{path.parent.name}.{path.stem}", maker) for path in Path(panels.__file__).parent.glob("*/*.py")
            for maker in re.findall(r"^def (\w*panel)\(\)", path.read_text(encoding="utf-8"), re.M)}
    assert made == set(PANELS)


@pytest.mark.parametrize("chart, words", [
    (charts.bars("Exits", {"PIO": 33_408, "HLT": 16}, "exits", log=True), ["Exits", "PIO", "33,408", "1,000"]),
    (charts.stack("Time", {"split": {"guest": 5, "exit": 9}, "emulated": {"guest": 5, "exit": 900}}, "us"), ["905 us", "guest", "900"]),
    (charts.lines("t", {"dma": ([1, 2], [3, 4])}, axes.log("x", (), (1, 2)), axes.linear("y", [4]), at=2, limits={"full": 4}),
     ["dma: 4", "full", "x", "y"]),
    (charts.rings("Rings", {"to host": [(0, 0), (9000, 64)]}, {"to host": [1000]}), ["signals", "bytes used", "virtual time in us"]),
    (charts.dots("Papers", ["one"], {"off": ("#D55E00", "diamond", [(2, 0)])}, axes.log("ratio", (), (0.5, 1, 2)), (0.9, 1.1), 1),
     ["one", "off", "ratio", "0.5"])], ids=lambda value: value["kind"] if isinstance(value, dict) else "")
def test_print_says_what_the_page_says(chart, words):
    text = printed.svg(chart)
    said = [one.replace("\xa0", "") for one in re.findall(r"<text[^>]*>([^<]*)", text)]
    assert set(words) <= set(said), said
    assert text == printed.svg(chart) and f'aria-label="{charts.sentence(chart)}"' in text
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:bold |700 )?([\d.]+)px", text)]
    assert sizes and min(sizes) >= 14
