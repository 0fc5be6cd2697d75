"""CONTRIBUTING's recipes for a lesson and an exercise, followed in a copy of the checkout."""

import json
import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("ipywidgets")

from vmio.lessons import build, percent

pytestmark = pytest.mark.slow
ROOT = build.NOTEBOOKS.parent
ENTRY = '    Lesson("wait_well", "Wait well", 20, do="wait", question="who waits?", needs=("split_a_driver",)),\n'
PANEL = '''"""Panel of *Wait well*."""

from vmio.lab import Panel, slider


def panel():
    """Return a panel that doubles."""
    return Panel(lambda n: 2 * n, [slider("n", 0, 9, 1, 4)], lambda twice: (f"twice {twice}", []), name="wait_well")
'''
LESSON = f'''{percent.GUARD}
# %% [markdown]
# # {{title}}
#
# **What you'll need.** {{lesson:split_a_driver}}. {{minutes}} minutes.
# %%
from vmio.lab import exercise
from vmio.lessons.wait_well import panel as lesson
panel = lesson.panel()
print(panel.text)
# %%
panel
# %% [exercise] double-it
# %% [stub] double-it
# %%
ex = exercise("double-it")
ex.check(double)
# %% [markdown]
# {{neighbours}}
'''
EXERCISE = {
    "text.md": "# Double it\n\nReturn twice `n`.\n\n## Hint\n\nAdd it to itself.\n",
    "stub.py": "def double(n):\n    ...\n",
    "solution.py": "def double(n):\n    return n + n\n",
    "wrong.py": 'def double(n):\n    """Squares."""\n    return n * n\n',
    "check.py": "from vmio.lab import expect\n\n\ndef check(double):\n    expect(double(3), 6, given=3)\n    return 'Twice.'\n",
}


def run(folder, *arguments):
    """What a Python in the copy prints."""
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A checkout with one lesson more, in the middle, as the recipe says, and that lesson built."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("vmio", "notebooks", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "README.md", folder)
    index = folder / "vmio" / "lessons" / "course.py"
    text, before = index.read_text(encoding="utf-8"), '    Lesson("fill_a_ring",'
    assert text.count(before) == 1
    index.write_text(text.replace(before, ENTRY + before), encoding="utf-8")
    home = folder / "vmio" / "lessons" / "wait_well"
    (home / "exercises" / "double-it").mkdir(parents=True)
    for name, content in {"__init__.py": "", "panel.py": PANEL, "lesson.py": LESSON}.items():
        (home / name).write_text(content, encoding="utf-8")
    for name, content in EXERCISE.items():
        (home / "exercises" / "double-it" / name).write_text(content, encoding="utf-8")
    assert run(folder, "-m", "vmio.lessons.build", "wait_well").splitlines()[-1] == "04_wait_well.ipynb: built"
    return folder


def test_it_is_built_with_its_number_links_panel_and_exercise(copy):
    notebook = json.loads((copy / "notebooks" / "04_wait_well.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert texts[0] == "# 04 · Wait well\n\n**What you'll need.** [03 · Split a driver](03_split_a_driver.ipynb). 20 minutes."
    assert texts[3:5] == ["### Double it\n\nReturn twice `n`.", "def double(n):\n    ..."]
    assert texts[-1] == "[Back: 03 · Split a driver](03_split_a_driver.ipynb) · [Next: 05 · Fill a ring](05_fill_a_ring.ipynb)"
    printed = ["".join(output.get("text") or output["data"]["text/plain"]) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert printed == ["twice 8\n", "To see the panel, run the cells from the top down to this one.\n\nPanel wait_well\n"
                       "  [n] 4; allowed: 0 to 9 in steps of 1; n\n\ntwice 8\n\n"
                       "Moved, n: 1 of 1 lines change at 0, 1 of 1 lines change at 9.", "double-it: not attempted yet"]


def test_notebooks_and_readme_are_renumbered(copy):
    names = sorted(path.name for path in (copy / "notebooks").glob("*.ipynb"))
    assert names[3:7] == ["03_split_a_driver.ipynb", "04_wait_well.ipynb", "05_fill_a_ring.ipynb", "06_pass_a_device_through.ipynb"]
    assert len(names) == len({name[:2] for name in names})
    readme = (copy / "README.md").read_text(encoding="utf-8")
    assert "| 04 | [Wait well](notebooks/04_wait_well.ipynb) | wait | 20 |" in readme
    assert "| 05 | [Fill a ring](notebooks/05_fill_a_ring.ipynb) |" in readme


def test_its_exercise_is_found_and_checked(copy):
    code = ("from vmio.lab import exercise; ex = exercise('double-it'); print(ex.folder); "
            "print(*(ex.check(ex.load(name)) for name in ('solution', 'stub', 'wrong')), sep='\\n')")
    assert run(copy, "-c", code).splitlines() == [
        str(copy / "vmio" / "lessons" / "wait_well" / "exercises" / "double-it"), "double-it: right. Twice.",
        "double-it: not attempted yet", "double-it: not right: input 3, expected 6, got 9"]
