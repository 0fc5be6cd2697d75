"""A panel's page without a kernel, opened from a file: a move shows the figures that the kernel's panel shows."""

import json
from math import prod

import pytest

from vmio.lessons import pages
from vmio.lessons.panels import make

pytestmark = pytest.mark.browser
PANELS = (("start_here.panel", "panel"), ("fill_a_ring.panel", "ring_panel"), ("pass_a_device_through.panel", "iotlb_panel"),
          ("break_isolation.panel", "panel"), ("break_isolation.panel", "fetches_panel"))


def move(page, label, place):
    box = page.locator(".vmio-stored-control", has=page.get_by_text(label, exact=True)).locator("input, select")
    if box.evaluate("box => box.tagName") == "SELECT":
        box.select_option(index=place)
    elif box.get_attribute("type") == "checkbox":
        box.set_checked(bool(place))
    else:
        box.fill(str(place))


def drawn(page):
    """What the page shows: the words, each figure in words, each bar's text, the drawing in words."""
    return {"text": page.locator(".vmio-readout").text_content(), "notes": page.locator(".vmio-idle").text_content(),
            "charts": [one.get_attribute("aria-label") for one in page.locator(".vmio-figures svg").all()],
            "bars": page.locator(".vmio-figures svg[data-kind=bars] .vmio-value").all_text_contents(),
            "live": [one.get_attribute("aria-label") for one in page.locator(".vmio-body svg[role=img]:not(.vmio-figures svg)").all()]}


def shown(panel):
    """The same from the kernel's panel."""
    panel.finish()
    words = json.loads(panel.card.shown)        # what the kernel sends
    charts = [chart for chart in words["charts"] if chart is not None]
    live = [] if panel.live is None else [f"{panel.live.title} {panel.live.text}".strip() if type(panel.live).__name__ == "RingView" else panel.live.text]
    return {"text": words["text"], "notes": words["notes"], "charts": [chart["words"] for chart in charts],
            "bars": [bar["text"] for chart in charts if chart["kind"] == "bars" for bar in chart["bars"]], "live": live}


@pytest.mark.parametrize("which", PANELS, ids=lambda one: "-".join(one).replace(".panel", ""))
def test_a_move_shows_the_same_figures(which, chromium, tmp_path):
    panel = make(*which)
    kept = pages.kept(list(panel.controls.values()), 64)
    path = tmp_path / "page.html"
    path.write_text(pages.page(panel, "A panel", 64), encoding="utf-8")
    panel.close()
    panel = make(*which)
    with chromium(1280, 720) as page:
        asked, broken = [], []
        page.on("request", lambda one: asked.append(one.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(path.as_uri())
        page.locator(".vmio-readout").wait_for()
        assert drawn(page) == shown(panel)
        for name, control in panel.controls.items():
            for place in (len(kept[name]) - 1, 0):
                move(page, control.label, place)
                panel.set(**{name: kept[name][place]})
                assert drawn(page) == shown(panel), f"{control.label} at {kept[name][place]}"
        assert page.locator(".vmio-stored-note").text_content().startswith(f"{prod(map(len, kept.values()))} settings are stored")
        assert not broken and asked == [path.as_uri()]
    panel.close()


def test_an_old_browser_is_told(chromium, tmp_path):
    panel = make("fill_a_ring.panel", "ring_panel")
    path = tmp_path / "page.html"
    path.write_text(pages.page(panel, "A panel"), encoding="utf-8")
    panel.close()
    with chromium() as page:
        page.add_init_script("delete globalThis.DecompressionStream")
        page.goto(path.as_uri())
        assert "too old to unpack" in page.locator(".vmio-panel").text_content()
