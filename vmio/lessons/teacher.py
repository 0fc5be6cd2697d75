"""A teacher's kit from the same sources: solutions, slides, a printable hand-out. `python -m vmio.lessons.teacher DIR [NN|NAME ...]`

DIR, which must be new or empty, gets three folders:

    solutions/   each lesson with the references in place of the stubs, run, so that every check says "right"
    handout/     each lesson as a page to print, with what is stored: no answers
    slides/      each lesson for the projector: a heading begins a slide (reveal.js, which a browser loads from the network)
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter, SlidesExporter
from nbformat import NotebookNode

from vmio import console, data
from vmio.lab.check import exercise
from vmio.lessons import build
from vmio.lessons.course import COURSE
from vmio.machine import files


def solved(name: str) -> NotebookNode:
    """Return the notebook of a lesson with each exercise's reference in place of its stub, not executed."""
    notebook = build.lesson(name)
    home = data.LESSONS / name / "exercises"
    answers = {one.read("stub.py").strip("\n"): one.read("solution.py").strip("\n")
               for one in (exercise(path.parent.name, home) for path in sorted(home.glob("*/check.py")))}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = answers.pop(cell.source, cell.source)
    if answers:
        raise ValueError(f"lesson {name!r} does not show {len(answers)} of its stubs")
    return notebook


def as_slides(notebook: NotebookNode) -> NotebookNode:
    """Mark a notebook's cells for the projector: a title or a section begins a slide, what follows appears step by step."""
    for cell in notebook.cells:
        heading = cell.cell_type == "markdown" and cell.source.startswith(("# ", "## "))
        below = cell.cell_type == "markdown" and cell.source.startswith("### ")
        cell.metadata["slideshow"] = {"slide_type": "slide" if heading else "subslide" if below else "fragment"}
    return notebook


def stored(name: str) -> NotebookNode:
    """Return the notebook of a lesson as it is stored, with its outputs."""
    return nbformat.reads((data.NOTEBOOKS / COURSE.notebook(name)).read_text(encoding="utf-8"), as_version=4)


def page(notebook: NotebookNode, title: str, exporter: HTMLExporter | SlidesExporter) -> str:
    """Return a notebook as HTML text."""
    notebook.metadata["title"] = title
    text, _ = exporter.from_notebook_node(notebook)
    return text


def new_folder(name: str) -> Path:
    """Return the path of a folder that is new or empty, made if need be; raises ValueError for any other."""
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"DIR is {name!r}, and something is there; the kit needs a new or an empty folder")
    for part in ("solutions", "handout", "slides"):
        (folder / part).mkdir(parents=True)
    return folder


def make(folder: Path, names: Sequence[str]) -> None:
    """Write the kit of some lessons, each file whole or not at all."""
    slides = SlidesExporter(reveal_scroll=True)
    for name in names:
        stem, title = Path(COURSE.notebook(name)).stem, COURSE.title(name)
        for part, suffix, text in (
                ("solutions", ".ipynb", lambda name=name: build.stored(solved(name))),
                ("handout", ".html", lambda name=name, title=title: page(stored(name), title, HTMLExporter())),
                ("slides", ".slides.html", lambda name=name, title=title: page(as_slides(stored(name)), title, slides))):
            files.write_text(str(folder / part / (stem + suffix)), text())
        console.say(f"{stem}: solutions, handout, slides")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the kit; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vmio.lessons.teacher", description="Solutions, slides and hand-outs.")
    parser.add_argument("folder", metavar="DIR", help="a new or an empty folder")
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="such as 01 or fill_a_ring; all without")
    options = parser.parse_args(arguments)
    data.checkout("notebooks")
    names = build.chosen(options.lessons)
    make(new_folder(options.folder), names)
    console.say(f"the kit is in {os.path.abspath(options.folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(console.run("vmio.lessons.teacher", main))
