"""Exercises: a text, a stub, hints, and a check that tells four outcomes apart.

An exercise is a folder `vmio/lessons/<lesson>/exercises/<slug>/`:

    text.md      "# Title", "Difficulty: 2 of 3", the task, "## Hint" sections, mild ones first, "## Explanation" last
    stub.py      what the learner starts from: one public function or class
    solution.py  the answer, same name and signature
    wrong.py     an answer that looks right and is not; its docstring says why
    check.py     `check(answer)`: raises `Wrong`, or returns a line on what it cost; and where a machine counts what an
                 answer costs `cost(answer, **settings)`, which returns {what: count} (`vmio.lab.cost`)

`Exercise.check(answer)` returns an `Outcome` whose repr is the text a notebook
shows.  There are no stack traces: a learner's error is one line with the line
number in their own cell.  The answer runs in a process of its own (`apart`):
whatever it does, a check ends, and the notebook's own state is what it was.
"""

import inspect
import sys
import types
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import inf
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from vmio import data, seed
from vmio.lab import apart, inside, progress
from vmio.lab.answer import RanTooLong, StepLimit, files_of, forgotten_wait, reason, same_code, where
from vmio.lab.cost import Counts, count, table_of
from vmio.lab.difference import Said, described, is_array, same, shown, told_apart

T = TypeVar("T")
Found = dict[str, str]      # in which run an answer failed, in words that the lesson's own code understands

KINDS = NOT_ATTEMPTED, WRONG, ERROR, PASS = "not attempted", "wrong", "error in your code", "pass"
LONGEST_WORD = 50   # characters of what may be a misspelt word: to compare a longer one takes long
STEPS = 3_000_000  # bytecode instructions of the learner's own that one check may run: some seconds at most
_kept: dict[str, Found] = {}    # by slug: of the last failed check that kept its run


class Wrong(Exception):
    """The answer is not right: for which input, what was expected, what came, always told apart.

    Text for `expected` and `got` describes ("at most 3 exits") and is shown as it
    is; a learner's value that may be text goes through `expect` or `shown`.  `found`
    keeps the run in which it failed, for `found(slug)`.
    """

    def __init__(self, given: object, expected: object, got: object, why: str = "", found: Found | None = None) -> None:
        super().__init__(_sentence(given, *told_apart(_said(expected), _said(got)), why))
        self.found = found


@dataclass(frozen=True)
class Outcome:
    """How a check ended: `kind` is one of the four, `text` what to say about it, `cost` a table of what a machine counted."""

    kind: str
    text: str
    cost: str = ""

    def __repr__(self) -> str:
        return f"{self.text}\n\n{self.cost}" if self.cost else self.text

    def __bool__(self) -> bool:
        return self.kind == PASS


def expect(got: object, expected: object, given: object = "") -> None:
    """Raise `Wrong` unless `got` equals `expected`, type included for bool and bytes."""
    if got is ...:
        raise NotImplementedError
    if is_array(got) or got != expected or isinstance(got, bool) != isinstance(expected, bool) or not same(expected, got):
        left, right, where = told_apart(expected, got)
        raise Wrong(given, left, right, where)


def expect_at_most(cost: float, limit: float, what: str, given: object = "",
                   why: str = "The result is right, the price is not.", found: Found | None = None) -> None:
    """Raise `Wrong` when `cost` (exits, signals, interrupts: `what`, in the plural) is above `limit`."""
    if cost > limit:
        raise Wrong(given, f"at most {counted(limit, what)}", counted(cost, what), why, found)


def counted(count: float, what: str) -> str:
    """Return a count with its noun, given in the plural: 1 exit, 2 exits, 1 flush, 1 signal before flush."""
    noun, _, rest = what.partition(" ")
    if count == 1:
        noun = noun.removesuffix("es") if noun.endswith(("shes", "ches", "sses")) else noun.removesuffix("s")
    return f"{count:,} {noun}{' ' + rest if rest else ''}"


def attempted(answer: T | None, given: object = "", kind: type | tuple[type, ...] = object, what: str = "") -> T:
    """Return an answer; ... is no attempt yet; None, or one that is not of `kind` (in words: `what`), is `Wrong`."""
    if answer is ...:
        raise NotImplementedError
    if answer is None:
        raise Wrong(given, what or "an answer", "None", "Does every way through the code end with a return?")
    if not isinstance(answer, kind):
        raise Wrong(given, what, described(answer))
    return answer


def a_number(answer: object, given: object = "") -> Any:
    """Return an answer that is a number; "5" and True are `Wrong`, and so is what is not a number.

    Of a class made of Python's int or float only the number counts.
    """
    if isinstance(attempted(answer, given, what="a number"), bool) or not issubclass(type(answer), Real) or answer != answer:
        raise Wrong(given, "a number", described(answer))
    if isinstance(answer, int):
        return int.__add__(answer, 0)
    return float.__add__(answer, 0) if isinstance(answer, float) else answer


