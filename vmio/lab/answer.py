"""What can be told of a learner's answer: its code, how many instructions it runs, where it failed and why."""

import dis
import hashlib
import inspect
import linecache
import sys
import types
from collections.abc import Callable, Set
from types import CodeType, FrameType
from typing import Any

from vmio.hypervisor.vcpu import VCpu
from vmio.lab.difference import can_be_written, shown

LONGEST = 300           # characters of what an exception says
WAITS = frozenset(name for name, _ in inspect.getmembers(VCpu, inspect.isgeneratorfunction)) | {"wait"}


LINE = 10       # steps for which a line counts where Python tells of lines alone


class RanTooLong(BaseException):
    """The learner's code did not come to an end.  Not an Exception, so that `except Exception` lets it through."""


class StepLimit:
    """Counts the instructions that run in the learner's files; at the limit calls `stop()`, then raises `RanTooLong`.

    A trace function works on every platform and in generators, needs no
    thread, and leaves the simulator's own code at full speed.  Instructions
    rather than lines: a loop on one line may never start a new one.
    """

    def __init__(self, files: Set[str], steps: int, stop: Callable[[], object] = lambda: None) -> None:
        self.files = files
        self._left = steps
        self._told = False      # of instructions
        self._stop = stop
        self._entry: FrameType | None = None
        self._arguments: dict[str, Any] = {}

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in self.files:
            return None
        caller = frame.f_back
        if frame is not self._entry and (caller is None or caller.f_code.co_filename not in self.files):
            names = frame.f_code.co_varnames[:frame.f_code.co_argcount]
            self._entry, self._arguments = frame, {name: frame.f_locals[name] for name in names if name in frame.f_locals}
        frame.f_trace_opcodes = True    # 3.13 and 3.14 don't tell of them: there each line counts as LINE steps
        return self._step

    def entered(self) -> str:
        """A sentence on what the check last called the learner's code with; "" if nothing of it can be written."""
        try:
            texts = [f"{name}={shown(value)}" for name, value in self._arguments.items()
                     if name != "self" and can_be_written(value)]
        except BaseException:  # noqa: BLE001  raised by the repr of a learner's class
            return ""
        return f"The input was {', '.join(texts)}." if texts else ""

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        self._told = self._told or event == "opcode"
        self._left -= 1 if event == "opcode" else 0 if self._told else LINE
        if self._left < 0:
            self._stop()        # code that catches everything would catch the exception, too
            raise RanTooLong
        return self._step

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        if self.files:
            sys.settrace(self._call)

    def __exit__(self, *what: object) -> None:
        sys.settrace(self._before)


def _codes(answer: object) -> dict[str, CodeType]:
    """The code objects of a function or of a class's own methods, by name."""
    if isinstance(answer, type):
        members = {name: getattr(thing, "__func__", thing) for name, thing in vars(answer).items()}
    else:
        members = {"": getattr(answer, "__func__", answer)}
    return {name: thing.__code__ for name, thing in members.items() if hasattr(thing, "__code__")}


def files_of(answer: object) -> set[str]:
    """The files of the learner's own code: the answer's and those of its helpers (each cell counts as a file)."""
    files = set()
    for thing in ([answer] if not isinstance(answer, type) else vars(answer).values()):
        function = getattr(thing, "__func__", thing)
        if isinstance(function, types.FunctionType):
            files.add(function.__code__.co_filename)
            files.update(helper.__code__.co_filename for helper in function.__globals__.values()
                         if isinstance(helper, types.FunctionType) and helper.__module__ == function.__module__)
    return files


def same_code(answer: object, stub: object) -> bool:
    """Whether the learner's code does exactly what the stub does (docstrings and names of files aside)."""
    ours, theirs = _essences(answer), _essences(stub)
    return bool(ours) and ours == theirs


def digest(answer: object) -> str:
    """Return a few characters that only the same code has (as `same_code` says, by one version of Python); "" for what has no code."""
    essences = _essences(answer)
    return hashlib.sha256(repr(sorted(essences.items())).encode()).hexdigest()[:16] if essences else ""


def _essences(answer: object) -> dict[str, list]:
    """What the code of an answer does, by name, without docstrings, lines and names of files."""
    def essence(code: CodeType) -> list:
        return [(one.opname, essence(one.argval) if isinstance(one.argval, types.CodeType) else repr(one.argval))
                for one in dis.get_instructions(code) if one.opname != "NOP"]
    return {name: essence(code) for name, code in _codes(answer).items()}


def forgotten_wait(answer: object) -> str:
    """A sentence on a call that only waits when `yield from` is in front of it and has none, as in `cpu.hlt()`; or ""."""
    for code in _codes(answer).values():
        steps = [step for step in dis.get_instructions(code) if step.opname not in ("NOP", "CACHE", "PRECALL", "EXTENDED_ARG")]
        line = code.co_firstlineno
        for at, step in enumerate(steps):
            line = (step.positions and step.positions.lineno) or line
            if step.argval not in WAITS or not step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
                continue
            call = next((number for number, later in enumerate(steps[at:], at) if later.opname.startswith("CALL")), None)
            if call is not None and steps[call + 1].opname != "GET_YIELD_FROM_ITER":
                return f"Line {line} calls {step.argval}() without `yield from`, and so nothing waits there."
    return ""


def where(error: BaseException, files: Set[str]) -> str:
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


def reason(error: BaseException) -> str:
    """An exception's type and the first line of what it says, which its own code may refuse."""
    try:
        lines = str(error).strip().splitlines()
    except BaseException:  # noqa: BLE001  raised by the answer's own class
        lines = []
    if not lines and isinstance(error, MemoryError):
        lines = ["an answer needs far less memory than it asked for"]
    return f"{type(error).__name__}: {lines[0][:LONGEST]}" if lines else type(error).__name__
