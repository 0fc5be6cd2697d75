"""A guest's disks as a drawing: what it is given, what it says in words, and that each bar was counted."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab.disks_view import DisksView, lane
from vmio.lessons.grow_and_shrink import panel as lesson

from tests import device_truths


def test_a_lane_has_numbers_for_the_same_slices_and_marks_that_are_known():
    one = lane("a", "1 MiB", [3, 0], [0, 1], [2, 0], [True, False], [(5, "takes", "host takes a"), (7.5, "lets go", "guest has let go of a")])
    assert [(mark["letter"], mark["guest"]) for mark in one["marks"]] == [("T", False), ("T", True)]
    with pytest.raises(ValueError, match="^lane a: 1 slices done, 2 failed, 1 under way, 1 there$"):
        lane("a", "", [1], [1, 2], [1], [True], [])
    with pytest.raises(ValueError, match="^lane a: mark is 'burns'; allowed: adds, has, grows, "):
        lane("a", "", [], [], [], [], [(0, "burns", "")])


def test_its_words_and_rows_are_what_is_drawn():
    view = DisksView(slice_us=50)
    view.lanes = [lane("a", "1 MiB", [3, 0], [0, 1], [2, 0], [True, False], [(1500, "takes", "host takes a")]), lane("b", "2 MiB", [1, 1], [0, 0], [0, 0], [True, True], [])]
    view.at = 1
    assert view.text == "From 50 to 100 us: a 0 done, 1 with an error, 0 under way; b 1 done, 0 with an error, 0 under way."
    assert view.lines == ["a, 1 MiB: 1,500 us host takes a", "b, 2 MiB: it was always there"]
    rows = view.rows()
    assert len(rows) == 2 * 3 * 2 + 1
    assert [(row.series, row.x, row.value) for row in rows if row.name == "a"] == [
        ("done", 50, 3), ("done", 100, 0), ("ended with an error", 50, 0), ("ended with an error", 100, 1), ("under way", 50, 2), ("under way", 100, 0),
        ("mark", 1500, "host takes a")]


@pytest.mark.parametrize("settings", [{}, dict(at_once=False, queue_depth=8), dict(added_us=600, removed_us=700), dict(removed_us=400, added_us=500, grown_us=500),
                                      dict(added_us=100, removed_us=300, queue_depth=1)], ids=str)
def test_each_bar_was_counted(settings):
    panel = lesson.devices_panel()
    panel.set(**settings)
    asked = {name: value for name, value in panel.params.items() if name != "until_us"}
    assert {one["name"]: (one["done"], one["failed"], one["under_way"]) for one in panel.live.lanes} == device_truths.seen(**asked)
    panel.close()


def test_what_the_host_refuses_is_a_mark_with_its_reason():
    panel = lesson.devices_panel()
    panel.set(added_us=600, removed_us=600, grown_us=100)
    marks = {one["name"]: [(mark["us"], mark["what"], mark["words"]) for mark in one["marks"]] for one in panel.live.lanes}
    assert marks["second"][0] == (100, "refused", "refused: second: the guest has no such disk")
    assert marks["second"][2][1] == "refused" and marks["second"][2][2].endswith("SplitDisk is made; only one that is offered can be taken away")
    assert [what for _, what, _ in marks["passed through"]] == ["refused", "adds", "takes"]
    panel.close()
