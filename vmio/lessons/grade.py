"""Grade a class: each student's notebooks, each exercise in them checked in a process of its own, one row each.

Only what a notebook defines is run (imports, functions, classes, plain assignments), not its cells with panels; what
fails there fails the exercises that use it.  A notebook is found by what is in it, whatever its file is called.
Exercises are checked with the numbers of the seed that the notebook's own metadata hold (`seeds.py`).
"""

import ast
import csv
import io
import json
import linecache
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from vmio import progress, seed
from vmio.lab import apart
from vmio.lab.answer import same_code
from vmio.lab.check import ERROR, NOT_ATTEMPTED, PASS, Exercise, exercise
from vmio.lessons.seeds import Answer, Sheet, flagged
from vmio.machine import files
from vmio.table import table

SCHEMA = 2
LARGEST = 64 << 20      # bytes of a notebook
UNREADABLE = "unreadable"
COPIED = "the course's own answer, name by name"
NO_NOTEBOOK = "it is no notebook (JSON, nbformat 4)"
_ASKED = re.compile(r"""^[^#\n]*\bexercise\(\s*["']([\w-]+)["']""", re.MULTILINE)
_OLD = re.compile(r"\.old-[0-9]+$")     # what `lab.py reset` keeps
_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Row:
    """How one exercise of one file ended; `outcome` is one of the check's four, or "unreadable" for a file that is no lesson."""

    student: str
    file: str
    exercise: str
    outcome: str
    said: str
    seed: str       # as the notebook's metadata have it, "" for none
    flag: str       # why that is not its student's, or that the answer is the course's own; "" if there is nothing to look at


def grade(folder: str | Path) -> list[Row]:
    """Return a row for each exercise in each notebook under a folder, in the order of their names; raises ValueError."""
    found = sheets(folder)
    graded: list[Row] = []
    with progress.bar(len(found), "notebooks") as step:
        for path, sheet in found:
            graded += _rows(path, sheet)
            step()
    return graded


def sheets(folder: str | Path) -> list[tuple[Path, Sheet]]:
    """Return each notebook under a folder with what is known of it, in the order of their names; raises ValueError."""
    top = Path(folder)
    if not top.is_dir():
        raise ValueError(f"folder is {str(folder)!r}; it must be a folder with the students' notebooks")
    found = [path for path in sorted(top.rglob("*.ipynb"))
             if ".ipynb_checkpoints" not in path.parts and not _OLD.search(path.stem)]
    if not found:
        raise ValueError(f"folder is {str(folder)!r}; there is no notebook (*.ipynb) in it")
    return list(zip(found, flagged([sheet_of(path, path.relative_to(top)) for path in found])))


def sheet_of(path: Path, name: Path) -> Sheet:
    """Return what is known of a notebook; its student is the first folder on the way to it, else its file's name."""
    try:
        metadata = notebook(path).get("metadata")
    except (OSError, ValueError):
        metadata = None
    return Sheet(name.parts[0] if len(name.parts) > 1 else name.stem, name.as_posix(), metadata)


def _rows(path: Path, sheet: Sheet) -> Iterator[Row]:
    """The rows of one notebook."""
    def row(slug: str, outcome: str, said: str, flag: str = sheet.flag) -> Row:
        return Row(*map(in_one_line, (sheet.student, sheet.file, slug, outcome, said, sheet.seed_text, flag)))
    try:
        cells = code_cells(path)
        slugs = list(dict.fromkeys(slug for cell in cells for slug in _ASKED.findall(cell)))
        if not slugs:
            raise ValueError("there is no exercise of this course in it")
    except (OSError, ValueError) as error:
        yield row("", UNREADABLE, str(error))
        return
    for slug in slugs:
        try:
            one = exercise(slug)
        except ValueError as error:
            yield row(slug, UNREADABLE, str(error))
            continue
        with seed.held(sheet.seed), TemporaryDirectory(prefix="vmio-grade-", ignore_cleanup_errors=True) as empty, redirect_stdout(io.StringIO()):
            outcome = one.check_made(lambda one=one, empty=empty: answer_of(cells, one, empty))
            copied = outcome.kind == PASS and apart.run(lambda one=one, empty=empty: same_code(answer_of(cells, one, empty), one.load("solution")),
                                                        one.limits).data is True
        flags = (sheet.flag, f"{slug}: {COPIED}" if copied else "")
        yield row(slug, outcome.kind, outcome.text.removeprefix(f"{slug}: "), "; ".join(filter(None, flags)))


