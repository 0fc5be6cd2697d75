"""The switch as a drawing: what it is given, and what it says in words."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.experiments import switch_story
from vmio.lab.switch_view import SwitchView, arrow
from vmio.lessons.move_packets import panel as lesson


def test_an_arrow_has_a_direction_and_one_of_four_kinds():
    assert arrow("A", True, 3, "now") == {"source": "A", "target": "switch", "label": "sent", "count": 3, "kind": "now"}
    assert arrow("A", False, 0)["source"] == "switch"
    with pytest.raises(ValueError, match="^kind is 'lost'; allowed: quiet, now, copy, stopped$"):
        arrow("A", True, 1, "lost")


def test_its_words_and_rows_are_what_is_drawn():
    view = SwitchView(stations=["A", "B"])
    view.edges, view.learned, view.end = [arrow("A", True, 1200, "now"), arrow("B", False, 1)], {"B": "learned: router"}, "A to B: given to B"
    assert view.text == "A to B: given to B. A to switch: 1,200 sent. switch to B: 1 given. B: learned: router."
    assert [(row.name, row.value) for row in view.rows()] == [("A to switch", 1200), ("switch to B", 1), ("B", "learned: router")]
    assert view.lines == ["B: learned: router"]


@pytest.mark.parametrize("steps", range(1, len(switch_story.SCRIPT) + 1))
def test_the_last_frames_way_is_lit_and_no_other(steps):
    panel = lesson.switch_panel()
    panel.set(steps=steps, mirror=True, own_vlan=True)
    step = switch_story.play(steps, own_vlan=True, mirror=True).steps[-1]
    lit = {(one["source"], one["target"]): one["kind"] for one in panel.live.edges if one["kind"] != "quiet"}
    way = {(switch_story.WHERE[step.send.sender], "switch"): "stopped" if step.dropped else "now"}
    way |= {("switch", name): "now" for name in step.given} | {("switch", name): "copy" for name in step.copied}
    assert lit == way
    panel.close()
