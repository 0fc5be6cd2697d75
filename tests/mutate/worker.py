"""Runs of pytest in a scratch copy, each in a process forked from one that has imported what all runs need.

An import of pytest, hypothesis and numpy takes seconds, a mutant's tests often less than one.  Nothing of `vmio` is
imported here, so a child sees the copy as it lies there.
"""

import os
import resource
import select
import shutil
import signal
import sys
import time

import hypothesis
import numpy  # noqa: F401  for the children
import pytest
import simpy  # noqa: F401

LEAVES_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".hypothesis", ".pytest_cache", "node_modules")
MAX_MEMORY = 4 << 30     # bytes a child may have: a mutant may ask for more and more
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


class Chosen:
    """A pytest plugin: these tests in this order, and which of them failed first."""

    def __init__(self, names):
        self.order, self.failed = {name: at for at, name in enumerate(names)}, None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        """Keep what was chosen, in the order in which it was."""
        items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid])

    def pytest_collectreport(self, report):
        """A module that can't be imported any more is noticed, too."""
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_runtest_logreport(self, report):
        """Remember the first failure."""
        if report.failed:
            self.failed = self.failed or report.nodeid


def copy(root, folder):
    """A fresh scratch copy of the checkout at `root` in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root, folder, ignore=LEAVES_OUT, symlinks=True)


class Copy:
    """The scratch copy, in which one module at a time is a mutant."""

    def __init__(self, folder):
        self.folder, self._stamp = folder, int(time.time())

    def get(self, path):
        """A module's text."""
        with open(os.path.join(self.folder, path), encoding="utf-8") as file:
            return file.read()

    def put(self, path, source):
        """Store a module's text; the time stamp is new each time, for Python keeps what it compiled by that and the size."""
        self._stamp += 1
        target = os.path.join(self.folder, path)
        with open(target, "w", encoding="utf-8") as file:
            file.write(source)
        os.utime(target, (self._stamp, self._stamp))


def run(folder, files, plugin, answer, timeout_s=None, options=()):
    """pytest over `files` in a child; `answer(plugin, status)` gives its text.  None when the time was up or it died."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            _pytest(folder, files, plugin, answer, write, options)
        finally:
            os._exit(70)
    os.close(write)
    try:
        return _collect(read, timeout_s)
    finally:
        os.close(read)
        try:
            os.killpg(child, signal.SIGKILL)     # it leads a group of its own, with whatever its tests have started
        except (ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _collect(pipe, timeout_s):
    """All that comes through the pipe, or None."""
    until, parts = time.monotonic() + (86_400 if timeout_s is None else timeout_s), []
    while select.select([pipe], [], [], max(0, until - time.monotonic()))[0]:
        part = os.read(pipe, 1 << 20)
        if not part:
            return b"".join(parts).decode() if parts else None
        parts.append(part)
    return None


def _pytest(folder, files, plugin, answer, pipe, options):
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silent, stream)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = folder
    sys.path[:] = [folder, *(path for path in sys.path if path not in ("", os.getcwd()))]
    for name in [name for name in sys.modules if name.split(".")[0] in ("vmio", "tests")]:
        del sys.modules[name]
    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])     # no time for a shorter counterexample
    hypothesis.settings.load_profile("mutants")
    status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:nbval", *options, *files], plugins=[plugin])
    os.write(pipe, answer(plugin, int(status)).encode())
    os._exit(0)


def judge(folder, names, timeout_s):
    """(verdict, the test that noticed) of the copy as it is now, by the tests of these names."""
    files = list(dict.fromkeys(name.split("::")[0] for name in names))
    text = run(folder, files, Chosen(names), lambda plugin, status: f"{status} {plugin.failed or ''}", timeout_s,
               ["-x", "--no-header", "--tb=no"])
    if text is None:
        return TIMEOUT, ""
    status, _, by = text.partition(" ")
    return (SURVIVED, "") if status == "0" else (KILLED, by)
