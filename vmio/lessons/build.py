"""From the lessons' sources to their stored notebooks: `python -m vmio.lessons.build [--check] [NN|NAME ...]`.

A source is `vmio/lessons/NAME/lesson.py` (`percent.py` says in which form), its
exercises are `vmio/lessons/NAME/exercises/SLUG/`; number, title and links come
from `course.py`.

The notebook is executed from top to bottom in a fresh kernel and stored with
its outputs, but without what differs between two runs of the same source:
widget state, model ids, times.  A notebook whose lesson has got another number
is renamed, and README's table is written anew.  `--check` builds again and
compares.
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # Ctrl-C before `console.run` is no traceback

import argparse
import asyncio
import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from vmio import console, data, seed
from vmio.lab.check import exercise
from vmio.lab.panel_text import PICTURES
from vmio.lessons import glossary, percent
from vmio.lessons.course import BEGIN, COURSE, END, Course
from vmio.machine import files

NOTEBOOKS = data.NOTEBOOKS
README = NOTEBOOKS.parent / "README.md"
NONE = "none"       # what is stored must not depend on the host: a lesson shows what was recorded
SECONDS = 120  # for one cell, and as much again for a kernel to start
PNG = re.compile(r'\n *"image/png": "[^"]*",?')
VIEW = "application/vnd.jupyter.widget-view+json"  # holds a model id: a new one in every run
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def cells(source: str, folder: Path | None = None, fill: Callable[[str], str] = str) -> list[tuple[str, str]]:
    """Return the cells of a source as a list of ("code" or "markdown", text), its exercises from `folder`, texts through `fill`."""
    found = []
    for kind, text in percent.read(source):
        if kind == "exercise":
            one = exercise(text, folder)
            text = f"### {one.title}\n\n{one.text}"
        elif kind == "stub":
            text = exercise(text, folder).read("stub.py").strip("\n")
        elif kind == "quiz":
            text = ((folder.parent if folder else Path()) / "quiz.md").read_text(encoding="utf-8").strip()
        code = kind in ("code", "stub")
        found.append(("code" if code else "markdown", text if code else fill(text)))
    return found


def skeleton(source: str, folder: Path | None = None, fill: Callable[[str], str] = str) -> Any:
    """Return the notebook of a source, not executed; a cell's id is that of its text, so a diff shows what changed."""
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    seen: set[str] = set()
    for kind, text in cells(source, folder, fill):
        cell = (nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell)(text)
        salt = 0
        while (name := hashlib.sha256(f"{kind}{salt}{text}".encode()).hexdigest()[:8]) in seen:
            salt += 1
        seen.add(name)
        cell["id"] = name
        notebook.cells.append(cell)
    return notebook


def lesson(name: str, course: Course = COURSE) -> Any:
    """Return the notebook of a lesson, not executed; raises ValueError for a source that could be imported."""
    home = data.LESSONS / name
    source = (home / "lesson.py").read_text(encoding="utf-8")
    if not source.startswith(percent.GUARD + "\n"):
        raise ValueError(f"{name}/lesson.py starts with {source.partition(chr(10))[0]!r}; its first line must be: {percent.GUARD}")
    seen: set[str] = set()
    return skeleton(source, home / "exercises", lambda text: glossary.link_first(course.fill(text, name), seen))


def glossary_page(course: Course = COURSE) -> Any:
    """Return the text of the glossary's notebook: a cell for each term, none to run."""
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    for text in course.fill(glossary.page(), course.names[0]).split("\n\n### "):
        cell = nbformat.v4.new_markdown_cell(text if text.startswith("# ") else f"### {text}")
        cell["id"] = hashlib.sha256(text.encode()).hexdigest()[:8]
        notebook.cells.append(cell)
    return nbformat.writes(notebook) + "\n"


class _Loop(asyncio.SelectorEventLoop):
    """A loop that leaves signals to `console.run`: nbclient's own handlers end the kernel under the build and go on."""

    def add_signal_handler(self, *_: Any) -> None:  # type: ignore[override]  # whatever it is asked
        raise RuntimeError("signals have their handlers")

    def remove_signal_handler(self, sig: int) -> bool:
        return False