def notebook(path: Path) -> dict[str, Any]:
    """Return what a notebook's file holds; raises ValueError for one that is too large, no file or no JSON object."""
    there = path.stat()
    if kind := files.kind_of(there):
        raise ValueError(f"it is {kind}, and no notebook")      # a FIFO would never end, nor would a device
    if there.st_size > LARGEST:
        raise ValueError(f"it has {there.st_size:,} bytes; a lesson has less than {LARGEST:,}")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(NO_NOTEBOOK) from None
    if not isinstance(found, dict):
        raise ValueError(NO_NOTEBOOK)
    return found


def code_cells(path: Path) -> list[str]:
    """Return the sources of a notebook's code cells; raises ValueError for a file that is no notebook of format 4."""
    try:
        sources = [cell["source"] for cell in notebook(path)["cells"] if cell["cell_type"] == "code"]
        return [source if isinstance(source, str) else "".join(source) for source in sources]
    except (KeyError, TypeError):
        raise ValueError(NO_NOTEBOOK) from None


def answer_of(cells: list[str], one: Exercise, folder: str | None = None) -> object:
    """Run what a notebook defines and return the answer to an exercise; raises SyntaxError, NameError or what the answer's own cell does.

    Where it runs in a process of its own, that works in `folder`: names of files in an answer are not those of the teacher's.
    """
    if folder is not None and apart.CAN_FORK:
        os.chdir(folder)
    wanted = one.load("stub").__name__
    module = ModuleType("__main__")
    problem: BaseException | None = None
    for number, cell in enumerate(cells, 1):
        file = f"<code cell {number}>"
        text = "".join(line if not line.lstrip().startswith(("%", "!")) else "\n" for line in cell.splitlines(keepends=True))
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
        try:
            statements = ast.parse(text, file).body
        except (SyntaxError, ValueError) as error:
            if re.search(rf"^\s*(def|class)\s+{wanted}\b|^{wanted}\s*=", text, re.MULTILINE):
                problem = error
            continue
        for statement in statements:
            names = {target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)}
            names.add(getattr(statement, "name", ""))
            plain = isinstance(statement, ast.Assign) and not any(isinstance(node, ast.Call) for node in ast.walk(statement))
            if not (isinstance(statement, _KEPT) or plain or wanted in names):
                continue
            try:
                exec(compile(ast.Module([statement], []), file, "exec"), vars(module))
            except BaseException as error:  # noqa: BLE001  what another cell does is no matter, unless the answer needs it
                if wanted in names:
                    problem = error
            else:
                problem = None if wanted in names else problem
    if problem is not None:
        raise problem
    if not hasattr(module, wanted):
        raise NameError(f"the notebook defines no {wanted}")
    return getattr(module, wanted)


def in_one_line(text: str) -> str:
    """Return a text without what a terminal would obey or a file can't hold: control characters, lone surrogates."""
    return text if text.isprintable() else "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def to_csv(rows: Sequence[Any]) -> str:
    """Return rows of one kind as CSV text with a header; a name that a spreadsheet would take for a formula gets ./ in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(asdict(rows[0]))
    for row in rows:
        writer.writerow([f"./{cell}" if str(cell)[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in asdict(row).values()])
    return text.getvalue()


def to_table(rows: list[Row]) -> str:
    """Return one line a file: how many of its exercises ended in each way; below it, which file's seed is not its student's."""
    files = dict.fromkeys((row.student, row.file) for row in rows)
    kinds = (PASS, "wrong", ERROR, NOT_ATTEMPTED, UNREADABLE)
    counts = table([(*file, *(sum(row.outcome == kind for row in rows if (row.student, row.file) == file) for kind in kinds))
                    for file in files], ("student", "file", *kinds))
    flags = dict.fromkeys(f"{row.file}: {row.flag}" for row in rows if row.flag)
    return "\n".join([counts, *(["", *flags] if flags else [])])


def to_dict(rows: Sequence[Row | Answer]) -> dict[str, object]:
    """Return plain data for JSON."""
    return {"schema": SCHEMA, "rows": [asdict(row) for row in rows]}
