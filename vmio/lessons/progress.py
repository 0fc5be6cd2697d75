"""Where a class is: `vmio progress FOLDER` reads the lines that checks have left in each student's folder (`vmio.lab.progress`).

A student is the first folder on the way to a file.  Run All checks the same answer again and again, so what counts as a try is
an answer that was not there before.  Lines that nobody of us wrote are counted, and change nothing else.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmio import data
from vmio.lab.check import ERROR, PASS, WRONG
from vmio.lab.progress import NAME
from vmio.lessons.grade import in_one_line, to_csv
from vmio.machine import files
from vmio.table import table

SCHEMA = 1
LARGEST = 16 << 20      # bytes of a file: a student's lines of a year have less than one of them
__all__ = ["Class", "Row", "of_class", "to_csv", "to_dict", "to_table"]


@dataclass(frozen=True)
class Row:
    """How far a student is with one exercise: the best outcome, how many different answers were tried, those up to the first that passed."""

    student: str
    exercise: str
    outcome: str
    tries: int
    version: str        # of the course, at the last check


@dataclass(frozen=True)
class Class:
    """All rows, in the order of names; per student how many lines were none of ours."""

    rows: list[Row]
    unread: dict[str, int]


def of_class(folder: str | Path) -> Class:
    """Return how far each student under a folder is; raises ValueError if nobody is there."""
    top = Path(folder)
    if not top.is_dir():
        raise ValueError(f"folder is {str(folder)!r}; it must be a folder with the students' folders")
    lines: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    unread: dict[str, int] = {}
    for path in _files(top):
        name = path.relative_to(top)
        student = in_one_line(name.parts[0] if len(name.parts) > 1 else top.name)
        unread.setdefault(student, 0)
        for line in _lines(path):
            if line is None:
                unread[student] += 1
            else:
                lines.setdefault((student, line[0]), []).append(line[1:])
    if not unread:
        raise ValueError(f"folder is {str(folder)!r}; no {NAME} is in it: checks leave one in a student's folder where VMIO_PROGRESS is 1")
    return Class([_row(student, slug, of) for (student, slug), of in sorted(lines.items())], unread)


def _files(top: Path) -> Iterator[Path]:
    """The files of that name under a folder; links lead nowhere, and folders that may not be read hold nothing."""
    for place, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if NAME in names:
            yield Path(place, NAME)


def _lines(path: Path) -> Iterator[tuple[str, str, str, str] | None]:
    """(exercise, outcome, answer, version) of each line; None for one that is none of ours, or for a file that can't be read."""
    try:
        there = path.lstat()
        if files.kind_of(there) or there.st_size > LARGEST:
            yield None
            return
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError:
        yield None
        return
    known = {folder.parent.name for folder in data.LESSONS.glob("*/exercises/*/check.py")}
    for line in text.splitlines():
        try:
            found = json.loads(line)
            one = tuple(found[key] for key in ("exercise", "outcome", "answer", "version"))
            ours = len(found) == 4 and all(isinstance(part, str) and len(part) < 60 for part in one) and one[0] in known and one[1] in (PASS, WRONG, ERROR)
        except (ValueError, TypeError, KeyError, RecursionError):
            ours = False
        yield one if ours else None


def _row(student: str, slug: str, lines: Sequence[tuple[str, str, str]]) -> Row:
    """The row of one student's lines about one exercise, in their order."""
    outcomes = [outcome for outcome, _, _ in lines]
    best = next(kind for kind in (PASS, WRONG, ERROR) if kind in outcomes)
    until = outcomes.index(PASS) + 1 if best == PASS else len(lines)
    return Row(student, slug, best, len({answer for _, answer, _ in lines[:until]}), in_one_line(lines[-1][2]))


def to_table(found: Class) -> str:
    """Return two tables: a line a student, then a line an exercise, those first where most are stuck; and what the numbers are worth."""
    students = [(student, *(sum(row.student == student and row.outcome == kind for row in found.rows) for kind in (PASS, WRONG, ERROR)),
                 sum(row.tries for row in found.rows if row.student == student), found.unread[student]) for student in sorted(found.unread)]
    slugs = sorted({row.exercise for row in found.rows})
    exercises = []
    for slug in slugs:
        of = [row for row in found.rows if row.exercise == slug]
        solved = sum(row.outcome == PASS for row in of)
        exercises.append((slug, len(of), solved, len(of) - solved, round(sum(row.tries for row in of) / len(of), 1)))
    exercises.sort(key=lambda row: (-row[3], -row[4], row[0]))
    return "\n\n".join([
        table(students, ("student", "solved", "wrong so far", "error so far", "answers tried", "lines not ours")),
        table(exercises, ("exercise", "students", "solved", "not yet", "answers a student")),
        "Each line was written by the student's own process, who may change it: this shows where a class is, and is no mark."])


def to_dict(found: Class) -> dict[str, object]:
    """Return plain data for JSON."""
    return {"schema": SCHEMA, "rows": [vars(row) for row in found.rows], "unread": found.unread}
