"""Panels without a kernel: which settings are stored, and that they are what the panel shows."""

import base64
import gzip
import json
import re
from math import prod

import pytest

from vmio.lab.controls import choice, log2_slider, slider, toggle
from vmio.lessons import pages
from vmio.lessons.panels import PANELS, make


def data_of(page):
    return json.loads(gzip.decompress(base64.b64decode(re.search(r'"([A-Za-z0-9+/=]{200,})", card, live', page)[1])))


def test_all_settings_or_those_that_fit():
    controls = [slider("size", 1, 40, 1, 7), log2_slider("block", 512, 65_536, 4096), choice("mode", "abc"), toggle("on")]
    assert pages.kept(controls, 10**6) == {control.name: control.values for control in controls}
    for largest in (3000, 500, 64, 8, 1):
        kept = pages.kept(controls, largest)
        assert prod(map(len, kept.values())) <= largest
        for control in controls:
            assert {control.value} <= set(kept[control.name]) <= set(control.values)
            assert list(kept[control.name]) == sorted(kept[control.name], key=control.values.index)
    assert {1, 7, 40} <= set(pages.kept(controls, 500)["size"])
    switches = [toggle(f"switch{n}") for n in range(9)]
    assert prod(map(len, pages.kept(switches, 64).values())) <= 64


@pytest.mark.parametrize("which", (("fill_a_ring.panel", "ring_panel"), ("pass_a_device_through.panel", "iotlb_panel"), ("break_isolation.panel", "fetches_panel")),
                         ids=lambda one: one[1])
def test_each_setting_is_what_the_panel_shows(which):
    panel = make(*which)
    page = pages.page(panel, "A title", 64)
    data = data_of(page)
    values = pages.kept(list(panel.controls.values()), 64)
    assert "https://" not in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")     # no address but a name of XML's
    seen = 0
    for state in pages.states(panel, values):
        stored = data["states"][data["index"][seen]]
        assert stored["live"] == json.loads(json.dumps(state["live"]))
        assert {name: value for name, value in state["shown"].items() if name not in ("lines", "columns", "id")} == stored["shown"]
        assert data["lines"] >= state["shown"]["lines"]
        seen += 1
    assert seen == len(data["index"]) == prod(map(len, values.values()))
    panel.close()


def test_every_panel_has_a_page_of_its_own_name():
    assert len({pages.file_of(*one) for one in PANELS}) == len(PANELS)


def test_pages_are_equal_each_time_and_replace_nothing(tmp_path, capsys):
    for name in ("one", "two"):
        assert pages.main([str(tmp_path / name), "--lesson", "fill_a_ring", "--largest", "64"]) == 0
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "index.html" in files and len(files) == 5
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    for words, said in (([str(tmp_path / "one")], "something is there"), ([str(tmp_path / "new"), "--lesson", "99"], "--lesson is '99'"),
                        ([str(tmp_path / "new"), "--largest", "1"], "--largest is 1")):
        with pytest.raises(ValueError, match=said):
            pages.main(words)
    assert not (tmp_path / "new").exists()
