"""Run a learner's code in a process of its own, so that nothing it does can stop or change the one that asks.

The process is a fork: it knows the functions of a notebook and all that they
refer to, and what it changes goes with it.  Only plain data come back.  The
limits are the system's (setrlimit(2)) where it has some, because a loop in C
sees neither a signal handler nor an exception: computing time, memory, the
size of a file.  For time spent waiting, which nobody else limits, the parent
looks at the clock and kills.

Windows and Pyodide can't fork.  There the code runs in this process: whoever
counts its steps can stop a loop in Python, but nothing stops a loop in C, a
sleep or a lock, and what it changes stays changed.
"""

import json
import os
import selectors
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vmio.lab import inside

CAN_FORK = hasattr(os, "fork") and hasattr(os, "setsid") and sys.platform != "emscripten"     # Pyodide has their names alone
FORGED = "it wrote where only the check writes"
_LOOK_S = 0.1           # between two looks at how long it has waited
_LONGEST = 1 << 20      # bytes of an answer


@dataclass(frozen=True)
class Limits:
    """What the code may take: s of computing, of waiting and in all, MiB beyond what was there, characters printed.

    Waiting and memory are limited on Linux only: elsewhere all the time there is limits both.
    """

    compute_s: int = 30
    wait_s: float = 3
    wall_s: float = 120
    memory_mib: int = 1024
    characters: int = 10_000


@dataclass(frozen=True)
class Ending:
    """How it ended: `data` if it came to its end, else None and a sentence's half in `why`; and what it printed."""

    data: object
    why: str
    printed: str


def run(work: Callable[..., Any], limits: Limits) -> Ending:
    """The `Ending` of `work()`, which returns something that JSON can say, or calls `inside.leave` with it."""
    if not CAN_FORK:
        return Ending(work(), "", "")
    answer, tell = os.pipe()
    output, say = os.pipe()
    started = time.monotonic()
    with warnings.catch_warnings(action="ignore"):   # 3.12 warns of other threads' locks: the child uses none of theirs
        child = os.fork()
    if child == 0:
        try:
            os.close(answer)
            os.close(output)
            inside.run(work, limits, tell, say)
        finally:
            os._exit(1)                 # whatever happened: the child never returns into the notebook
    os.close(tell)
    os.close(say)
    try:
        line, printed, late = _listen(child, answer, output, limits, started)
    finally:                            # also when the user interrupts
        status = _end(child)
        os.close(answer)
        os.close(output)
    if printed[limits.characters:]:
        printed = f"{printed[:limits.characters]}\n... and more: an answer may print {limits.characters:,} characters\n"
    if not line:
        return Ending(None, late or _died(status, limits), printed)
    with suppress(ValueError):
        data = json.loads(line)
        return Ending(data, "" if data is not None else f"it needs more than {limits.memory_mib:,} MiB of memory", printed)
    return Ending(None, FORGED, printed)


def _listen(child: int, answer: int, output: int, limits: Limits, started: float) -> tuple[bytes, str, str]:
    """(the child's line or b"", what it printed, why it had to be stopped or "")."""
    parts, line, most = [], b"", 4 * limits.characters + 4     # a character has 4 bytes at most
    with selectors.DefaultSelector() as ready:
        ready.register(answer, selectors.EVENT_READ)
        ready.register(output, selectors.EVENT_READ)
        late, done, waited, looked = "", False, 0.0, started
        while not (late or done):
            for key, _ in ready.select(_LOOK_S):
                some = os.read(key.fd, 65536)
                if key.fd == answer:
                    line += some
                    done = not some or line.endswith(b"\n") or len(line) > _LONGEST
                elif not some:
                    ready.unregister(output)
                elif most > 0:
                    parts.append(some[:most])
                    most -= len(some)
            now = time.monotonic()
            waited += min(now - looked, 2 * _LOOK_S) if _asleep(child) else 0      # this process may have been kept from looking
            looked = now
            late = "" if done else _late(waited, now - started, limits)
        os.set_blocking(output, False)
        with suppress(BlockingIOError):     # what was printed before the answer came
            while most > 0 and (some := os.read(output, 65536)):
                parts.append(some[:most])
                most -= len(some)
    return line, b"".join(parts).decode("utf-8", "replace"), late


def _asleep(child: int) -> bool:
    """Whether the child sleeps or has stopped itself; who waits for a core, a disk or its own memory does neither."""
    with suppress(OSError):
        with open(f"/proc/{child}/stat") as file:       # its third word, after the name in brackets: proc_pid_stat(5)
            return file.read().rpartition(")")[2].split()[0] in "ST"
    return False


def _late(waited: float, wall: float, limits: Limits) -> str:
    """Why the child must be stopped after `wall` seconds, for `waited` of which it slept, or ""."""
    if waited > limits.wait_s:
        return (f"it waited for {limits.wait_s:g} s; "
                "is there a sleep, or a lock, a queue or a thread that nobody ends?")
    return f"no end after {limits.wall_s:g} s; is there something that never stops?" if wall > limits.wall_s else ""


def _end(child: int) -> int | None:
    """Kill the child and all that it may have started; its status as waitpid(2) has it, None if somebody else took it."""
    for kill in (os.killpg, os.kill):       # the group is there from the child's setsid on
        with suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    with suppress(ChildProcessError):
        return os.waitpid(child, 0)[1]
    return None


def _died(status: int | None, limits: Limits) -> str:
    """Why there is no answer of a child that ended by itself."""
    if status is None or not os.WIFSIGNALED(status):
        return "it ended Python itself, and nothing came back; is there an os._exit?"
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return f"no end after {limits.compute_s} s of computing; is there a loop that never stops?"
    if number == signal.SIGKILL:
        return "it was ended by force: it computed for too long, took the machine's memory, or closed what a check writes to"
    name = signal.Signals(number).name if number in {*signal.Signals} else f"signal {number}"
    return f"Python itself ended by {name}" + ("; is there a recursion without an end?" if number in (signal.SIGSEGV, signal.SIGBUS) else "")
