"""Slider key to new pixels in a real JupyterLab, and the part of it that the kernel takes."""

import sys
import tempfile
from pathlib import Path
from time import perf_counter

from vmio import data

LESSON, KEYS = "02_emulate_a_device.ipynb", 39


def measure():
    """The last panel of lesson 02: 39 key presses on its first slider.

    Empty without the packages of the lab; without a checkout, and without Chromium or Chrome, only the kernel's part.
    """
    try:
        from vmio.lessons.emulate_a_device import panel as lesson02
    except ModuleNotFoundError as missing:
        if missing.name.startswith("vmio"):
            raise
        print(f"slider: the lab's packages are not installed ({missing}), so it was not measured", file=sys.stderr)
        return []
    panel = lesson02.disk_panel()
    moves = []
    for i in range(KEYS):
        start = perf_counter()
        panel.set(sectors=1 << i % 7)
        moves.append((perf_counter() - start) * 1000)
    panel.close()
    moves.sort()
    rows = [("one move in the kernel, p50 ms", moves[KEYS // 2], ""),
            ("simulation behind a first move (21 runs), ms", _first_move(), "at most 20 a run")]
    try:
        sys.path.insert(0, str(data.checkout("tests/browser")))
        notebooks = data.checkout("notebooks")
    except FileNotFoundError as error:
        print(f"slider: {error}, so the browser part was not measured", file=sys.stderr)
        return rows
    import lab_server
    if lab_server.find_browser() is None:
        print("slider: no Chromium or Chrome here, so the browser part was not measured", file=sys.stderr)
        return rows
    with tempfile.TemporaryDirectory() as folder, \
            lab_server.jupyterlab(Path(folder), notebooks) as server, lab_server.chromium() as page:
        lab_server.run_all(page, server, LESSON)
        box = page.locator(".jp-OutputArea-output .widget-vbox:has(> .widget-html .vmio-card)").last
        slider = box.locator(lab_server.SLIDER).first
        times = [lab_server.press(page, slider, "ArrowRight" if i // 3 % 2 else "ArrowLeft", box) for i in range(KEYS)]
    p50, p95 = lab_server.percentiles([ms for ms in times if ms])
    return rows + [("slider key to new pixels, p50 ms", p50, "at most 110"),
                   ("slider key to new pixels, p95 ms", p95, "at most 160")]


def _first_move():
    from vmio.lessons.emulate_a_device import panel as lesson02
    lesson02.read_once.cache_clear()
    start = perf_counter()
    lesson02._read(8, "pio", "string I/O", True, "server-2022")
    return (perf_counter() - start) * 1000
