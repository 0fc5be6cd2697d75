"""No control is dead without a word: wherever moving one changes nothing that was counted, the panel says why, and only there.

What was counted are the charts, the drawing and the numbers of the readout - but for the control's own value, which the readout
may repeat, and a chart's mark of where the control stands.
"""

import json
import re

import pytest

pytest.importorskip("ipywidgets")

from vmio.hypervisor import costs
from vmio.hypervisor.costs import CostModel
from vmio.lab.controls import slider
from vmio.lab.idle import later, sentences, unmoved
from vmio.lab.panel import Panel
from vmio.lessons import panels
from vmio.lessons.compare_modes import panel as compare
from vmio.lessons.emulate_a_device import panel as emulate
from vmio.processors.kvm import recorded

from tests.panel_rig import numbers, of_control, settings

# Panels whose model takes long: each value of each control beside the defaults of the others, and attacks as they open.
STARS = {("compare_modes.panel", "panel"), ("compare_modes.panel", "break_even_panel"), ("emulate_a_device.panel", "disk_panel")}
ONCE = {("break_isolation.panel", "panel")}
# Panels that show a run while it goes on: what a control moves is there when the run has ended, not at its beginning.
ASKING = {"emulate_a_device uart", "split_a_driver", "fill_a_ring load", "fill_a_ring disk", "pass_a_device_through late", "share_a_device", "move_packets switch",
          "speak_virtio", "watch_and_steer_steer"}       # whose runs, later, say which control changes nothing
RUNNING = {"isolate_containers", "watch_and_steer", "watch_and_steer_steer"}
SENTENCE = re.compile(r'((?:"[^"]+"(?:, | and )?)+) changes? nothing here: [^.]+\.')
TRAITS = ("edges", "frames", "lanes", "drawn", "reach", "code", "lines")


DEAR = {"CPUID": 3_000, "doorbell (ioeventfd), port": 20_000, "doorbell (ioeventfd), memory": 20_000, "MMIO write": 130_000}


@pytest.fixture(autouse=True)
def the_same_prices_everywhere(monkeypatch):
    """No preset that was measured on this host, and none that a test leaves behind."""
    monkeypatch.setattr(recorded, "offer_this_host", lambda: None)
    monkeypatch.setattr(costs, "_offered", {})
    before = dict(costs.PRESETS)
    costs.PRESETS.pop("this-host", None)
    yield
    costs.PRESETS.clear()
    costs.PRESETS.update(before)


def bases(panel, key):
    """Settings from which each control is moved."""
    if key in ONCE:
        return [panel.params]
    if key not in STARS:
        return settings(panel)
    first = panel.params
    return [first, *({**first, name: value} for name, control in panel.controls.items() for value in of_control(control)[1:])]


def idle(text):
    """The labels of the controls of which a readout says that they change nothing, and the readout without these sentences."""
    whole = re.sub(r"\s+", " ", text)
    labels = {label for sentence in SENTENCE.finditer(whole) for label in re.findall('"([^"]+)"', sentence[1])}
    return labels, SENTENCE.sub("", whole)


def shown(panel, name):
    """(value of the control, numbers of the readout, charts and drawing) as the page has them at once, or when its run has ended."""
    if panel.name in RUNNING:
        panel.finish()
    text, charts = panel.so_far
    drawing = {trait: getattr(panel.live, trait) for trait in TRAITS if hasattr(panel.live, trait)}
    value = panel.params[name]
    words = idle(text)[1]
    if isinstance(value, str):
        words = words.replace(value, "")
    return value, [one for one, _ in numbers(words)], [one and {**one, "at": None} for one in charts], drawing


def differ(one, other):
    """Whether two settings of a control show something else, its own value left out."""
    (was, before, *drawn), (now, after, *redrawn) = one, other
    if drawn != redrawn:
        return True
    if len(before) != len(after):       # "no cap" has no number
        longer, value = (before, was) if len(before) > len(after) else (after, now)
        longer = list(longer)
        if value in longer:
            longer.remove(value)
        before, after = (longer, after) if len(before) > len(after) else (before, longer)
    return len(before) != len(after) or any(x != y and (x, y) != (was, now) for x, y in zip(before, after))


def moved(panel, base, name, values):
    """Whether any of `values` shows something else than the first."""
    first = None
    for value in values:
        panel.set(**{**base, name: value})
        if first is None:
            first = shown(panel, name)
        elif differ(first, shown(panel, name)):
            return True
    return False


def faults(panel, key):
    """[(setting, control, what is wrong), ...]"""
    found = []
    for base in bases(panel, key):
        panel.set(**base)
        if panel.name in ASKING:
            panel.finish()
        said = idle(panel.so_far[0])[0]
        for name, control in panel.controls.items():
            if len(control.values) > 1 and (control.label in said) == moved(panel, base, name, of_control(control)):
                if control.label in said:
                    found.append((base, name, "changes something, and the panel denies it"))
                elif not moved(panel, base, name, control.values):
                    found.append((base, name, "changes nothing, and the panel does not say why"))
    return found


@pytest.mark.parametrize("key", panels.PANELS, ids="-".join)
def test_a_control_that_changes_nothing_says_why(key):
    compare._swept.clear()      # nothing is known from before
    emulate._whole.clear()
    panel = panels.make(*key)
    found = faults(panel, key)
    panel.close()
    assert not found, f"{len(found)} faults: {found[:3]}"


