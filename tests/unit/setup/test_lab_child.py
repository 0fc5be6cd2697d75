"""Processes that lab.py starts: they end when it is told to end, and their status is its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit import child

ROOT = Path(__file__).parents[3]
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
# Stands for JupyterLab: starts a process as it starts a kernel, says both numbers, and ends it when it is asked to.
SERVER = """
import signal, subprocess, sys, time
kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)  # ipykernel"], start_new_session=True)
def end(number, frame):
    if sys.argv[1] == "polite":
        kernel.kill()
        kernel.wait()
        print("ended by", number, flush=True)
        sys.exit(5)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print(kernel.pid, flush=True)
time.sleep(60)
"""
LAB = """
import os, signal, sys
sys.path.insert(0, %r)
from labkit import child
if sys.argv[1] == "deaf":        # who listens is given the usual time
    child.end.__defaults__ = child.end.__defaults__[:-1] + (1,)
child.Signals().listen()
try:
    status = child.call([sys.executable, "-c", %r, sys.argv[1]], dict(os.environ), ".", getattr(signal, sys.argv[2]))
except child.Stopped as stopped:
    status = 128 + stopped.number
print("status", status, flush=True)
""" % (str(ROOT), SERVER)


def dead(pid):
    """Whether a process ends within ten seconds (a zombie has)."""
    for _ in range(100):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):
            return True
        time.sleep(0.1)
    return False


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("manners", ["polite", "deaf"])
@pytest.mark.parametrize("ask", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_all(number, manners, ask):
    lab = subprocess.Popen([sys.executable, "-c", LAB, manners, ask], stdout=subprocess.PIPE, text=True)
    kernel = int(lab.stdout.readline())
    lab.send_signal(number)
    answer = lab.communicate(timeout=50)[0].splitlines()  # a kernel that lives on holds the other end for a minute
    assert answer == (["ended by %d" % getattr(signal, ask)] if manners == "polite" else []) + ["status %d" % (128 + number)]
    assert dead(kernel)


@posix
def test_what_was_to_be_ignored_is(tmp_path):
    """Under nohup a closed terminal ends nothing."""
    code = ("import os, signal, sys; sys.path.insert(0, %r); from labkit import child; child.Signals().listen(); "
            "os.kill(os.getpid(), signal.SIGHUP); print('goes on')" % str(ROOT))
    ignoring = subprocess.run([sys.executable, "-c", "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
                               "os.execv(sys.executable, [sys.executable, '-c', %r])" % code], capture_output=True, text=True)
    assert ignoring.stdout == "goes on\n"


@pytest.mark.parametrize("code, status", [("import sys; sys.exit(5)", 5), ("", 0)])
def test_the_status_is_the_childs(code, status):
    assert child.call([sys.executable, "-c", code], dict(os.environ), ".") == status


@posix
def test_a_child_that_crashed_has_the_status_of_its_signal():
    assert child.call([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], dict(os.environ), ".") == 139


def test_lines_come_while_it_runs():
    heard = []
    code = "import sys; print('one'); sys.stderr.write('two\\xe4\\n'); sys.exit(3)"
    assert child.run([sys.executable, "-X", "utf8", "-u", "-c", code], dict(os.environ), heard.append) == (3, ["one", "two\xe4"])
    assert heard == ["one", "two\xe4"]


@posix
def test_a_step_that_is_stopped_ends_with_all_below_it():
    """pip and ensurepip below venv: a process in the same group."""
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(p.pid, flush=True); p.wait()"
    pids = []

    def stop(line):
        pids.append(int(line))
        raise child.Stopped(15)
    with pytest.raises(child.Stopped):
        child.run([sys.executable, "-c", code], dict(os.environ), stop)
    assert dead(pids[0])
