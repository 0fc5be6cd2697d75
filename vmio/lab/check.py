"""Exercises: a text, a stub, hints, and a check that tells four outcomes apart.

An exercise is a folder `vmio/lessons/<lesson>/exercises/<slug>/`:

    text.md      "# Title", the task, then "## Hint" sections, mild ones first
    stub.py      what the learner starts from: one public function or class
    solution.py  the answer, same name and signature
    wrong.py     an answer that looks right and is not; its docstring says why
    check.py     `check(answer)`: raises `Wrong`, or returns a line on what it cost

`Exercise.check(answer)` returns an `Outcome` whose repr is the text a notebook
shows.  There are no stack traces: a learner's error is one line with the line
number in their own cell.  The answer runs in a process of its own (`apart`):
whatever it does, a check ends, and the notebook's own state is what it was.
"""

import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

from vmio import data
from vmio.lab import apart, inside
from vmio.lab.answer import RanTooLong, StepLimit, files_of, reason, same_code, where

KINDS = NOT_ATTEMPTED, WRONG, ERROR, PASS = "not attempted", "wrong", "error in your code", "pass"
STEPS = 3_000_000  # bytecode instructions of the learner's own that one check may run: some seconds at most


class Wrong(Exception):
    """The answer is not right: for which input, what was expected, what came."""

    def __init__(self, given, expected, got, why=""):
        super().__init__(f"input {_short(given)}, expected {_short(expected)}, got {_short(got)}{'. ' + why if why else ''}")


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
    limits: apart.Limits = field(default=apart.Limits(), repr=False)

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
        if answer is None or answer is ...:
            return self._outcome(NOT_ATTEMPTED, "not attempted yet")
        stub = self.load("stub")
        check = _load(self.folder / "check.py", f"vmio_exercise_{self.slug.replace('-', '_')}_check").check
        ending = apart.run(lambda: self._try(check, answer, stub), self.limits)
        if ending.printed:
            sys.stdout.write(ending.printed)
        match ending.data:
            case [str(kind), str(text)] if kind in KINDS:
                return self._outcome(kind, text)
        return self._outcome(ERROR, f"error in your code: {ending.why or apart.FORGED}")

    def _try(self, check, answer, stub):
        """[kind, text] of an answer; whatever it raises or gives, this says it in plain words."""
        files = frozenset()
        too_long = [ERROR, f"error in your code: no end after {self.steps:,} steps; is there a loop that never stops?"]
        try:
            files = files_of(answer)
            if same_code(answer, stub):
                raise NotImplementedError
            with StepLimit(files, self.steps, lambda: inside.leave(too_long)):
                line = check(answer)
        except Wrong as wrong:
            return [WRONG, f"not right: {wrong}"]
        except NotImplementedError:
            return [NOT_ATTEMPTED, "not attempted yet"]
        except RanTooLong:
            return too_long
        except BaseException as error:  # noqa: BLE001  exit(), too, is no way out of a check
            return [ERROR, f"error in your code{where(error, files)}: {reason(error)}"]
        return [PASS, f"right{f'. {line}' if line else '.'}"]

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
    """Return the exercise of that name, from `folder` or else from `exercises/` beside the notebook or from any lesson's."""
    places = [Path(folder)] if folder else [Path("exercises"), *sorted(data.LESSONS.glob("*/exercises"))]
    for place in places:
        if (place / slug / "check.py").is_file():
            return Exercise(slug, place / slug)
    known = sorted({path.parent.name for place in places for path in place.glob("*/check.py")})
    raise ValueError(f"slug is {slug!r}; allowed: {', '.join(known) or 'none are here'}.")


def _load(path, name):
    """Run a file as a module, afresh and without a .pyc beside it."""
    module = sys.modules[name] = types.ModuleType(name)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def _short(value, limit=70):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit - 3]}..."
