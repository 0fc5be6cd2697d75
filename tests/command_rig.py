"""`python -m vmio` as a process of its own, as a shell runs it."""

import os
import subprocess
import sys

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="signals and files of these kinds are Unix's")
DISK = b"".join(lba.to_bytes(8, "little") * 64 for lba in range(8192))     # 4 MiB, no sector like another


def command(*arguments):
    """The words of a command line."""
    return [sys.executable, "-m", "vmio", *map(os.fspath, arguments)]


def vmio(*arguments, **options):
    """The finished process; what it says is text."""
    return subprocess.run(command(*arguments), capture_output="stdout" not in options, text=True, timeout=300, **options)


def refused(done, why):
    """Exit status 2, nothing on standard output, one line that says why."""
    assert (done.returncode, done.stdout or "") == (2, "")
    line, = done.stderr.splitlines()
    assert line.startswith("vmio ") and why in line, line


def names(folder):
    """The names in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())


def with_source():
    """An environment in which `python -m vmio` is this one from any folder."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return {**os.environ, "PYTHONPATH": here}
