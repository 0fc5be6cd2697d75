"""The kit behind the notebooks, with toy models: tables, figures, panels, predictions, the live machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import (CountBars, Curves, GroupedBars, MachineView, Panel, StackedBars, choice, compare, edge, guess,
                      log2_slider, number, predict, slider, style, table, toggle)


def model(size, mode, fast):
    if size == 32:
        raise ZeroDivisionError("no sector\nof that size")
    return {"exits": size * (1 if fast else 8), "mode": mode}


@pytest.fixture
def panel():
    bars = CountBars("Exits by reason", log=True)

    def view(result):
        return f"exits {number(result['exits'])}", [bars.update({"PIO": result["exits"], "HLT": 1})]

    panel = Panel(model, [log2_slider("size", 16, 4096, 64, label="Bytes"), choice("mode", ["emulated", "split"]),
                          toggle("fast")], view, name="toy")
    yield panel
    panel.close()


def test_table_is_fixed_text():
    assert table([("PIO", 12345, 0.5), ("HLT", None, 12.0)], ("reason", "exits", "us")) == (
        "reason   exits   us\n"
        "------  ------  ---\n"
        "PIO     12,345  0.5\n"
        "HLT          -   12")


@pytest.mark.parametrize("value, text", [(0, "0"), (1234567, "1,234,567"), (-5, "-5"), (2.5, "2.5"), (1e-7, "1.00e-07"),
                                         (99.96, "100"), (True, "True"), (0.0, "0"), (3.0, "3"), (0.00123, "0.00123")])
def test_numbers(value, text):
    assert number(value) == text


def test_table_refuses_a_short_row():
    with pytest.raises(ValueError, match="has 1 cells, the table has 2"):
        table([("a",)], ("x", "y"))


XS = [1, 2, 4, 8]
FIGURES = [
    (StackedBars("t"), {"emulated": {"guest": 5, "exit": 900}, "split": {"guest": 5, "exit": 9}}, "905 ns"),
    (CountBars("t", log=True), {"PIO": 123456, "HLT": 0}, "123,456"),
    (Curves("t", "x", "y", logx=True, logy=True), {"series": {"emulated": (XS, [400.0, 200.0, 100.0, 50.0])}, "at": 4}, "100"),
    (GroupedBars("t"), {"a": {"exits": 3, "signals": 7}, "b": {"exits": 0, "signals": 1}}, "signals"),
]


@pytest.mark.parametrize("figure, data, words", FIGURES, ids=lambda value: type(value).__name__)
def test_figures_are_text_and_repeatable(figure, data, words):
    first = figure.update(data).svg()
    assert first.startswith("<svg role=\"img\"") and words in first.replace("\u00a0", " ")
    assert figure.update(dict(data)).svg() is first, "equal data draw nothing"
    assert not re.search(r"<dc:date>|/home/", first)
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:bold |700 )?([\d.]+)px", first)]
    assert sizes and min(sizes) >= 14


def test_pyplot_is_never_loaded():
    code = "import vmio.lab, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_panel_shows_text_and_picture(panel):
    assert panel.text == "exits 512"
    assert 'class="vmio-readout"' in panel._readout.value and "<svg" in panel._readout.value
    assert repr(panel) == "Panel(size=64, mode='emulated', fast=False)"


def test_each_picture_points_at_the_words_that_say_the_same(panel):
    words = re.search(r'class="vmio-readout" id="([^"]+)"', panel._readout.value)[1]
    assert re.findall(r'<svg role="img" aria-describedby="([^"]+)" aria-label="([^"]+)"', panel._readout.value) == [
        (words, "Exits by reason")]
    assert panel.children[-1]._css.strip().startswith("/*") and "aria-label" in panel.children[-1]._esm


def test_panel_moves_in_code_and_by_widget(panel):
    panel.set(size=128, fast=True)
    assert panel.text == "exits 128"
    panel._widgets["size"].value = 256
    assert panel.text == "exits 256"


@pytest.mark.parametrize("values, message", [
    ({"size": 100}, "size is 100; allowed: powers of two from 16 to 4,096."),
    ({"mode": "magic"}, "mode is 'magic'; allowed: 'emulated', 'split'."),
    ({"fast": 1}, "fast is 1; allowed: False, True."),
    ({"speed": 1}, "speed is no control of this panel; it has size, mode, fast."),
])
def test_panel_refuses_with_one_sentence(panel, values, message):
    with pytest.raises(ValueError) as caught:
        panel.set(**values)
    assert str(caught.value) == panel.text == message
    assert "vmio-error" in panel._readout.value
    assert panel.params == {"size": 64, "mode": "emulated", "fast": False}, "nothing moved"


def test_panel_shows_an_error_over_the_last_good_picture(panel, monkeypatch):
    good = panel._readout.value
    monkeypatch.setenv("VMIO_STRICT", "0")
    panel.set(size=32)
    assert panel.text == "The model stopped (ZeroDivisionError): no sector"
    assert "vmio-last" in panel._readout.value and panel._good in panel._readout.value and "Traceback" not in panel._readout.value
    panel.set(size=64)
    assert panel._readout.value == good


def test_panel_raises_when_strict(panel, monkeypatch):
    monkeypatch.setenv("VMIO_STRICT", "1")
    with pytest.raises(ZeroDivisionError):
        panel.update(size=32)


def test_same_name_closes_the_previous_panel(panel):
    second = Panel(model, [log2_slider("size", 16, 64, 16), choice("mode", ["split"]), toggle("fast")],
                   lambda result: ("x", []), name="toy")
    assert panel.comm is None and second.comm is not None
    second.close()


def test_controls_check_their_own_value():
    with pytest.raises(ValueError, match="10 to 20 in steps of 5"):
        slider("n", 10, 20, 5, 12)
    assert slider("load", 0, 1, 0.1, 0.3).check(0.7) == 0.7
    with pytest.raises(ValueError, match="powers of two"):
        log2_slider("n", 3, 8, 4)


def test_panel_feeds_the_live_machine():
    live = MachineView(title="PIO")
    panel = Panel(model, [log2_slider("size", 16, 64, 16), choice("mode", ["split"]), toggle("fast")],
                  lambda result: ("x", [], {"edges": [edge("guest", "hypervisor", "exits", result["exits"])]}),
                  name="live", live=live)
    assert live.text == "PIO. guest to hypervisor: 128 exits."
    panel.set(fast=True)
    assert live.text == "PIO. guest to hypervisor: 16 exits."
    panel.close()


def test_machine_view_refuses_two_arrows_on_one_way():
    with pytest.raises(ValueError, match="add their counts up"):
        MachineView(edges=[edge("guest", "host", "a", 1), edge("guest", "host", "b", 1)])
    with pytest.raises(ValueError, match="different ones of"):
        edge("guest", "guest", "a", 1)


def test_machine_view_says_which_canary_is_harmed():
    view = MachineView(title="Disk", canaries={"a": True, "b": True})
    assert view.text == "Disk. Nothing moves. Canaries: all 2 intact."
    view.canaries = {"a": True, "b": False}
    assert view.text == "Disk. Nothing moves. Canaries: b harmed."


def test_no_colour_has_two_meanings():
    named = [*style.MODE.values(), *style.PART.values(), *style.OTHERS]
    assert len(set(named)) == len(named)
    drawn = (Path(style.__file__).parent / "static" / "machine_view.js").read_text(encoding="utf-8")
    for kind, colour in (("exit", style.PART["exit"]), ("ring", style.MODE["split"]), ("direct", style.MODE["passthrough"])):
        assert f'{kind}: {{ color: "{colour}"' in drawn


def test_prediction_is_quiet_until_guessed(capsys):
    asked = predict("exits-per-sector", "How many exits for one sector?", "exits")
    asked.compare(1030)
    guess("exits-per-sector", 400)
    asked.compare(1030)
    asked._box.value = "1,030"
    asked.compare(1030)
    asked._box.value = "many"
    assert "many&#x27; is no number" in asked._note.value
    asked.compare(1030)
    assert capsys.readouterr().out.splitlines() == [
        "exits-per-sector: counted 1,030 exits; no guess was stored.",
        "exits-per-sector: guessed 400, counted 1,030 exits: 61 % too low.",
        "exits-per-sector: guessed 1,030, counted 1,030 exits: exactly right.",
        "exits-per-sector: counted 1,030 exits; no guess was stored."]
    assert repr(asked) == "Prediction('exits-per-sector')"


@pytest.mark.parametrize("text, value", [("0x200", 512), ("1,000", 1000), ("3k", 3000), ("1e6", 1000000), ("2.5", 2.5),
                                         (7, 7), ("007", 7)])
def test_guesses_are_read_as_people_write(text, value):
    guess("any", text)
    assert compare("any", value).endswith("exactly right.")
    guess("any", None)