def execute(notebook: Any, where: Path = NOTEBOOKS) -> Any:
    """Run every cell in a fresh kernel and take away what would differ next time; raises on the first error."""
    here = os.pathsep.join(part for part in (str(NOTEBOOKS.parent), os.environ.get("PYTHONPATH")) if part)
    client = NotebookClient(
        notebook, timeout=SECONDS, startup_timeout=SECONDS, kernel_name="python3", store_widget_state=False, coalesce_streams=True,
        record_timing=False, resources={"metadata": {"path": str(where)}})
    with asyncio.Runner(loop_factory=_Loop) as runner:      # however it ends, its kernel ends, too
        try:
            runner.run(client.async_execute(env={**os.environ, "VMIO_STRICT": "1", "PYTHONPATH": here, "VMIO_KVM": NONE, "VMIO_LINUX": NONE, PICTURES: "1",
                                                      seed.VARIABLE: str(seed.DEFAULT)}))
        except KeyboardInterrupt:
            runner.get_loop().set_exception_handler(lambda *_: None)    # that the kernel died is no news
            raise
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(VIEW, None)
            if output["output_type"] in ("display_data", "execute_result"):
                output["metadata"] = nbformat.from_dict({})
    return notebook


def stored(notebook: Any, where: Path = NOTEBOOKS) -> str:
    """Return the text of a notebook as it is stored, executed."""
    notebook = execute(notebook, where)
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def renumber(where: Path = NOTEBOOKS, course: Course = COURSE) -> None:
    """Rename the notebooks whose lessons have other numbers now."""
    for path in sorted(where.glob("[0-9LA][0-9]_*.ipynb")):
        name = path.stem[3:]
        if name in course.names and path.name != course.notebook(name):
            path.rename(where / course.notebook(name))
            print(f"{path.name}: is {course.notebook(name)} now")


def readme(text: str, course: Course = COURSE) -> str:
    """Return README's text with its part about the lessons made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no place for the lessons' table; it begins with {BEGIN.strip()} and ends with {END.strip()}")
    return before + BEGIN + course.readme() + END + after


def main(arguments: Any = None) -> Any:
    """Build or check the lessons whose names start with one of the arguments (all without any)."""
    parser = argparse.ArgumentParser(prog="python -m vmio.lessons.build", description="Build the notebooks from their sources.")
    parser.add_argument("--check", action="store_true", help="build again and compare with what is stored")
    parser.add_argument("lessons", nargs="*", help="such as 01, L1, A1 or fill_a_ring; all without")
    options = parser.parse_args(arguments)
    try:
        data.checkout("notebooks")
    except FileNotFoundError as error:
        parser.error(str(error))
    wanted = chosen(options.lessons)
    if not options.check:
        renumber()
    stale = [_keep(README, readme(README.read_text(encoding="utf-8")), options.check)]
    stale += [_keep(NOTEBOOKS / glossary.FILE, glossary_page(), options.check)]
    stale += [_keep(NOTEBOOKS / COURSE.notebook(name), stored(lesson(name)), options.check) for name in wanted]
    return 1 if any(stale) else 0


def chosen(words: Any, course: Course = COURSE) -> Any:
    """Return the names of the lessons whose names or numbers start with one of the words, all without any; raises ValueError."""
    names = [name for name in course.names
             if not words or name.startswith(tuple(words)) or course.notebook(name).startswith(tuple(words))]
    unknown = [word for word in words if not any(name.startswith(word) or course.notebook(name).startswith(word) for name in names)]
    if unknown:
        raise ValueError(f"there is no lesson {unknown[0]!r}; there are {', '.join(map(course.notebook, course.names))}")
    return names


def _keep(path: Path, text: str, check: Any) -> Any:
    """Write what was made, or only look with `check`; say which, and return whether what is stored is stale."""
    same = path.exists() and _without_pictures(path.read_text(encoding="utf-8")) == _without_pictures(text)
    if not check and not same:
        files.write_text(path, text)
    print(f"{path.name}: {'built' if not check else 'in step' if same else 'differs from its source'}")
    return check and not same


def _without_pictures(text: str) -> Any:
    """What is compared of a notebook: where pictures are, not what; another matplotlib draws the same in other bytes."""
    return PNG.sub("picture", text)


if __name__ == "__main__":
    sys.exit(console.run("vmio.lessons.build", main))
