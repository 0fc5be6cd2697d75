"""Exercises: a text, a stub, hints, and a check that tells four outcomes apart.

An exercise is a folder `notebooks/exercises/<slug>/`:

    text.md      "# Title", the task, then "## Hint" sections, mild ones first
    stub.py      what the learner starts from: one public function or class
    solution.py  the answer, same name and signature
    wrong.py     an answer that looks right and is not; its docstring says why
    check.py     `check(answer)`: raises `Wrong`, or returns a line on what it cost

`Exercise.check(answer)` returns an `Outcome` whose repr is the text a notebook
shows.  There are no stack traces: a learner's error is one line with the line
number in their own cell.
"""

import dis
import linecache
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

from vmio import data

NOT_ATTEMPTED, WRONG, ERROR, PASS = "not attempted", "wrong", "error in your code", "pass"
STEPS = 3_000_000  # bytecode instructions of the learner's own that one check may run: some seconds at most


class Wrong(Exception):
    """The answer is not right: for which input, what was expected, what came."""

    def __init__(self, given, expected, got, why=""):
        super().__init__(f"input {_short(given)}, expected {_short(expected)}, got {_short(got)}{'. ' + why if why else ''}")


class RanTooLong(BaseException):
    """The learner's code did not come to an end.  Not an Exception, so that `except Exception` lets it through."""


@dataclass(frozen=True)
class Outcome:
    """How a check ended: `kind` is one of the four, `text` what to say about it."""

    kind: str
    text: str

    def __repr__(self):
        return self.text

    def __bool__(self):
        return self.kind == PASS


def expect(got, expected, given=""):
    """Raise `Wrong` unless `got` equals `expected`, type included for bool and bytes."""
    if got is ...:
        raise NotImplementedError
    if got != expected or isinstance(got, bool) != isinstance(expected, bool):
        raise Wrong(given, expected, got)


def expect_at_most(cost, limit, what, given=""):
    """Raise `Wrong` when `cost` (exits, signals, interrupts: `what`) is above `limit`."""
    if cost > limit:
        raise Wrong(given, f"at most {limit:,} {what}", f"{cost:,} {what}", "The result is right, the price is not.")


class Text(str):
    """Text whose repr is itself, so a cell that ends with it shows it as it is."""

    def __repr__(self):
        return str(self)


@dataclass
class Exercise:
    """One exercise; `folder` holds its files."""

    slug: str
    folder: Path = field(repr=False)
    title: str = field(init=False)
    steps: int = field(default=STEPS, repr=False)

    def __post_init__(self):
        parts = self.read("text.md").split("\n## Hint")
        self.title, _, body = parts[0].strip().removeprefix("# ").partition("\n")
        self.text = Text(body.strip())
        self._hints = [part.partition("\n")[2].strip() for part in parts[1:]]
        self._given = 0

    def read(self, name):
        """One of its files as text."""
        return (self.folder / name).read_text(encoding="utf-8")

    def load(self, name):
        """What `stub`, `solution` or `wrong` defines: its one public function or class."""
        module = _load(self.folder / f"{name}.py", f"vmio_exercise_{self.slug.replace('-', '_')}_{name}")
        own = [thing for key, thing in vars(module).items()
               if not key.startswith("_") and getattr(thing, "__module__", None) == module.__name__]
        if len(own) != 1:
            raise ValueError(f"{self.slug}/{name}.py must define one public function or class, it has {len(own)}")
        return own[0]

    def check(self, answer=None):
        """Try `answer` (a function or class); an `Outcome`, never an exception of the learner's."""
        if answer is None or answer is ... or _same_code(answer, self.load("stub")):
            return self._outcome(NOT_ATTEMPTED, "not attempted yet")
        check = _load(self.folder / "check.py", f"vmio_exercise_{self.slug.replace('-', '_')}_check").check
        files = _files(answer)
        try:
            with _StepLimit(files, self.steps):
                line = check(answer)
        except Wrong as wrong:
            return self._outcome(WRONG, f"not right: {wrong}")
        except NotImplementedError:
            return self._outcome(NOT_ATTEMPTED, "not attempted yet")
        except RanTooLong:
            return self._outcome(ERROR, f"error in your code: no end after {self.steps:,} steps; is there a loop that never stops?")
        except Exception as error:
            return self._outcome(ERROR, f"error in your code{_where(error, files)}: {_reason(error)}")
        return self._outcome(PASS, f"right{f'. {line}' if line else '.'}")

    def hint(self, step=None):
        """The next hint, or hint number `step` from 1; the ladder ends before the solution."""
        if not self._hints:
            return Text("There is no hint for this one.")
        self._given = min(self._given + 1 if step is None else max(1, int(step)), len(self._hints))
        return Text(f"Hint {self._given} of {len(self._hints)}: {self._hints[self._given - 1]}")

    def solution(self):
        """The source of an answer that passes."""
        return Text(self.read("solution.py").strip())

    def _outcome(self, kind, text):
        return Outcome(kind, f"{self.slug}: {text}")


