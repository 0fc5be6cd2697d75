"""What can be told of a learner's answer: its code, how many instructions it runs, where it failed and why."""

import dis
import linecache
import sys
import types

LONGEST = 300           # characters of what an exception says


class RanTooLong(BaseException):
    """The learner's code did not come to an end.  Not an Exception, so that `except Exception` lets it through."""


class StepLimit:
    """Counts the instructions that run in the learner's files; at the limit calls `stop()`, then raises `RanTooLong`.

    A trace function works on every platform and in generators, needs no
    thread, and leaves the simulator's own code at full speed.  Instructions
    rather than lines: a loop on one line may never start a new one.
    """

    def __init__(self, files, steps, stop=lambda: None):
        self._files = files
        self._left = steps
        self._stop = stop

    def _call(self, frame, event, argument):
        if frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame, event, argument):
        self._left -= 1
        if self._left < 0:
            self._stop()        # code that catches everything would catch the exception, too
            raise RanTooLong
        return self._step

    def __enter__(self):
        self._before = sys.gettrace()
        if self._files:
            sys.settrace(self._call)

    def __exit__(self, *what):
        sys.settrace(self._before)


def _codes(answer):
    """The code objects of a function or of a class's own methods, by name."""
    if isinstance(answer, type):
        members = {name: getattr(thing, "__func__", thing) for name, thing in vars(answer).items()}
    else:
        members = {"": getattr(answer, "__func__", answer)}
    return {name: thing.__code__ for name, thing in members.items() if hasattr(thing, "__code__")}


def files_of(answer):
    """The files of the learner's own code: the answer's and those of its helpers (each cell counts as a file)."""
    files = set()
    for thing in ([answer] if not isinstance(answer, type) else vars(answer).values()):
        function = getattr(thing, "__func__", thing)
        if isinstance(function, types.FunctionType):
            files.add(function.__code__.co_filename)
            files.update(helper.__code__.co_filename for helper in function.__globals__.values()
                         if isinstance(helper, types.FunctionType) and helper.__module__ == function.__module__)
    return files


def same_code(answer, stub):
    """Whether the learner's code does exactly what the stub does (docstrings and names of files aside)."""
    def essence(code):
        return [(one.opname, essence(one.argval) if isinstance(one.argval, types.CodeType) else repr(one.argval))
                for one in dis.get_instructions(code) if one.opname != "NOP"]

    ours, theirs = ({name: essence(code) for name, code in _codes(thing).items()} for thing in (answer, stub))
    return bool(ours) and ours == theirs


def where(error, files):
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


def reason(error):
    """An exception's type and the first line of what it says, which its own code may refuse."""
    try:
        lines = str(error).strip().splitlines()
    except BaseException:  # noqa: BLE001  raised by the answer's own class
        lines = []
    if not lines and isinstance(error, MemoryError):
        lines = ["an answer needs far less memory than it asked for"]
    return f"{type(error).__name__}: {lines[0][:LONGEST]}" if lines else type(error).__name__
