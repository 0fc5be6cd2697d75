"""Assignments: stubs and locked marks as nbgrader and Otter want them; a mark is the course's check, in a process of its own."""

import json
import re

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("nbformat")

import nbformat

from tests.command_rig import refused, vmio
from vmio.lab import exercise
from vmio.lab.check import ERROR, NOT_ATTEMPTED, PASS, WRONG
from vmio.lessons import assignment
from vmio.lessons.course import COURSE
from vmio.lessons.judge import judged

SLUG = "count-the-exits"
ONE = exercise(SLUG)
LOOKED_UP = f'from vmio.lab import exercise\nexec(str(exercise("{SLUG}").solution()))\n'
REPLACED = '''
import vmio.lab, vmio.lab.check
class Always:
    kind, text, cost = "pass", "right.", ""
    def __bool__(self): return True
class Fake:
    def check(self, *answers): return Always()
vmio.lab.exercise = vmio.lab.check.exercise = lambda *more, **options: Fake()
vmio.lab.check.Exercise.check_made = lambda self, make: Always()
'''


@pytest.mark.parametrize("cells, kind", [
    ([ONE.read("solution.py")], PASS), ([ONE.read("wrong.py")], WRONG), ([ONE.read("stub.py")], NOT_ATTEMPTED), ([], ERROR),
    (["def count_exits(program, ram):\n    while True: pass\n"], ERROR), (["def count_exits(:\n"], ERROR),
    ([LOOKED_UP], ERROR),                                   # cheat: the answer that the course ships
    ([ONE.read("wrong.py"), REPLACED], WRONG),              # cheat: a check that says yes
    ([ONE.read("stub.py") + REPLACED], NOT_ATTEMPTED),
    ([REPLACED, ONE.read("wrong.py")], WRONG)])
def test_a_mark_is_what_the_cells_define(cells, kind):
    outcome = judged(SLUG, cells)
    assert outcome.kind == kind and outcome.text.startswith(f"{SLUG}: ") and "\n" not in outcome.text


def test_a_module_beside_the_notebook_is_not_the_courses(tmp_path, monkeypatch):
    (tmp_path / "vmio").mkdir()
    (tmp_path / "vmio" / "__init__.py").write_text("raise SystemExit('mine')")
    monkeypatch.chdir(tmp_path)
    assert judged(SLUG, [ONE.read("solution.py")]).kind == PASS


def test_what_cannot_be_judged_is_no_mark():
    outcome = judged("no-such-exercise", [])
    assert outcome.kind == ERROR and "nothing was judged: ValueError: slug is 'no-such-exercise'" in outcome.text


def test_in_a_kernel_the_cells_are_those_that_have_run(tmp_path, monkeypatch):
    """A notebook as nbgrader runs it: the mark's cell raises for a wrong answer, also where the kernel's own check was replaced."""
    nbclient = pytest.importorskip("nbclient")
    mark = assignment.MARK.format(slug=SLUG)
    for answer, right in ((ONE.read("solution.py"), True), (ONE.read("wrong.py") + REPLACED, False)):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (answer, mark)])
        client = nbclient.NotebookClient(notebook, timeout=120, allow_errors=True, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
        client.execute()
        kinds = [output["output_type"] for output in notebook.cells[1].outputs]
        assert ("error" not in kinds) == right, notebook.cells[1].outputs


@pytest.mark.parametrize("name", [name for name in COURSE.names if assignment.exercises(name)])
def test_every_exercise_of_a_lesson_has_its_cells(name):
    notebook = assignment.for_nbgrader(name)
    nbformat.validate(notebook)
    marked = {cell.metadata["nbgrader"]["grade_id"]: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    slugs = [one.slug for one in assignment.exercises(name)]
    assert sorted(marked) == sorted(f"{slug}-{kind}" for slug in slugs for kind in ("answer", "mark"))
    for slug in slugs:
        answer, mark = marked[f"{slug}-answer"], marked[f"{slug}-mark"]
        # what nbgrader's ClearSolutions leaves, with an empty stub
        left = re.sub(r"### BEGIN SOLUTION.*### END SOLUTION", "", answer.source, flags=re.S)
        assert left.strip("\n") == exercise(slug).read("stub.py").strip("\n")
        assert answer.metadata["nbgrader"]["solution"] and not answer.metadata["nbgrader"]["locked"]
        assert mark.metadata["nbgrader"]["locked"] and mark.metadata["nbgrader"]["points"] == 1 and f'judged("{slug}")' in mark.source
        assert notebook.cells.index(answer) < notebook.cells.index(mark)


def test_otters_tests_are_the_courses_check(tmp_path):
    vmio("assignment", "otter", str(tmp_path / "new"), "01")
    stem = COURSE.notebook("trap_an_instruction").removesuffix(".ipynb")
    tests = sorted((tmp_path / "new" / stem / "tests").iterdir())
    assert [path.stem for path in tests] == [one.slug for one in assignment.exercises("trap_an_instruction")]
    for path in tests:
        text = path.read_text()
        compile(text, path.name, "exec")
        assert "OK_FORMAT = False" in text and f'judged("{path.stem}")' in text
    notebook = json.loads((tmp_path / "new" / stem / f"{stem}.ipynb").read_text())
    assert "".join(notebook["cells"][-1]["source"]) == "grader.check_all()"
    assert not any("BEGIN SOLUTION" in "".join(cell["source"]) for cell in notebook["cells"])


def test_the_command_writes_only_into_a_new_folder(tmp_path):
    told = json.loads(vmio("assignment", "nbgrader", str(tmp_path / "new"), "--json").stdout)
    assert told["files"][-1] == "nbgrader_config.py" and len(told["files"]) == 1 + sum(bool(assignment.exercises(name)) for name in COURSE.names)
    assert all((tmp_path / "new" / name).is_file() for name in told["files"])
    refused(vmio("assignment", "nbgrader", str(tmp_path / "new")), "assignments need a new or an empty folder")
    refused(vmio("assignment", "otter", str(tmp_path / "other"), "00"), "none of these lessons has an exercise")
    assert not (tmp_path / "other").exists()
