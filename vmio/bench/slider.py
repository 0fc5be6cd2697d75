"""Slider key to new pixels in a real JupyterLab: a panel beside the least that any live drawing takes, in one page and in turn.

The least is a widget of its own that draws one bar of SVG from a number.  What the kernel spends on a move: `panels.py`.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vmio import data
from vmio.bench import Row, ratios, row

KEYS = 39
PAUSE = 250     # ms before a key: single moves, as a reader makes them
SOURCE = '''\
# %%
import anywidget, ipywidgets, traitlets
class Bare(anywidget.AnyWidget):
    _esm = """export default { render({ model, el }) {
        const draw = () => { el.innerHTML = `<pre class="vmio-readout">${model.get("n")}</pre>` +
            `<svg width="300" height="20"><rect width="${40 * model.get("n")}" height="20"/></svg>`; };
        draw();
        model.on("change:n", draw);
    } }"""
    n = traitlets.Int(3).tag(sync=True)
bare, slider = Bare(), ipywidgets.IntSlider(value=3, min=1, max=7)
slider.observe(lambda change: setattr(bare, "n", change["new"]), "value")
box = ipywidgets.VBox([slider, bare])
box.add_class("bare")
box
# %%
from vmio.lessons.emulate_a_device import panel as lesson
lesson.disk_panel()
'''


def measure() -> list[Row]:
    """39 keys on each of two sliders; empty without a checkout, the packages of the lab, or Chromium or Chrome."""
    try:
        if find_spec("jupyterlab") is None:     # its server is a process of its own
            raise ModuleNotFoundError("JupyterLab is not installed")
        sys.path.insert(0, str(data.checkout("tests/browser")))
        import lab_server
        import panel_moves
        if lab_server.find_browser() is None:
            raise FileNotFoundError("no Chromium or Chrome here")
    except (FileNotFoundError, ModuleNotFoundError) as missing:
        print(f"slider: {missing}, so it was not measured", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        lab_server.store(SOURCE, Path(folder) / "source" / "slider.ipynb")
        with lab_server.jupyterlab(Path(folder) / "server", Path(folder) / "source") as server, lab_server.chromium() as page:
            lab_server.run_all(page, server, "slider.ipynb")
            times = [[_key(page, panel_moves, page.locator(name), at) for name in (".bare", ".vmio-panel")] for at in range(KEYS)]
    pairs = [pair for pair in times if all(pair)]
    bare, panel = zip(*pairs)
    return [row("slider key to new pixels, a bare drawing, ms", bare), row("slider key to new pixels, a panel, ms", panel),
            row("a panel over a bare drawing", ratios(panel, bare), "at most 1.3")]


def _key(page: Any, panel_moves: Any, box: Any, at: int) -> float | None:
    """ms until the box shows something else after one key; None if nothing changes."""
    page.wait_for_timeout(PAUSE)
    return panel_moves.press(page, box.locator(panel_moves.SLIDER).first, "ArrowRight" if at // 3 % 2 else "ArrowLeft", box)
