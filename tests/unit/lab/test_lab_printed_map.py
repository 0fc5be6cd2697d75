"""The map on paper says what the page's map says: every place with its state, what is harmed, the wall, the arrow and its end."""

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from vmio.lab import printed_map
from vmio.lab.isolation_view import attack_map


def words(paper):
    """All that is written on a figure."""
    return [text.get_text() for text in paper.axes[0].texts if text.get_text()]


def arrows(paper):
    """[(how the line is drawn, whether it has a head), ...] of all arrows."""
    found = [text.arrow_patch for text in paper.axes[0].texts if getattr(text, "arrow_patch", None) is not None]
    return [({"solid": "-"}.get(one.get_linestyle(), one.get_linestyle()), type(one.get_arrowstyle()).__name__ == "CurveFilledB") for one in found]


def a_map(wall_is, way, harmed=()):
    """A map of one wall and two places of one guest, of which the RAM is aimed at."""
    return attack_map("attack", ("rings", "DMA"), "DMA", "IOMMU domain", ("translate", "vmio/passthrough/iommu/remapper.py"), wall_is, way, "so it ended",
                      {"neighbour": {"RAM": "changed" if harmed else "intact", "disk": "intact"}}, harmed, [("neighbour", "RAM")])


def test_every_word_of_a_map_is_on_paper():
    said = words(printed_map.figure(a_map("up", "stopped")))
    assert said == ["attack", "hostile guest", "rings", "DMA", "IOMMU domain: up", "translate, vmio/passthrough/iommu/remapper.py", "neighbour", "RAM: intact", "disk: intact", "so it ended"]


def test_a_stopped_arrow_ends_at_the_wall_and_its_aim_is_dashed():
    assert arrows(printed_map.figure(a_map("up", "stopped"))) == [("-", True), ("--", True)]


def test_an_arrow_goes_through_a_wall_that_is_off_and_what_it_harmed_has_a_cross():
    paper = printed_map.figure(a_map("off", "through", [("neighbour", "RAM")]))
    assert "RAM: \u00d7 changed" in words(paper) and "IOMMU domain: off" in words(paper)
    assert arrows(paper) == [("-", False), ("-", True)]
    assert [patch.get_linestyle() for patch in paper.axes[0].patches].count("--") == 1, "a wall that is not there is dashed"