def test_a_line_that_is_done_before_a_dear_exit_is_over():
    CostModel.measured(DEAR, "dear").offer("a slow host")
    panel = emulate.uart_panel()
    panel.set(how="string", fifo=False, bytes=64, costs="dear")
    assert idle(panel.text)[0] == {"Transmitter"}
    found = [fault for fault in faults(panel, "dear") if fault[0]["costs"] == "dear"]
    panel.close()
    assert not found, found


def toy(model=lambda size, depth: 10 * size, idle=None):
    """A panel of two sliders, of whose `model` one number is shown beside the second slider's own."""
    return Panel(lambda **params: (params, model(**params)), [slider("size", 1, 4, 1, 2, "Size"), slider("depth", 0, 4, 1, 1, "Depth")],
                 lambda ran: (f"size {ran[1]}, " + (f"depth {ran[0]['depth']}" if ran[0]["depth"] else "no depth"), []), name="toy", idle=idle)


def test_a_dead_control_and_a_false_excuse_are_found():
    why = {"depth": "nobody looks at it"}
    assert {(name, what) for _, name, what in faults(toy(), "toy")} == {("depth", "changes nothing, and the panel does not say why")}
    assert faults(toy(idle=lambda **_: why), "toy") == []
    assert {(name, what) for _, name, what in faults(toy(lambda size, depth: 10 * size + depth, lambda **_: why), "toy")} == {
        ("depth", "changes something, and the panel denies it")}
    only_here = toy(lambda size, depth: 10 * size + (depth if size > 2 else 0), lambda size, **_: why if size <= 2 else {})
    assert faults(only_here, "toy") == []


def test_what_a_control_changes_in_the_middle_of_its_range_counts():
    assert faults(toy(lambda size, depth: 10 * size + (depth == 3)), "toy") == []


def test_controls_with_one_reason_share_a_sentence():
    labels = {"a": "Alpha", "b": "Interrupts are", "c": "Gamma", "d": "Delta"}
    said = sentences(labels, {"a": "nobody heeds them", "c": "it is Sunday", "b": "nobody heeds them", "d": "nobody heeds them"})
    assert said == ['"Alpha", "Interrupts are" and "Delta" change nothing here: nobody heeds them.', '"Gamma" changes nothing here: it is Sunday.']
    assert idle("12 reads\n\n" + "\n".join(said)) == ({"Alpha", "Interrupts are", "Gamma", "Delta"}, "12 reads  ")
    with pytest.raises(ValueError, match="^e is no control of this panel; it has a, b, c, d.$"):
        sentences(labels, {"e": "it is not there"})


def test_only_a_run_knows_whether_a_control_is_unmoved():
    def view(ran):
        return str(ran), [{"at": ran[1], "y": ran[0]}]
    assert answer(unmoved(lambda x, y: (x, y), view, {"x": 1, "y": 1}, "y", (1, 2, 3))) == (True, 3), "a mark is no figure"
    assert answer(unmoved(lambda x, y: (x, y), view, {"x": 1, "y": 1}, "x", (1, 2, 3))) == (False, 1)
    with pytest.raises(ValueError, match="^x: a sweep is too long"):
        answer(unmoved(lambda x, y: iter_of(x), view, {"x": 1, "y": 1}, "x", (1, 2)))


def answer(steps):
    """(what a generator returns, how many steps it takes)."""
    taken = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, taken
        taken += 1


def test_what_runs_have_to_say_comes_behind_the_result_and_once_only():
    asked = []

    @later
    def ask(size, depth):
        for run in (1, 2):
            asked.append((size, depth, run))
            yield
        return {"depth": f"{size} is enough"} if depth else {}
    panel, why = toy(idle=ask), '"Depth" changes nothing here: 2 is enough.'
    assert panel.so_far[0] == "size 20, depth 1" and asked == [], "the result is shown before any run is asked"
    assert panel.text == f"size 20, depth 1\n\n{why}" and json.loads(panel.card.shown)["notes"] == why and asked == [(2, 1, 1), (2, 1, 2)]
    panel.set(depth=0)
    assert panel.so_far[0] == panel.text == "size 20, no depth"
    panel.set(depth=1)
    assert panel.so_far[0] == f"size 20, depth 1\n\n{why}" and len(asked) == 4, "where it has been, all is said at once"
    panel.set(size=3)
    panel.set(size=4)
    assert len(asked) == 4 and panel.text.endswith("4 is enough."), "a move ends what was still to be asked"


def iter_of(x):
    yield x


def test_a_panel_says_it_beside_its_readout_and_in_its_file():
    panel = toy(idle=lambda depth, **_: {"depth": "it is zero"} if not depth else {})
    assert panel.text == "size 20, depth 1" and json.loads(panel.card.shown)["notes"] == ""
    panel.set(depth=0)
    why = '"Depth" changes nothing here: it is zero.'
    assert panel.text.split("\n\n") == ["size 20, no depth", why]
    card = json.loads(panel.card.shown)
    assert (card["text"], card["notes"]) == ("size 20, no depth", why)
    assert '"""Depth"" changes nothing here: it is zero."' in panel.csv()
