"""Whose numbers a handed-in notebook has, and what is right for them: `vmio grade FOLDER --answers`.

lab.py writes a student's name and seed into the metadata of each copy (`vmio_student`, `vmio_seed`); the seed follows from
the name.  A flag says why a notebook's seed is not its student's; it is a reason to look, not a proof.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vmio import seed
from vmio.lab.asked import all_own, asked
from vmio.lessons.course import COURSE
from vmio.table import number, table

LESSONS = {COURSE.notebook(name).removesuffix(".ipynb") for name in COURSE.names}     # as whole names of files they name no student


@dataclass(frozen=True)
class Sheet:
    """A handed-in notebook: its student as the folder has it, and the seed and name that its metadata hold."""

    student: str
    file: str
    metadata: object = field(repr=False)
    flag: str = ""

    @property
    def _known(self) -> Mapping[str, object]:
        return self.metadata if isinstance(self.metadata, dict) else {}

    @property
    def name(self) -> str:
        """The student's name in the metadata, "" if there is none."""
        found = self._known.get("vmio_student")
        return " ".join(found.split()) if isinstance(found, str) else ""

    @property
    def seed_text(self) -> str:
        """What the metadata have for a seed, "" for none."""
        found = self._known.get("vmio_seed")
        return "" if found is None else str(found)[:30]

    @property
    def seed(self) -> int:
        """The seed that the notebook's numbers have; 0, the lessons' own, where there is none or nonsense."""
        try:
            return seed.read(self._known.get("vmio_seed") or 0)
        except ValueError:
            return seed.DEFAULT


@dataclass(frozen=True)
class Answer:
    """What a student's own question is, and what the machine counts with these numbers."""

    student: str
    seed: int
    prediction: str
    question: str
    answer: float


def flagged(sheets: Sequence[Sheet]) -> list[Sheet]:
    """Return the sheets with their flags; where no notebook of a class has a seed, none needs one."""
    owners: dict[int, list[str]] = {}
    for sheet in sheets:
        if sheet.seed != seed.DEFAULT and sheet.student not in owners.setdefault(sheet.seed, []):
            owners[sheet.seed].append(sheet.student)
    used = any(sheet.seed_text for sheet in sheets)
    return [replace(sheet, flag=_flag(sheet, owners)) if used and sheet.metadata is not None else sheet for sheet in sheets]


def _flag(sheet: Sheet, owners: Mapping[int, Sequence[str]]) -> str:
    """Why a sheet's seed is not its student's, or ""; `owners` are the seeds of all sheets and the students who have them."""
    try:
        given = seed.read(sheet.seed_text or seed.DEFAULT, "its seed")
        wanted = seed.of(sheet.name) if sheet.name else given
    except ValueError as error:
        return str(error)
    if given == seed.DEFAULT:
        return "it has no seed, and others of this class have"
    if given != wanted:
        return f"its seed is {given}, and {sheet.name}'s is {wanted}"
    if sheet.name and sheet.student not in LESSONS and not _names(sheet.student, sheet.name):
        return f"it was made for {sheet.name}, and {sheet.student} has handed it in"
    others = [] if sheet.name else [student for student in owners[given] if student != sheet.student]
    return f"its seed, {given}, is also that of {', '.join(others)}" if others else ""


def _names(folder: str, name: str) -> bool:
    """Return whether the words of a name stand, in order, in what a learning platform calls a student's folder or file."""
    there, words = (re.findall(r"\w+", seed.plain(text).replace("_", " ")) for text in (folder, name))
    return any(there[at:at + len(words)] == words for at in range(len(there) - len(words) + 1))


def answers(sheets: Sequence[Sheet]) -> Iterator[Answer]:
    """Yield what is right for each student with a seed, each prediction run on the machine with the numbers of that seed."""
    for student, own_seed in dict.fromkeys((sheet.student, sheet.seed) for sheet in sheets):
        with seed.held(own_seed):
            for slug in all_own():
                own = asked(slug)
                if own is not None:
                    yield Answer(student, own_seed, slug, own.question, own.answer())


def to_table(rows: Sequence[Answer]) -> str:
    """Return one line an answer."""
    return table([(row.student, row.seed, row.prediction, number(row.answer), row.question) for row in rows],
                 ("student", "seed", "prediction", "answer", "question"), "<><><")
