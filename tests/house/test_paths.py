"""Every file of this repository that a text names is there: in the documents, the lessons, the exercises, the docstrings."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"(?<![\w/.-])(?:vmio|tests|docs|data|notebooks|bench)/[\w./-]*\w\.(?:py|md|csv|json|ipynb|gz|svg|js|css)\b")
PATTERN = re.compile(r"[A-Z]{2}")          # NAME, NN_verb_object: to be filled in by the reader
MODULE = re.compile(r"python -m (vmio(?:\.\w+)*|tests\.\w+)\b")
OF_OTHERS = {"docs/io_throttling.md"}       # a document of Cloud Hypervisor's, cited by its name there
MADE_UP = {"tests/house/test_paths.py", "tests/unit/commands/test_mutate.py", "tests/notebooks/test_course.py",
           "tests/notebooks/test_new_lesson.py"}    # these name files that are nowhere on purpose
TEXTS = (".md", ".py", ".ipynb", ".yml")


def texts():
    """The files under version control in which people read."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.fail(f"git ls-files: {listed.stderr}")
    return [name for name in listed.stdout.splitlines() if name.endswith(TEXTS) and (ROOT / name).exists() and name not in MADE_UP]


def missing(text):
    """What this text names and is not there."""
    paths = {name for name in NAMED.findall(text) if not (ROOT / name).exists() and not PATTERN.search(name)} - OF_OTHERS
    modules = {name for name in MODULE.findall(text)
               if not any((ROOT / (name.replace(".", "/") + end)).exists() for end in (".py", "/__main__.py"))}
    return sorted(paths | modules)


def test_what_a_text_names_is_there():
    lost = {}
    for name in texts():
        found = missing((ROOT / name).read_text(encoding="utf-8"))
        if found:
            lost[name] = found
    assert lost == {}


def test_a_lost_name_is_seen():
    assert missing("see vmio/nowhere.py, `docs/differences.md`, python -m vmio.lost and python -m vmio run") == [
        "vmio.lost", "vmio/nowhere.py"]


def test_no_two_files_of_tests_have_one_name():
    """Pytest takes a file of tests for a module of its bare name: of two, it reads one and refuses the other."""
    names = [path.name for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert [name for at, name in enumerate(names) if name in names[:at]] == []
