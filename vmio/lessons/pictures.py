"""The README's pictures, drawn by the lessons' own panels: `python -m vmio.lessons.pictures [--check]`.

A picture is one chart of a panel with its controls set, printed to
docs/pictures/NAME.svg.  The live machine is drawn in the page, so its pictures
come from there: `tests/browser/test_pictures.py`.
"""

import argparse
import re
import sys
from html import escape
from importlib import import_module
from typing import Any

from vmio import console, data
from vmio.lab import printed
from vmio.machine import files

FOLDER = "docs/pictures"
PICTURES: dict[str, tuple[str, str, dict[str, Any], int]] = {  # name: lesson, its function that makes the panel, what is set, which figure
    "time-of-a-request": ("compare_modes", "panel", {}, 0),
    "bytes-in-the-rings": ("fill_a_ring", "load_panel", {"queue_depth": 32}, 0),
    "break-even": ("compare_modes", "break_even_panel", {"against": "exits"}, 0),
    "shares": ("share_a_device", "live_panel", {}, 0),
}


def draw(name: str) -> str:
    """The picture as SVG text and, in its <desc>, the panel's readout, which says the same in words."""
    lesson, maker, settings, which = PICTURES[name]
    panel = getattr(import_module(f"vmio.lessons.{lesson}.panel"), maker)()
    panel.set(**settings)
    text = printed.svg(panel.charts[which])
    panel.close()
    return re.sub(r"(<svg[^>]*>)", lambda tag: f"{tag[1]}\n<desc>{escape(panel.text)}</desc>", text, count=1) + "\n"


def words(svg: str) -> list[str]:
    """All that an SVG text says, without where and how: it is the same on every machine."""
    return re.findall(r"<(?:text|tspan|desc)\b[^>]*>([^<]+)", svg)


def main(arguments: Any = None) -> Any:
    """Write all pictures, or say with `--check` which no longer say what the panels say."""
    parser = argparse.ArgumentParser(prog="python -m vmio.lessons.pictures", description="Draw the README's pictures.")
    parser.add_argument("--check", action="store_true", help="draw again and compare the words")
    options = parser.parse_args(arguments)
    try:
        folder, stale = data.checkout(FOLDER), []
    except FileNotFoundError as error:
        parser.error(str(error))
    for name in PICTURES:
        path, text = folder / f"{name}.svg", draw(name)
        if not options.check:
            files.write_text(path, text)
        elif not path.exists() or words(path.read_text(encoding="utf-8")) != words(text):
            stale.append(name)
            print(f"{path.name}: the panel says something else; run python -m vmio.lessons.pictures")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(console.run("vmio.lessons.pictures", main))
