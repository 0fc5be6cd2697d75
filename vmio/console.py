"""A command and its user: exit status, one sentence on standard error, signals, standard output that breaks.

    0 done    1 a check failed    2 refused or failed, with one sentence
    128 + n   ended by signal n: 129 SIGHUP, 130 SIGINT (Ctrl-C), 143 SIGTERM; 141 where nobody reads the output any more

These are what a shell reports of programs that leave their signals alone (POSIX, Shell
Command Language, 2.8.2).
"""

import errno
import io
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

REFUSED = 2
STATUSES = ("exit status: 0 done, 1 a check failed, 2 refused or failed (one sentence says why), "
            "130 Ctrl-C, 143 SIGTERM, 141 nobody reads the output any more")
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]   # Windows has no SIGHUP
_STREAMS = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))


class Ended(KeyboardInterrupt):
    """A signal asks this process to end.

    Like Ctrl-C it is no Exception, so that every `finally` runs and no `except Exception`
    stops it; asyncio and subprocess let a KeyboardInterrupt through and end what they started.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(name: str, command: Callable[[], int | None]) -> int:
    """Call `command()` and return an exit status: its own, or that of what stopped it, which `name` says in a sentence."""
    _open_closed_streams()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")    # a locale may lack letters that a file's name has
    with _signals():
        try:
            try:
                status = command() or 0
            finally:
                with suppress(OSError):
                    _push(sys.stderr, "standard error")
                _push(sys.stdout)       # what argparse has printed, too
        except Ended as end:
            return _complain(name, f"ended by {signal.Signals(end.number).name}", 128 + end.number)
        except KeyboardInterrupt:       # not ours: this is not the main thread's first command
            return _complain(name, "ended by SIGINT", 128 + signal.SIGINT)
        except BrokenPipeError:
            return 141                  # of SIGPIPE, which Windows doesn't have
        except MemoryError as error:
            return _complain(name, str(error) or "there is not enough memory", REFUSED)
        except (ValueError, OSError) as error:
            return _complain(name, error, REFUSED)
    return status


def say(text: str) -> None:
    """Write `text` and a line end to standard output: all of it, or none where that is the end of an ordinary file.  OSError."""
    _push(sys.stdout)
    end = _end_of(sys.stdout)
    try:
        _push(sys.stdout, text=text + "\n")
    except OSError:
        if end is not None:             # half an object is worse than none
            number, position = end
            os.ftruncate(number, position)
            os.lseek(number, position, os.SEEK_SET)
        raise
    finally:
        if end is not None:
            os.close(end[0])


def answer(text: str) -> None:
    """Write `text` to standard output at once.  OSError."""
    _push(sys.stdout, text=text)


def one_line(text: object) -> str:
    """`text` on one line: what a terminal doesn't show as it is (a line end in a file's name) is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def _complain(name: str, what: object, status: int) -> int:
    for number in _SIGNALS:             # it is ending; a second Ctrl-C would only cut the sentence
        with suppress(ValueError):      # not the main thread
            signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):             # then the status has to say it all
        _push(sys.stderr, "standard error", f"{name}: {one_line(what)}\n")
    return status


def _push(stream: Any, name: str = "standard output", text: str = "") -> None:
    """Write `text` and flush; if that fails, nothing more goes there, as Python would try once more when it ends."""
    try:
        raw = getattr(stream, "buffer", None)
        if isinstance(raw, io.RawIOBase):    # PYTHONUNBUFFERED: a text stream drops what the system didn't take
            data = memoryview(text.encode(stream.encoding, stream.errors))
            while data:
                data = data[raw.write(data):]
        else:
            stream.write(text)
        stream.flush()
    except OSError as error:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
        if isinstance(error, BrokenPipeError):
            raise
        raise OSError(f"{name}: {'it is closed' if error.errno == errno.EBADF else error.strerror or error}") from error


def _end_of(stream: Any) -> Any:
    """(a descriptor of its own, size) of an ordinary file whose end `stream` writes to, else None."""
    try:
        number = stream.fileno()
        about, position = os.fstat(number), os.lseek(number, 0, os.SEEK_CUR)
    except (OSError, ValueError, AttributeError):
        return None                     # a pipe, a terminal, a test's StringIO
    return (os.dup(number), position) if stat.S_ISREG(about.st_mode) and position == about.st_size else None


def _open_closed_streams() -> None:
    """Put something in place of standard streams that are closed: their numbers would go to files that we open.

    Writing to what stands for standard output fails, as it would have.
    """
    for number, (name, flags, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))


@contextmanager
def _signals() -> Iterator[None]:
    """Within the block SIGINT, SIGTERM and SIGHUP raise `Ended`, except those that are ignored (nohup, a shell's `&`).

    A signal that comes while Python runs a finalizer or a weak reference's callback is swallowed
    there ("Exception ignored in"): it is sent again a moment later.
    """
    def end(number: int, frame: Any) -> None:
        raise Ended(number)

    def swallowed(ignored: Any) -> None:
        if isinstance(ignored.exc_value, Ended):
            again = threading.Timer(0.01, os.kill, (os.getpid(), ignored.exc_value.number))
            again.daemon = True
            again.start()
        else:
            tell(ignored)
    before, tell = {}, sys.unraisablehook
    sys.unraisablehook = swallowed
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        sys.unraisablehook = tell
        for number, handler in before.items():
            signal.signal(number, handler)
