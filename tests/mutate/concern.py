"""Which tests concern which function: recorded once by running them, kept until a file of theirs changes."""

import ast
import hashlib
import itertools
import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.mutate import worker

PARTS = (2, 6)     # test files that a mutant meets first, and next: to import all of them takes longer than most tests
FOLDERS = ("tests/unit", "tests/property", "tests/golden", "tests/attacks", "tests/fuzz")
NOT_OURS = {"tests/unit/commands/test_mutate.py",                                    # it runs this tool
            "tests/fuzz/test_fuzz_sees.py", "tests/fuzz/test_fuzz_states.py"}        # they plant bugs themselves, or play the same


class Recorder:
    """A pytest plugin: for each test its seconds and the functions of the package that it called."""

    def __init__(self, folder):
        self.prefix, self.tests, self._calls = folder + os.sep, {}, set()

    def _trace(self, frame, event, argument):
        self._calls.add(frame.f_code)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        """Watch one test, its fixtures included."""
        self._calls.clear()
        started = time.perf_counter()
        sys.settrace(self._trace)
        yield
        sys.settrace(None)
        names = {f"{code.co_filename[len(self.prefix):]}:{code.co_firstlineno}" for code in self._calls
                 if code.co_filename.startswith(self.prefix + "vmio" + os.sep)}
        self.tests[item.nodeid] = round(time.perf_counter() - started, 3), sorted(names)


class Concern:
    """The record of the checkout at `root`, kept in `file`; `copy` is a scratch copy of the checkout."""

    def __init__(self, root, copy, file):
        self.root, self.copy, self.file = Path(root), copy, Path(file)
        self.files = json.loads(self.file.read_text()) if self.file.exists() else {}
        self._digests = {}

    def digest(self, path):
        """Eight bytes that say what a file of the checkout holds."""
        if path not in self._digests:
            file = self.root / path
            self._digests[path] = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.exists() else ""
        return self._digests[path]

    def refresh(self, say):
        """Run the test files that are new, or call what has changed, and record what they call."""
        helpers = sorted(str(path.relative_to(self.root)) for path in self.root.glob("tests/*.py"))
        shared = "".join(map(self.digest, ["conftest.py", *helpers]))
        there = [str(path.relative_to(self.root)) for folder in FOLDERS
                 for path in sorted((self.root / folder).rglob("test_*.py"))]
        there = [name for name in there if name not in NOT_OURS]
        self.files = {name: self.files[name] for name in there if name in self.files}
        stale = [name for name in there if not self._holds(self.files.get(name), name, shared)]
        for at, name in enumerate(stale, 1):
            say(f"recording {at} of {len(stale)}: {name}")
            text = worker.run(self.copy, [name], Recorder(self.copy), lambda plugin, _: json.dumps(plugin.tests))
            tests = json.loads(text) if text else {}
            called = sorted({call.rpartition(":")[0] for _, calls in tests.values() for call in calls})
            self.files[name] = {"digest": self.digest(name), "shared": shared, "tests": tests,
                                "called": {path: self.digest(path) for path in called}}
            self._save()

    def _holds(self, record, name, shared):
        return (record is not None and record["digest"] == self.digest(name) and record["shared"] == shared
                and all(self.digest(path) == digest for path, digest in record["called"].items()))

    def _save(self):
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(self.files))
        part.replace(self.file)

    def index(self):
        """Turn the record round: `tests` {name: (seconds, functions called)}, `by_function`, `by_module`."""
        self.tests, self.by_function, self.by_module = {}, {}, {}
        for record in self.files.values():
            for name, (seconds, calls) in record["tests"].items():
                self.tests[name] = seconds, len(calls)
                for call in calls:
                    self.by_function.setdefault(call, set()).add(name)
                    self.by_module.setdefault(call.rpartition(":")[0], set()).add(name)

    def choose(self, path, starts, max_s):
        """[(test names, seconds they took), ...] for a mutant in the function that starts in that line, 0 for none.

        Tests that call the function; for a module's own lines, those in files that import it, then those that call into
        it or into who imports it.  Those that call the fewest functions come first: what they say is said about few.
        No more than `max_s` seconds in all; in parts, for most mutants meet a test that notices in the first.
        """
        names, near = self.by_function.get(f"{path}:{starts}", set()) if starts else set(), set()
        if not names:
            near = {name for user in self._users(path, "tests") for name in self.files.get(user, {}).get("tests", ())}
            names = near.union(self.by_module.get(path, ()),
                               *(self.by_module.get(user, ()) for user in self._users(path, "vmio")))
        chosen, spent = {}, 0.0
        for name in sorted(names, key=lambda name: (name not in near, self.tests[name][1] + 100 * self.tests[name][0], name)):
            if spent + self.tests[name][0] <= max_s:
                chosen.setdefault(name.split("::")[0], []).append(name)
                spent += self.tests[name][0]
        files, parts = iter(chosen.values()), []
        for size in (*PARTS, len(chosen)):
            part = [name for names in itertools.islice(files, size) for name in names]
            if part:
                parts.append((part, sum(self.tests[name][0] for name in part)))
        return parts

    def _users(self, path, folder):
        """The modules in a folder that import the one at `path`."""
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        package, _, name = module.rpartition(".")
        for file in sorted((self.root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module == module or node.module == package and any(
                        each.name == name for each in node.names)):
                    yield str(file.relative_to(self.root))
                    break
