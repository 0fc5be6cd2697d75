"""Charts in a page of their own: the same numbers and places as in Python, and at any width no text on another."""

import pytest

import panel_moves  # beside this file
from vmio.lab import axes, charts
from vmio.lab.card import _STATIC
from vmio.table import number

pytestmark = pytest.mark.browser

NUMBERS = [0, 1, -5, 12.345, 0.012345, 2500.0, 1234567, 99.96, 99.94, 0.00123, 1e-7, 0.0001, 3.0, -0.5, 33_408.25, 2.5]
LONG = "a name that somebody chose without a thought for the room"
CHARTS = [
    charts.bars("Exits by reason", {"IO_INSTRUCTION": 33_408, "EXTERNAL_INTERRUPT": 16, "HLT": 0}, "exits", log=True),
    charts.bars(f"{LONG}, as a title", {LONG: 123_456_789, "b": 0.5}, f"{LONG}, as a unit", log=True),
    charts.bars("Nothing", {"a": 0, "b": 0}, "exits"),
    charts.stack("Time", {"emulated": {"guest": 5, "exit": 900, "device": 0.1}, "passthrough": {"guest": 5, "exit": 0, "device": 99_999}}, "us"),
    charts.stack("One", {"time": {"guest": 0, "exit": 0}}, "us"),
    charts.lines("Sweep", {name: ([1, 2, 4, 8, 16, 64, 256], [3 + at, 9, 27, 5_000, 2, 40_000, 1]) for at, name in
                           enumerate(("emulated", "split", "passthrough"))},
                 axes.log("KiB a read", (), (0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 64, 256)), axes.log("us", (1, 40_000)), at=16),
    charts.lines("Corner", {"dma": ([0.0625, 1], [0, 9])}, axes.log("x", (), (0.0625, 1)), axes.linear("y", [9])),
    charts.lines("Saved", {"split": ([1, 2], [-14_000, 9])}, axes.log("x", (), (1, 2)), axes.linear("%", (-14_000, 9)), limits={"10 %": 10}),
    charts.rings("Rings", {"to the host": [(0, 0), (9_000_000, 128)], "to the guest": [(0, 0), (9_000_000, 64)]},
                 {"to the host": [1000, 2000], "to the guest": [3000]}, full=4096),
    charts.dots("Papers", ["exit ladder", LONG], {"agrees": ("#009E73", "circle", [(1, 0), (2, 1)]), "off": ("#D55E00", "diamond", [(0.5, 0)])},
                axes.log("model / paper", (), (0.5, 1, 2)), (0.9, 1.1), 1)]
DRAW = """([charts, room, em]) => {
    document.body.innerHTML = '<div class="vmio-panel"><pre class="vmio-readout">x</pre><div class="vmio-figures"></div></div>';
    for (const chart of charts) {
        const slot = document.querySelector('.vmio-figures').appendChild(document.createElement('div'));
        drawChart(add(slot, 'svg'), chart, room, em);
    }
    return [...document.querySelectorAll('svg')].map(one => Number(one.getAttribute('height')));
}"""


@pytest.fixture(scope="module")
def page(chromium):
    with chromium(1280, 720) as page:
        page.set_content("<body></body>")
        page.add_script_tag(content=(_STATIC / "charts.js").read_text(encoding="utf-8"))
        yield page


def test_numbers_are_written_as_in_python(page):
    assert page.evaluate("values => values.map(number)", NUMBERS) == [number(value) for value in NUMBERS]


@pytest.mark.parametrize("axis", [axes.linear("x", [-12, 55]), axes.count("x", [33_408]), axes.log("x", [0.2, 700])], ids=lambda one: one["kind"])
def test_places_are_those_of_python(page, axis):
    values = [value for value, _ in axis["ticks"]] + [(axis["low"] + axis["high"]) / 3]
    assert page.evaluate("([axis, values]) => values.map(value => place(axis, value))", [axis, values]) == \
        pytest.approx([axes.place(axis, value) for value in values])


@pytest.mark.parametrize("em", [14, 19])
@pytest.mark.parametrize("room", [255, 400, 900])
def test_no_text_lies_on_another_whatever_is_drawn(page, room, em):
    drawn = [{**chart, "words": charts.sentence(chart)} for chart in CHARTS]
    heights = page.evaluate(DRAW, [drawn, room, em])
    assert all(60 < height < 600 for height in heights)
    faults = page.locator(".vmio-panel").evaluate(panel_moves.FAULTS)
    assert not faults, "\n".join(faults)
    assert page.locator("svg").first.get_attribute("aria-label").startswith("Exits by reason: IO_INSTRUCTION 33,408;")


def test_a_bar_is_as_long_as_its_axis_says(page):
    page.evaluate(DRAW, [[{**CHARTS[0], "words": ""}], 600, 14])
    longs = page.evaluate("[...document.querySelectorAll('.vmio-bar')].map(one => Number(one.getAttribute('width')))")
    ticks = dict(page.evaluate("[...document.querySelectorAll('.vmio-tick')].map(one => [one.textContent, Number(one.getAttribute('x'))])"))
    left, step = ticks["0"], ticks["100"] - ticks["10"]
    assert longs[2] == 0 and ticks["1,000"] - ticks["100"] == pytest.approx(step, abs=0.2)
    assert left + longs[1] == pytest.approx(ticks["10"] + 0.20412 * step, abs=0.3), "log10 of 16 is 1.204"
    assert left + longs[0] == pytest.approx(ticks["10,000"] + 0.52385 * step, abs=0.3), "log10 of 33,408 is 4.524"
