"""Slider key to new pixels in a real JupyterLab, and the part of it that the kernel takes."""

import sys
import tempfile
from pathlib import Path
from time import process_time_ns

from vmio import data
from vmio.bench import cost, row
from vmio.lessons.course import COURSE

LESSON, KEYS = "emulate_a_device", 39


def measure():
    """The last panel of *Emulate a device*: 39 key presses on its first slider.

    Empty without the packages of the lab; without a checkout, and without Chromium or Chrome, only the kernel's part.
    """
    try:
        from vmio.lessons.emulate_a_device import panel as lesson
    except ModuleNotFoundError as missing:
        if missing.name.startswith("vmio"):
            raise
        print(f"slider: the lab's packages are not installed ({missing}), so it was not measured", file=sys.stderr)
        return []
    panel = lesson.disk_panel()
    moves = []
    for i in range(KEYS):
        start = process_time_ns()
        panel.set(sectors=1 << i % 7)
        moves.append((process_time_ns() - start) / 1e6)
    panel.close()
    first = [_first_move() for _ in range(5)]
    rows = [row("first visit of a value, CPU ms in the kernel", moves[:7], "at most 100"),
            row("a move to where it has been, CPU ms in the kernel", moves[7:], "at most 5"),
            row("simulation behind a first move, CPU ms", first, "at most 20")]
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
        lab_server.run_all(page, server, COURSE.notebook(LESSON))
        box = page.locator(".jp-OutputArea-output .widget-vbox:has(> .widget-html .vmio-card)").last
        slider = box.locator(lab_server.SLIDER).first
        times = [lab_server.press(page, slider, "ArrowRight" if i // 3 % 2 else "ArrowLeft", box) for i in range(KEYS)]
    seen = [ms for ms in times if ms]
    return [*rows, row("slider key to new pixels, ms", seen, "at most 110"),
            row("slider key to new pixels, p95 ms", [lab_server.percentiles(seen)[1]], "at most 160")]


def _first_move():
    """ms that a panel's runs take for a value that nobody has asked for."""
    from vmio.lessons.emulate_a_device import panel as lesson
    lesson.read_once.cache_clear()
    return cost(lambda: lesson._read(8, "pio", "string I/O", True, "server-2022"))() / 1e6
