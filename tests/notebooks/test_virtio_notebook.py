"""*Speak virtio* passes with QEMU and kernel, a Linux in the background, and where both are hidden."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("nbval")

from tests.linux_files import kernel
from vmio.lessons import build
from vmio.lessons.course import COURSE
from vmio.lessons.speak_virtio import live
from vmio.oracle.vhost_user import guest

NOTEBOOK = build.NOTEBOOKS / COURSE.notebook("speak_virtio")


def validate(**environment):
    clean = {name: value for name, value in os.environ.items() if name not in (live.VARIABLE, guest.VARIABLE)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=600", "-p", "no:cacheprovider",
                           str(NOTEBOOK)], env={**clean, **environment}, cwd=build.NOTEBOOKS.parent, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:]


def test_it_passes_where_qemu_is_hidden():
    validate(VMIO_QEMU=guest.NONE)


def test_it_passes_beside_a_real_linux():
    works, why = guest.usable()
    if not works and not os.environ.get("CI"):
        pytest.skip(f"NOT RUN: {why}")
    assert works, why
    kernel()
    validate()
