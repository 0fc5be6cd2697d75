"""Panels without a kernel: each as one page with its settings stored, for slides, a course page or a mail. `python -m vmio.lessons.pages DIR`

A page needs no server and no network: it opens from a file. What it draws with is what a notebook draws with; what it shows was
counted when the page was made. A panel with more settings than `LARGEST` keeps as many: of each control that has many values every
second is left out until they fit, never the ends or the value that it opens with. The page says which are stored.
"""

import argparse
import gzip
import json
import os
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import anywidget

from vmio import console
from vmio.lab import card as card_module
from vmio.lab.controls import Control
from vmio.lab.panel import Panel
from vmio.lessons.course import COURSE
from vmio.lessons.panels import PANELS, make
from vmio.machine import files
from vmio.table import number

STATIC = Path(card_module.__file__).parent / "static"
LARGEST = 500       # settings of a page


def kept(controls: Sequence[Control], largest: int = LARGEST) -> dict[str, tuple]:
    """Return {control: values that are stored}: all, or as many as fit; what a control opens with is always there, and its ends while it has three."""
    values = {control.name: control.values for control in controls}
    opens = {control.name: control.value for control in controls}
    while prod(map(len, values.values())) > largest:
        most = max(values, key=lambda name: len(values[name]))
        now, value = values[most], opens[most]
        fewer = tuple(one for at, one in enumerate(now) if at % 2 == 0 or one in (now[-1], value))
        if len(fewer) == len(now):      # three at most: the ends and the value that it opens with
            fewer = (now[0], value) if len(now) > 2 and now[0] != value else (value,)
        values[most] = fewer
    return values


def states(panel: Panel, values: dict[str, tuple]) -> Iterator[dict[str, Any]]:
    """Yield what the panel shows at each of the settings, the last control's values going round first."""
    for setting in product(*values.values()):
        try:
            panel.set(**dict(zip(values, setting)))
            panel.finish()
        except ValueError:
            pass        # the card says so
        yield {"shown": json.loads(panel.card.shown), "live": live_values(panel.live)}


def live_values(live: Any) -> dict[str, Any]:
    """Return what a drawing has from Python beyond what every widget has; {} for no drawing."""
    if live is None:
        return {}
    names = set(live.traits(sync=True)) - set(anywidget.AnyWidget.class_traits(sync=True))
    return {name: getattr(live, name) for name in sorted(names) if name[0] != "_"}


def stored(panel: Panel, largest: int = LARGEST) -> dict[str, Any]:
    """Return a panel with all its settings as plain data; what is shown more than once is there once."""
    controls = list(panel.controls.values())
    opens, values = dict(panel.params), kept(controls, largest)
    found: dict[str, int] = {}
    index, first = [], live_values(panel.live)
    for state in states(panel, values):
        text = json.dumps(state, sort_keys=True)
        index.append(found.setdefault(text, len(found)))
    every = [json.loads(text) for text in found]
    lines, columns = (max(state["shown"][name] for state in every) for name in ("lines", "columns"))
    for state in every:
        for name in ("lines", "columns", "id"):
            del state["shown"][name]
    return {"id": panel.card._name, "lines": lines, "columns": columns, "live": first, "states": every, "index": index, "controls": [
        {"label": one.label, "help": one.help or one.label, "kind": one.kind, "at": values[one.name].index(opens[one.name]),
         "texts": [value if isinstance(value, str) else str(value) if isinstance(value, bool) else number(value) for value in values[one.name]],
         "of": len(one.values)} for one in controls]}


def page(panel: Panel, title: str, largest: int = LARGEST) -> str:
    """Return a panel as one page of HTML that needs nothing else."""
    data = stored(panel, largest)
    packed = b64encode(gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0)).decode()
    less = [f"{one['label']}: {len(one['texts'])} of {one['of']} values" for one in data["controls"] if len(one["texts"]) < one["of"]]
    note = f"{len(data['index']):,} settings are stored in this page" + (f" ({'; '.join(less)})." if less else ": all that there are.")
    live = "null" if panel.live is None else module(str(panel.live._esm))
    script = "\n".join((f"const card = {module(str(panel.card._esm))};", f"const live = {live};", (STATIC / "stored.js").read_text(encoding="utf-8"),
                        f'start(document.querySelector(".vmio-panel"), "{packed}", card, live);'))
    style = (STATIC / "panel.css").read_text(encoding="utf-8") + (STATIC / "stored.css").read_text(encoding="utf-8")
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
            f'<div class="vmio-panel"></div>\n<p class="vmio-stored-note">{escape(note)} Each number was counted by vmio when the page was made.</p>\n'
            f"<script>\n{script}\n</script>\n</body>\n</html>\n")


def module(code: str) -> str:
    """Return a JavaScript module as an expression that is what the module exports: a page that opens from a file loads no modules."""
    if code.count("export default ") != 1 or "</script" in code:
        raise ValueError("a drawing's code must have one `export default`, and no end of a script")
    return f'(() => {{\n{code.replace("export default ", "return ")}\n}})()'


def file_of(module: str, maker: str) -> str:
    """Return the name of a panel's page."""
    lesson = module.split(".")[0]
    return f"{COURSE.number(lesson)}_{lesson}{'' if maker == 'panel' else '_' + maker.removesuffix('_panel')}.html"


def new_folder(name: str) -> Path:
    """Return the path of a folder that is new or empty, made if need be; raises ValueError for any other."""
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"DIR is {name!r}, and something is there; the pages need a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pages; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vmio.lessons.pages", description="Each live panel as one page, without a kernel.")
    parser.add_argument("folder", metavar="DIR", help="a new or an empty folder")
    parser.add_argument("--lesson", metavar="NN", help="only the panels of one lesson, such as 00 or fill_a_ring")
    parser.add_argument("--largest", type=int, default=LARGEST, help="settings of a page at most (default %(default)s)")
    options = parser.parse_args(arguments)
    if options.largest < 64:
        raise ValueError(f"--largest is {options.largest}; it must be at least 64")
    chosen = [one for one in PANELS if options.lesson is None or options.lesson in (one[0].split(".")[0], COURSE.number(one[0].split(".")[0]))]
    if not chosen:
        raise ValueError(f"--lesson is {options.lesson!r}; allowed: a number or a name, such as {', '.join(COURSE.names[:3])}")
    folder, rows = new_folder(options.folder), []
    for one in chosen:
        lesson, panel = one[0].split(".")[0], make(*one)
        text = page(panel, COURSE.title(lesson), options.largest)
        panel.close()
        files.write_text(str(folder / file_of(*one)), text)
        rows.append(f'<li><a href="{file_of(*one)}">{escape(COURSE.title(lesson))}</a>: {escape(one[1].removesuffix("_panel").replace("_", " "))}</li>')
        console.say(f"{file_of(*one)}: {len(text.encode()) / 1000:,.0f} KB")
    files.write_text(str(folder / "index.html"), "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Panels of vmio</title>\n<h1>Panels of vmio</h1>\n"
                     + "<ul>\n" + "\n".join(rows) + "\n</ul>\n</html>\n")
    console.say(f"the pages are in {os.path.abspath(options.folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(console.run("vmio.lessons.pages", main))
