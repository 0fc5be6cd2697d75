"""*Boot a real Linux* prints the same with kernel and Unicorn and without: stored as recorded, strict nbval with Linux hidden and live."""

import os
import subprocess
import sys

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbval")
pytest.importorskip("ipywidgets")

from tests.linux_files import kernel
from vmio.lessons import build
from vmio.lessons.boot_a_real_linux import live
from vmio.lessons.course import COURSE
from vmio.processors.unicorn import package

NOTEBOOK = build.NOTEBOOKS / COURSE.notebook("boot_a_real_linux")


def validate(**environment):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=600",
         "-p", "no:cacheprovider", str(NOTEBOOK)],
        env={**{name: value for name, value in os.environ.items() if name != live.VARIABLE}, **environment}, cwd=build.NOTEBOOKS.parent,
        capture_output=True, text=True, timeout=1800)


def test_it_passes_where_linux_is_hidden():
    done = validate(VMIO_LINUX=live.NONE)
    assert done.returncode == 0, done.stdout[-3000:]


def test_it_passes_where_linux_boots_live():
    if package.missing() and not os.environ.get("CI"):
        pytest.skip(f"NOT RUN: {package.missing()}")
    kernel()
    done = validate()
    assert done.returncode == 0, done.stdout[-3000:]


def test_what_is_stored_was_recorded_and_says_so():
    first, *others = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code" and cell.outputs]
    assert "NBVAL_IGNORE_OUTPUT" in first.source and first.outputs[0].text.startswith("RECORDED. No Linux can be booted here: ")
    assert not any("NBVAL_IGNORE_OUTPUT" in cell.source or "recorded" in str(cell.outputs).lower() for cell in others)