def exercise(slug, folder=None):
    """The exercise of that name, from `folder` or from `exercises/` beside the notebooks."""
    places = [Path(folder)] if folder else [Path("exercises"), data.EXERCISES]
    for place in places:
        if (place / slug / "check.py").is_file():
            return Exercise(slug, place / slug)
    known = sorted({path.parent.name for place in places for path in place.glob("*/check.py")})
    raise ValueError(f"slug is {slug!r}; allowed: {', '.join(known) or 'none are here'}.")


class _StepLimit:
    """Counts the instructions that run in the learner's files, and raises `RanTooLong` at the limit.

    A trace function works on every platform and in generators, needs no
    thread, and leaves the simulator's own code at full speed.  Instructions
    rather than lines: a loop on one line may never start a new one.
    """

    def __init__(self, files, steps):
        self._files = files
        self._left = steps

    def _call(self, frame, event, argument):
        if frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame, event, argument):
        self._left -= 1
        if self._left < 0:
            raise RanTooLong
        return self._step

    def __enter__(self):
        self._before = sys.gettrace()
        if self._files:
            sys.settrace(self._call)

    def __exit__(self, *what):
        sys.settrace(self._before)


def _load(path, name):
    """Run a file as a module, afresh and without a .pyc beside it."""
    module = sys.modules[name] = types.ModuleType(name)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def _codes(answer):
    """The code objects of a function or of a class's own methods, by name."""
    if isinstance(answer, type):
        members = {name: getattr(thing, "__func__", thing) for name, thing in vars(answer).items()}
    else:
        members = {"": getattr(answer, "__func__", answer)}
    return {name: thing.__code__ for name, thing in members.items() if hasattr(thing, "__code__")}


def _files(answer):
    """The files of the learner's own code: the answer's and those of its helpers (each cell counts as a file)."""
    files = set()
    for thing in ([answer] if not isinstance(answer, type) else vars(answer).values()):
        function = getattr(thing, "__func__", thing)
        if isinstance(function, types.FunctionType):
            files.add(function.__code__.co_filename)
            files.update(helper.__code__.co_filename for helper in function.__globals__.values()
                         if isinstance(helper, types.FunctionType) and helper.__module__ == function.__module__)
    return files


def _same_code(answer, stub):
    """Whether the learner's code does exactly what the stub does (docstrings and names of files aside)."""
    def essence(code):
        return [(one.opname, essence(one.argval) if isinstance(one.argval, types.CodeType) else repr(one.argval))
                for one in dis.get_instructions(code) if one.opname != "NOP"]

    ours, theirs = ({name: essence(code) for name, code in _codes(thing).items()} for thing in (answer, stub))
    return bool(ours) and ours == theirs


def _where(error, files):
    """", line N (text)" for the innermost frame in the learner's own files."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            found = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    if found is None:
        return ""
    text = linecache.getline(*found).strip()
    return f", line {found[1]}" + (f" ({text})" if text else "")


def _reason(error):
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _short(value, limit=70):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit - 3]}..."
