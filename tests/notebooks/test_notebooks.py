"""Guards for what strict nbval does not see: cells never run, lost text, widget state, paths, drift from the source."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipywidgets")

from vmio.lessons import build, percent
from vmio.lessons.course import COURSE

NOTEBOOKS = sorted(build.NOTEBOOKS.glob("[0-9LA][0-9]_*.ipynb"))
PATHS = re.compile(r"/(?:home|root|tmp|Users|work|mnt)/|[A-Z]:\\\\|ipykernel_\d")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_lesson_has_its_notebook_and_the_reverse():
    assert [path.name for path in NOTEBOOKS] == sorted(COURSE.notebook(name) for name in COURSE.names)


def test_source_and_notebook_are_in_step(path, notebook):
    fresh = build.lesson(path.stem[3:])
    assert [(cell.id, cell.source) for cell in fresh.cells] == [(cell.id, cell.source) for cell in notebook.cells], \
        "run python -m vmio.lessons.build"


def test_every_code_cell_was_run_in_order(notebook):
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))


def test_no_widget_state_no_times(notebook):
    assert dict(notebook.metadata) == build.METADATA
    assert not any(cell.metadata for cell in notebook.cells)


def test_no_errors_and_nothing_on_stderr(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


def test_code_cells_are_short(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 14, cell.source


def test_no_paths_of_a_machine(path):
    found = PATHS.search(path.read_text(encoding="utf-8"))
    assert not found, found


def test_panels_numbers_are_also_printed(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    shown = any(output.get("data", {}).get("text/plain", "").startswith("Panel(") for output in outputs)
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert not shown or re.search(r"\d", printed), "a lesson with a panel prints its numbers too"


def test_percent_format():
    text = "\n# %% [markdown]\n# # Title\n#\n# words\n# %%\nx = 1\n\nx\n\n# %%\nx = 1\n\nx\n"
    assert build.cells(text) == [("markdown", "# Title\n\nwords"), ("code", "x = 1\n\nx"), ("code", "x = 1\n\nx")]
    first, second = (build.skeleton(text).cells[1:])
    assert first.id != second.id and build.skeleton(text).cells[1].id == first.id


@pytest.mark.parametrize("line", ["# %% [raw]", "# %% [markdwon]", "# %% a title", "# %% [exercise]", "# %% [stub] two slugs", "# %% [markdown] slug"])
def test_an_unknown_cell_is_refused(line):
    with pytest.raises(ValueError, match=re.escape(f"cell is {line!r}; allowed after '# %%': nothing, [markdown], [exercise] slug")):
        percent.read(f"# %%\nx\n{line}\ny\n")


def test_text_that_would_be_lost_is_refused():
    with pytest.raises(ValueError, match=re.escape("before the first cell is 'import os'; allowed: raise ImportError")):
        percent.read("import os\n# %%\nx\n")
    with pytest.raises(ValueError, match=re.escape(r"under [stub] poll-the-uart is 'x = 1'; allowed: nothing")):
        percent.read("# %% [stub] poll-the-uart\nx = 1\n# %%\n")
    assert percent.read(f"{percent.GUARD}\n\n# %%\nx\n# %% [stub] a-b\n\n# %%\n# %%\n") == [("code", "x"), ("stub", "a-b")]


def test_exercise_cells_come_from_their_folder():
    samples = Path(__file__).parent / "sample_exercises"
    found = build.cells("# %% [exercise] poll-the-uart\n# %% [stub] poll-the-uart\n", samples)
    assert [kind for kind, _ in found] == ["markdown", "code"]
    assert found[0][1].startswith("### Send a string with few exits") and "Hint" not in found[0][1]
    assert found[1][1].startswith("def send(port, data):")


def test_two_executions_are_one_notebook(tmp_path):
    source = ("# %%\nfrom vmio.lab import Panel, slider\n"
              "panel = Panel(lambda n: n, [slider('n', 0, 9, 1, 4)], lambda n: (f'n {n}', []), name='n')\nprint(panel.text)\n"
              "# %%\npanel\n")
    first = build.stored(build.skeleton(source), tmp_path)
    assert first == build.stored(build.skeleton(source), tmp_path)
    assert "n 4" in first and "[n] 4; allowed: 0 to 9 in steps of 1" in first and "model_id" not in first
