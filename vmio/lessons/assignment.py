"""A lesson as an assignment for nbgrader or Otter-Grader, with the course's own check behind each mark: `vmio assignment FORM DIR LESSON ...`

    nbgrader    DIR/source/NAME/NAME.ipynb: stubs with the reference between nbgrader's marks, a locked cell with a mark for each
                exercise (nbgrader.readthedocs.io, cell metadata of schema version 3), and DIR/nbgrader_config.py
    otter       DIR/NAME/: the notebook and tests/SLUG.py, one for each exercise (otter-grader.readthedocs.io, exception-based tests)

The lesson's own cells stay: students see their check at once, the mark comes from `vmio.lessons.judge`.
"""

from pathlib import Path
from typing import Any

import nbformat

from vmio.lab.check import Exercise, exercise
from vmio.lessons import build
from vmio import data
from vmio.lessons.course import COURSE
from vmio.machine import files

FORMS = ("nbgrader", "otter")
CONFIG = '''\
"""`nbgrader generate_assignment NAME`, `nbgrader autograde NAME`: the course's assignments."""
c = get_config()
c.CourseDirectory.course_id = "vmio"
c.ClearSolutions.code_stub = {"python": ""}     # the stub stands above what is taken out
'''
MARK = '''\
from vmio.lessons.judge import judged
outcome = judged("{slug}")
print(outcome)
assert outcome, outcome.text
'''
OTTER = '''\
"""The course's own check, run in a process of its own."""
from otter.test_files import test_case

OK_FORMAT = False
name = "{slug}"
points = 1


@test_case()
def test_by_the_course():
    from vmio.lessons.judge import judged
    outcome = judged("{slug}")
    assert outcome, outcome.text
'''


def exercises(name: str) -> list[Exercise]:
    """Return a lesson's exercises."""
    home = data.LESSONS / name / "exercises"
    return [exercise(path.parent.name, home) for path in sorted(home.glob("*/check.py"))]


def for_nbgrader(name: str) -> Any:
    """Return a lesson as nbgrader's source: answers between its marks, a locked cell with one mark after each check."""
    return _with_marks(name, marks=True)


def for_otter(name: str) -> Any:
    """Return a lesson as Otter's notebook: the lesson itself, and a last cell that asks for all marks."""
    notebook = _with_marks(name, marks=False)
    first = nbformat.v4.new_code_cell("import otter\ngrader = otter.Notebook()", id="otter-first")
    last = nbformat.v4.new_code_cell("grader.check_all()", id="otter-last")
    notebook.cells = [first, *notebook.cells, last]
    return notebook


def _with_marks(name: str, marks: bool) -> Any:
    """Return a lesson's notebook; ValueError if it shows none of its stubs, or has no exercises."""
    notebook, known = build.lesson(name), {one.read("stub.py").strip("\n"): one for one in exercises(name)}
    cells: list[Any] = []
    waiting: list[Exercise] = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "code" and cell.source in known:
            one = known.pop(cell.source)
            waiting.append(one)
            if marks:
                cell.source += f"\n### BEGIN SOLUTION\n{one.read('solution.py').strip(chr(10))}\n### END SOLUTION"
                cell.metadata["nbgrader"] = _metadata(f"{one.slug}-answer", solution=True)
        for one in [one for one in waiting if f'exercise("{one.slug}")' in cell.source and ".check(" in cell.source]:
            waiting.remove(one)
            if marks:
                mark = nbformat.v4.new_code_cell(MARK.format(slug=one.slug).strip("\n"), id=f"{one.slug}-mark"[:64])
                mark.metadata["nbgrader"] = {**_metadata(f"{one.slug}-mark", solution=False), "points": 1}
                cells.append(mark)
    if known or waiting or not cells:
        raise ValueError(f"lesson {name!r} does not show and check {len(known) + len(waiting)} of its exercises")
    notebook.cells = cells
    return notebook


def _metadata(grade_id: str, solution: bool) -> dict[str, object]:
    """nbgrader's metadata of an answer's cell (`solution`), or of a locked cell with a mark."""
    return {"schema_version": 3, "grade_id": grade_id, "solution": solution, "grade": not solution, "locked": not solution, "task": False}


def make(form: str, folder: str, names: list[str]) -> list[str]:
    """Write the assignments of some lessons into a new or an empty folder; returns what was written.  Raises ValueError."""
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; allowed: {', '.join(FORMS)}")
    names = [name for name in build.chosen(names) if exercises(name)]
    if not names:
        raise ValueError("none of these lessons has an exercise")
    top = Path(folder)
    if top.exists() and (not top.is_dir() or any(top.iterdir())):
        raise ValueError(f"DIR is {folder!r}, and something is there; assignments need a new or an empty folder")
    written = {}
    for name in names:
        stem = Path(COURSE.notebook(name)).stem
        if form == "nbgrader":
            written[f"source/{stem}/{stem}.ipynb"] = nbformat.writes(for_nbgrader(name)) + "\n"
        else:
            written[f"{stem}/{stem}.ipynb"] = nbformat.writes(for_otter(name)) + "\n"
            written |= {f"{stem}/tests/{one.slug}.py": OTTER.format(slug=one.slug) for one in exercises(name)}
    if form == "nbgrader":
        written["nbgrader_config.py"] = CONFIG
    for path, text in written.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(str(top / path), text)
    return list(written)
