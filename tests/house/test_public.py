"""What lessons and exercises import: the public names of `vmio`, the kit, and a lesson's own panel, and nothing deeper."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vmio

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ROOT / "vmio" / "lessons"
SOURCES = sorted([*LESSONS.glob("*/lesson.py"), *LESSONS.glob("*/exercises/*/*.py")])


def deep(text):
    """Modules of the package that this source imports from, other than the public ones."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "vmio":
            if node.module == "vmio":
                found.update(f"vmio.{alias.name}" for alias in node.names if alias.name not in (*vmio.__all__, "data"))
            elif node.module != "vmio.lab" and not node.module.startswith("vmio.lessons."):
                found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("vmio."))
    return sorted(found)


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(LESSONS)) for path in SOURCES])
def test_a_lesson_imports_public_names_only(path):
    assert deep(path.read_text(encoding="utf-8")) == []


def test_deep_imports_are_seen():
    assert deep("from vmio import Host, nothing\nfrom vmio.vmbus import bus\nimport vmio.lab.check") == [
        "vmio.lab.check", "vmio.nothing", "vmio.vmbus"]


def test_every_public_name_is_there():
    for name in vmio.__all__:
        assert getattr(vmio, name) is not None, name
    assert set(vmio.__all__) <= set(dir(vmio))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vmio.nothing


def test_import_of_the_package_imports_no_room():
    code = "import sys, vmio; print(sorted(name for name in sys.modules if name.startswith('vmio')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['vmio']"
