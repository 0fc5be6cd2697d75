"""From a lesson's source to its stored notebook: `python -m vmio.lessons.build [--check] [NN ...]`.

A source is `notebooks/src/NN_verb_object.py` in percent format: a line
`# %% [markdown]` starts a text cell (each line after `# `), `# %%` a code cell,
and two more pull in an exercise by its slug, so lesson and check cannot drift:

    # %% [exercise] slug        its title and text
    # %% [stub] slug            its stub as a code cell

The notebook is executed from top to bottom in a fresh kernel and stored with
its outputs, but without what differs between two runs of the same source:
widget state, model ids, times.  `--check` builds again and compares.
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # Ctrl-C before `console.run` is no traceback

import argparse
import asyncio
import hashlib
import os
import sys

import nbformat
from nbclient import NotebookClient

from vmio import console, data
from vmio.lab.check import exercise
from vmio.machine import files

NOTEBOOKS = data.EXERCISES.parent
NO_KVM = "none"     # what is stored must not depend on the host: lesson 09 shows what was recorded
SECONDS = 120  # for one cell, and as much again for a kernel to start
VIEW = "application/vnd.jupyter.widget-view+json"  # holds a model id: a new one in every run
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def cells(source, folder=NOTEBOOKS / "exercises"):
    """Percent-format text as a list of (kind, text); raises ValueError for an unknown kind of cell."""
    found, kind, slug, lines = [], None, None, []

    def close():
        text = "\n".join(lines).strip("\n")
        if kind == "markdown":
            text = "\n".join(line[2:] if line.startswith("# ") else line.removeprefix("#") for line in text.split("\n"))
        elif kind == "exercise":
            one = exercise(slug, folder)
            text = f"### {one.title}\n\n{one.text}"
        elif kind == "stub":
            text = exercise(slug, folder).read("stub.py").strip("\n")
        if kind and text.strip():
            found.append(("code" if kind in ("code", "stub") else "markdown", text))

    for line in source.splitlines():
        if line.startswith("# %%"):
            close()
            words = line[4:].split()
            kind = words[0].strip("[]") if words else "code"
            slug, lines = (words[1] if len(words) > 1 else None), []
            if kind not in ("code", "markdown", "exercise", "stub"):
                raise ValueError(f"cell is {line!r}; allowed after '# %%': nothing, [markdown], [exercise] slug, [stub] slug.")
        else:
            lines.append(line.rstrip())
    close()
    return found


def skeleton(source, folder=NOTEBOOKS / "exercises"):
    """The notebook of a source, not executed; a cell's id is that of its text, so a diff shows what changed."""
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    seen = set()
    for kind, text in cells(source, folder):
        cell = (nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell)(text)
        salt = 0
        while (name := hashlib.sha256(f"{kind}{salt}{text}".encode()).hexdigest()[:8]) in seen:
            salt += 1
        seen.add(name)
        cell["id"] = name
        notebook.cells.append(cell)
    return notebook


class _Loop(asyncio.SelectorEventLoop):
    """A loop that leaves signals to `console.run`: nbclient's own handlers end the kernel under the build and go on."""

    def add_signal_handler(self, *_):
        raise RuntimeError("signals have their handlers")

    def remove_signal_handler(self, *_):
        return False


def execute(notebook, where=NOTEBOOKS):
    """Run every cell in a fresh kernel and take away what would differ next time; raises on the first error."""
    here = os.pathsep.join(part for part in (str(NOTEBOOKS.parent), os.environ.get("PYTHONPATH")) if part)
    client = NotebookClient(
        notebook, timeout=SECONDS, startup_timeout=SECONDS, kernel_name="python3", store_widget_state=False, coalesce_streams=True,
        record_timing=False, resources={"metadata": {"path": str(where)}})
    with asyncio.Runner(loop_factory=_Loop) as runner:      # however it ends, its kernel ends, too
        try:
            runner.run(client.async_execute(env={**os.environ, "VMIO_STRICT": "1", "PYTHONPATH": here, "VMIO_KVM": NO_KVM}))
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


def build(path, where=NOTEBOOKS):
    """The text of the stored notebook for the source at `path`."""
    notebook = execute(skeleton(path.read_text(encoding="utf-8"), where / "exercises"), where)
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def sources(where=NOTEBOOKS):
    """The lessons' sources in order."""
    return sorted((where / "src").glob("[0-9][0-9]_*.py"))


def main(arguments=None):
    """Build or check the lessons whose names start with one of the arguments (all without any)."""
    parser = argparse.ArgumentParser(prog="python -m vmio.lessons.build", description="Build the notebooks from their sources.")
    parser.add_argument("--check", action="store_true", help="build again and compare with what is stored")
    parser.add_argument("lessons", nargs="*", help="such as 01; all without")
    options = parser.parse_args(arguments)
    try:
        data.checkout("notebooks/src")
    except FileNotFoundError as error:
        parser.error(str(error))
    wanted = [path for path in sources() if not options.lessons or path.name.startswith(tuple(options.lessons))]
    stale = []
    for path in wanted:
        target = NOTEBOOKS / f"{path.stem}.ipynb"
        text = build(path)
        if not options.check:
            files.write_text(target, text)
        elif not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
        print(f"{target.name}: {'differs from its source' if target.name in stale else 'in step' if options.check else 'built'}")
    return 1 if stale or not wanted else 0


if __name__ == "__main__":
    sys.exit(console.run("vmio.lessons.build", main))
