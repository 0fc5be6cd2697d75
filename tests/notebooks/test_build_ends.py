"""A build that is told to end: its kernel ends with it, and no notebook is half built."""

import os
import signal
import subprocess
import sys

import pytest

CELL = """# %%
import os, pathlib, signal, time
pathlib.Path({pid!r}).write_text(str(os.getpid()))
os.kill(os.getppid(), {number})
time.sleep(100)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_kernel_too(tmp_path, number):
    pid = tmp_path / "pid"
    code = (f"import sys\nfrom pathlib import Path\nfrom vmio import console\nfrom vmio.lessons.build import execute, skeleton\n"
            f"sys.exit(console.run('build', lambda: execute(skeleton({CELL.format(pid=str(pid), number=int(number))!r}), "
            f"Path({str(tmp_path)!r}))))")
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 128 + number
    assert done.stderr.splitlines()[-1] == f"build: ended by {number.name}"    # before it: how the kernel was interrupted
    assert "nbclient" not in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