def a_whole_number(answer: object, given: object = "") -> int:
    """Return an answer that is a whole number as Python's int, 5.0 and a library's 5 too; anything else is `Wrong`."""
    value = a_number(answer, given)
    if isinstance(value, float) and value in (inf, -inf) or value != int(value):
        raise Wrong(given, "a whole number", described(answer))
    return int(value)


def one_of(answer: object, allowed: Sequence[str], given: object = "") -> str:
    """Return an answer that is one of the `allowed` words; a misspelt one is told which was meant."""
    what = f"one of {', '.join(map(repr, allowed))}"
    if issubclass(type(attempted(answer, given, what=what)), str) and (word := str.__str__(answer)) in allowed:
        return word
    near = get_close_matches(str(answer).lower(), allowed, 1) if isinstance(answer, str) and len(answer) < LONGEST_WORD else []
    raise Wrong(given, what, described(answer),
                f"Did you mean {near[0]!r}?" if near else "")


class Text(str):
    """Text whose repr is itself, so a cell that ends with it shows it as it is."""

    def __repr__(self) -> str:
        return str(self)


@dataclass
class Exercise:
    """One exercise; `folder` holds its files."""

    slug: str
    folder: Path = field(repr=False)
    title: str = field(init=False)
    steps: int = field(default=STEPS, repr=False)
    limits: apart.Limits = field(default=apart.Limits(), repr=False)
    NOT_YET: ClassVar[str] = "not attempted yet"

    def __post_init__(self) -> None:
        told, _, self._explanation = self.read("text.md").partition("\n## Explanation\n")
        parts = told.split("\n## Hint")
        self.title, _, body = parts[0].strip().removeprefix("# ").partition("\n")
        self.text = Text(body.strip())
        self._hints = [part.partition("\n")[2].strip() for part in parts[1:]]
        self._given, self._solved = 0, False
        self._checked: ModuleType | None = None

    def read(self, name: str) -> str:
        """One of its files as text."""
        return (self.folder / name).read_text(encoding="utf-8")

    def load(self, name: str) -> Any:
        """What `stub`, `solution` or `wrong` defines: its one public function or class."""
        module = _load(self.folder / f"{name}.py", f"vmio_exercise_{self.slug.replace('-', '_')}_{name}")
        own = [thing for key, thing in vars(module).items()
               if not key.startswith("_") and getattr(thing, "__module__", None) == module.__name__]
        if len(own) != 1:
            raise ValueError(f"{self.slug}/{name}.py must define one public function or class, it has {len(own)}")
        return own[0]

    def check(self, answer: Any = None) -> Outcome:
        """Try `answer` (a function or class); an `Outcome`, never an exception of the learner's.

        Where a machine counts what an answer costs, the outcome has a table of it beside the reference's.
        """
        if answer is None or answer is ...:
            return self._outcome(NOT_ATTEMPTED, self.NOT_YET)
        outcome = self.check_made(lambda: answer)
        if outcome.kind != NOT_ATTEMPTED and (unsaid := progress.note(self.slug, outcome.kind, answer)):
            sys.stderr.write(f"{self.slug}: how this check ended was not noted: {unsaid}\n")
        if outcome.kind not in (PASS, WRONG) or not self._costs():
            return outcome
        yours, reference = self.counts(answer)
        return outcome if isinstance(yours, str) else replace(outcome, cost=table_of(yours, reference, self.what()))

    def cost(self, answer: Any, **settings: Any) -> Text:
        """Return the table of what an answer and the reference cost on the same machine; `settings` go to `cost` in check.py."""
        yours, reference = self.counts(answer, **settings)
        return Text(f"{self.slug}: {yours}" if isinstance(yours, str) else table_of(yours, reference, self.what(**settings)))

    def counts(self, answer: Any, **settings: Any) -> tuple[Counts | str, Counts]:
        """Return what an answer, which runs in a process of its own, and the reference count; instead of the first why there is nothing.

        Raises ValueError for an exercise without a machine, and for a setting that it doesn't have.
        """
        run = self._costs()
        if run is None:
            raise ValueError(f"{self.slug} has no machine that counts what an answer costs.")
        allowed = list(inspect.signature(run).parameters)[1:]
        if unknown := [name for name in settings if name not in allowed]:
            raise ValueError(f"setting is {unknown[0]!r}; allowed: {', '.join(allowed) or 'none'}.")
        if answer is None or answer is ... or same_code(answer, self.load("stub")):
            yours: Counts | str = self.NOT_YET
        else:
            yours = count(run, answer, settings, self.steps, self.limits)
        return yours, run(self.load("solution"), **settings)

    def _costs(self) -> Any:
        """Return what counts an answer's cost, None where nothing does."""
        return getattr(self._module(), "cost", None)

    def what(self, **settings: Any) -> str:
        """Return what is run to count an answer's cost, in words."""
        run = self._costs()
        usual = {name: one.default for name, one in list(inspect.signature(run).parameters.items())[1:]}
        return (run.__doc__ or "").format(**{**usual, **settings})

    def _module(self) -> ModuleType:
        """Return check.py, loaded once: what an answer changes in it goes with the answer's process."""
        if self._checked is None:
            self._checked = _load(self.folder / "check.py", f"vmio_exercise_{self.slug.replace('-', '_')}_check")
        return self._checked

    def check_made(self, make: Any) -> Any:
        """Try the answer that `make()` returns; it is called where the answer runs, with the same limits."""
        try:
            own = seed.current()        # before the answer runs, which could change where it comes from
        except ValueError as error:
            return self._outcome(NOT_ATTEMPTED, f"nothing was tried: {error}")
        with seed.held(own):
            stub = self.load("stub")
            check = self._module().check
            ending = apart.run(lambda: self._try(check, make, stub), self.limits)
        if ending.printed:
            sys.stdout.write(ending.printed)
        match ending.data:
            case [str(kind), str(text), dict() | None as found] if kind in KINDS:
                self._solved |= kind == PASS
                if found:
                    _kept[self.slug] = found
                return self._outcome(kind, text)
        return self._outcome(ERROR, f"error in your code: {ending.why or apart.FORGED}")

    def _try(self, check: Callable[..., Any], make: Any, stub: Any) -> list[str | Found | None]:
        """[kind, text, the run to keep or None] of an answer; whatever it raises or gives, this says it in plain words."""
        files: Set[str] = frozenset()
        forgotten = ""

        def too_long() -> Any:
            return [ERROR, _joined(f"error in your code: no end after {self.steps:,} steps; is there a loop that never stops?",
                                   watch.entered(), forgotten), None]
        watch = StepLimit(files, self.steps, lambda: inside.leave(too_long()))
        try:
            answer = make()
            watch.files = files = files_of(answer)
            if same_code(answer, stub):
                raise NotImplementedError
            forgotten = forgotten_wait(answer)
            with watch:
                line = check(answer)
        except Wrong as wrong:
            return [WRONG, _joined(f"not right: {wrong}", forgotten), wrong.found]
        except NotImplementedError:
            return [NOT_ATTEMPTED, self.NOT_YET, None]
        except RanTooLong:
            return too_long()
        except BaseException as error:  # noqa: BLE001  exit(), too, is no way out of a check
            return [ERROR, _joined(f"error in your code{where(error, files)}: {reason(error)}", watch.entered(), forgotten), None]
        return [PASS, f"right{f'. {line}' if line else '.'}", None]

    def hint(self, step: int | None = None) -> Text:
        """The next hint, or hint number `step` from 1; the ladder ends before the solution."""
        if not self._hints:
            return Text("There is no hint for this one.")
        self._given = min(self._given + 1 if step is None else max(1, int(step)), len(self._hints))
        return Text(f"Hint {self._given} of {len(self._hints)}: {self._hints[self._given - 1]}")

    def solution(self) -> Text:
        """The source of an answer that passes."""
        self._solved = True
        return Text(self.read("solution.py").strip())

    def explanation(self) -> Text:
        """Why the answer is as it is, once an answer has passed or the solution was looked up."""
        return Text(self._explanation.strip() if self._solved else
                    "First solve it, or look the answer up with ex.solution(); then this says why it is so.")

    def _outcome(self, kind: str, text: str) -> Outcome:
        return Outcome(kind, f"{self.slug}: {text}")


