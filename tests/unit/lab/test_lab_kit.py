"""The kit behind the notebooks, with toy models: tables, figures, panels, predictions, the live machine."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import (MachineView, Panel, charts, choice, compare, edge, guess, log2_slider,
                      number, order, palette, predict, slider, table, toggle)


def model(size, mode, fast):
    if size == 32:
        raise ZeroDivisionError("no sector\nof that size")
    return {"exits": size * (1 if fast else 8), "mode": mode}


@pytest.fixture
def panel():
    def view(result):
        return f"exits {number(result['exits'])}", [charts.bars("Exits by reason", {"PIO": result["exits"], "HLT": 1}, "exits"), None]

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


def test_panels_are_moved_without_matplotlib():
    code = ("import sys; from vmio.lessons.start_here.panel import panel; panel().set(mode='split');"
            "assert not [name for name in sys.modules if name.startswith('matplotlib')]")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_panel_shows_text_and_picture(panel):
    assert panel.text == "exits 512"
    shown = json.loads(panel.card.shown)
    assert shown["text"] == "exits 512" and shown["error"] == "" and shown["charts"][1] is None
    assert shown["charts"][0]["words"] == "Exits by reason: PIO 512; HLT 1; in exits."
    assert [bar["value"] for bar in shown["charts"][0]["bars"]] == [512, 1]
    assert repr(panel) == "Panel(size=64, mode='emulated', fast=False)"


def counting(size):
    for so_far in range(1, size // 16 + 1):
        if so_far == 4:
            raise ValueError("four is too much.")
        yield so_far


@pytest.fixture
def growing():
    panel = Panel(counting, [log2_slider("size", 16, 64, 32)], lambda result: (f"{result} counted", []), name="growing")
    yield panel
    panel.close()


def test_a_models_first_result_is_shown_at_once_and_code_gets_the_last(growing):
    assert json.loads(growing.card.shown)["text"] == "1 counted"
    assert growing.text == "2 counted" and json.loads(growing.card.shown)["text"] == "2 counted"


def test_in_a_kernel_the_other_results_come_while_it_is_idle(growing, monkeypatch):
    monkeypatch.setenv("VMIO_STRICT", "0")

    async def kernel():
        growing.widgets["size"].value = 64
        first = json.loads(growing.card.shown)
        await asyncio.sleep(0.5)
        return first, json.loads(growing.card.shown)
    first, last = asyncio.run(kernel())
    assert (first["text"], first["error"]) == ("1 counted", "")
    assert (last["text"], last["error"]) == ("3 counted", "four is too much."), "an error is said over what was shown last"


@pytest.mark.parametrize("strict, words", [("0", "1 counted"), ("1", "2 counted")])
def test_a_panel_is_described_without_waiting_for_a_sweep_but_where_notebooks_are_compared(growing, monkeypatch, strict, words):
    monkeypatch.setenv("VMIO_STRICT", strict)
    assert words in growing._repr_mimebundle_()["text/plain"].splitlines()


def test_a_move_ends_what_was_still_to_come(growing):
    async def kernel():
        growing.set(size=32)
        growing.set(size=16)
        await asyncio.sleep(0.2)
        return json.loads(growing.card.shown)["text"]
    assert asyncio.run(kernel()) == "1 counted"


def test_where_there_is_no_panel_its_words_say_what_to_run(panel):
    first, _, second, *_ = panel._repr_mimebundle_()["text/plain"].splitlines()
    assert (first, second) == ("To see the panel, run the cells from the top down to this one.", "Panel toy")


def test_a_name_that_no_cell_has_made_yet_says_which_cells_to_run(capsys):
    code = ("import sys; from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance(); shell.colors = 'nocolor'\n"
            "from vmio.lab import order\nshell.run_cell('panel'); shell.run_cell('def f(): return pnael\\nf()')")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    first, second = done.stdout.split("name 'pnael' is not defined")
    assert "name 'panel' is not defined" in first and first.count(order.SENTENCE) == 1
    assert order.SENTENCE not in second, "a mistake in a student's function is the student's"


def test_a_move_is_one_message_of_the_card(panel, monkeypatch):
    sent = []
    monkeypatch.setattr(panel.card.comm, "send", lambda data=None, **_: sent.append(data))
    panel.set(size=128, fast=True)
    assert [list(one["state"]) for one in sent] == [["shown"]]
    panel.set(size=128, fast=True)
    assert len(sent) == 1, "nothing changed"


def test_what_the_words_take_never_shrinks(panel):
    panel.card.show("a\nbb\nc", [])
    panel.card.show("d", [])
    shown = json.loads(panel.card.shown)
    assert (shown["text"], shown["lines"], shown["columns"], shown["id"]) == ("d", 3, 9, "vmio-toy")


def test_panel_moves_in_code_and_by_widget(panel):
    panel.set(size=128, fast=True)
    assert panel.text == "exits 128"
    panel.widgets["size"].value = 256
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
    assert json.loads(panel.card.shown)["error"] == message
    assert panel.params == {"size": 64, "mode": "emulated", "fast": False}, "nothing moved"


def test_panel_shows_an_error_over_what_was_last_shown(panel, monkeypatch):
    good = panel.card.shown
    monkeypatch.setenv("VMIO_STRICT", "0")
    panel.set(size=32)
    assert panel.text == "The model stopped (ZeroDivisionError): no sector"
    shown = json.loads(panel.card.shown)
    assert shown == {**json.loads(good), "error": panel.text}
    panel.set(size=64)
    assert panel.card.shown == good


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
    named = [*palette.MODE.values(), *palette.PART.values(), *palette.OTHERS]
    assert len(set(named)) == len(named)
    drawn = (Path(palette.__file__).parent / "static" / "machine_view.js").read_text(encoding="utf-8")
    for kind, colour in (("exit", palette.PART["exit"]), ("ring", palette.MODE["split"]), ("direct", palette.MODE["passthrough"])):
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