def exercise(slug: str, folder: Path | None = None) -> Exercise:
    """Return the exercise of that name: from `folder`, or else a lesson's, or else from `exercises/` beside the notebook.

    A lesson's goes first: what a student's folder holds under its name - an old copy, a check that was changed - is none.
    """
    places = [Path(folder)] if folder else [*sorted(data.LESSONS.glob("*/exercises")), Path("exercises")]
    for place in places:
        if (place / slug / "check.py").is_file():
            return Exercise(slug, place / slug)
    known = sorted({path.parent.name for place in places for path in place.glob("*/check.py")})
    raise ValueError(f"slug is {slug!r}; allowed: {', '.join(known) or 'none are here'}.")


def found(slug: str) -> Found | None:
    """Return the run in which an answer to this exercise last failed, as its check keeps it; None before it has."""
    return _kept.get(slug)


def _load(path: Path, name: str) -> ModuleType:
    """Run a file as a module, afresh and without a .pyc beside it."""
    module = sys.modules[name] = types.ModuleType(name)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def _said(value: object) -> object:
    """The value, or its text as a description."""
    return Said(value) if isinstance(value, str) else value


def _sentence(given: object, expected: str, got: str, where: str, why: str) -> str:
    """One line: the input if there is one, what was expected and what came, and why."""
    start = f"input {shown(_said(given), 240)}, " if given != "" else ""
    return _joined(f"{start}expected {expected}, got {got}", where, why)


def _joined(first: str, *more: str) -> str:
    """Sentences in one line; the first, if it stays alone, goes without a full stop."""
    more = tuple(text for text in more if text)
    return " ".join(text if text.endswith((".", "?")) else f"{text}." for text in (first, *more)) if more else first
