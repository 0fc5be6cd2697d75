"""A log, such as what a serial port sends: unlike other outputs it is to be seen while it grows.

Where there is no file yet, or an empty one, each byte is in it at once.  A file that
holds something is replaced when the log ends, and only by one that holds
something, too: until then it is what it was.  A log ends with its program, by a
signal as well; an error keeps the old file.  (QEMU's `-serial file:` empties the file first.)
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from vmio.machine import files
from vmio.machine.contracts import Buffer, FileName, Inputs

_FLAG = {name: getattr(os, name, 0) for name in ("O_BINARY", "O_NOCTTY", "O_NONBLOCK")}   # not every system has each


class Log:
    """`with Log(path, inputs) as log: log.write(data)`.

    `path` may also be a terminal or another character device, a FIFO that has a reader, or
    standard output or error under a name such as /dev/stderr, if its number is not among
    `streams`, which are in use.  `inputs` as in `files.target`.  ValueError, at once, for
    what can't or must not be written; OSError if writing fails.
    """

    def __init__(self, path: FileName, inputs: Inputs | None = None, streams: tuple[int, ...] = (0, 1)) -> None:
        self.name, self._inputs, self._streams = os.fsdecode(path), inputs, streams
        self._handle: Any = None       # one of the two, from enter on: a descriptor
        self._whole: Any = None        # or the output that takes its place
        self._written = False
        self._kind()

    def _kind(self) -> str | int:
        """What there is at the path: "new", "old", "device", "FIFO", or the number of a standard stream."""
        there = files.look(self.name) if self.name else None
        if there is not None and stat.S_ISCHR(there.st_mode):
            return "device"
        if there is not None:
            files.refuse_inputs(self.name, there, self._inputs, self._streams)
            for number in {1, 2}.difference(self._streams):
                if files.is_stream(there, number):
                    return number
            if stat.S_ISFIFO(there.st_mode):
                return "FIFO"
        files.target(self.name, self._inputs)
        return "old" if there is not None and there.st_size else "new"

    def __enter__(self) -> Self:
        kind = self._kind()
        with self._told():
            if kind == "old":
                self._whole = files.Output(self.name, self._inputs)
                self._whole.__enter__()
            elif kind == "new":
                self._handle = os.open(self.name, os.O_WRONLY | os.O_CREAT | _FLAG["O_BINARY"], 0o666)
            elif kind == "device":
                self._handle = os.open(self.name, os.O_WRONLY | _FLAG["O_NOCTTY"])
            elif kind == "FIFO":
                self._handle = os.open(self.name, os.O_WRONLY | _FLAG["O_NONBLOCK"])   # or it would wait for a reader
                os.set_blocking(self._handle, True)
            elif isinstance(kind, int):
                self._handle = os.dup(kind)
        return self

    def write(self, data: Buffer) -> None:
        """Append bytes; they are in the file when the call returns."""
        self._written = True
        if self._whole:
            self._whole.write(data)
            self._whole.flush()
            return
        with self._told():
            while data:
                data = data[os.write(self._handle, data):]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
        elif self._written and (kind is None or not issubclass(kind, Exception)):
            self._whole.__exit__(None)
        else:
            self._whole.discard()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Put the log's name into an OSError."""
        try:
            yield
        except OSError as error:
            why = "nobody reads this FIFO" if error.errno == errno.ENXIO else error.strerror or error
            raise OSError(f"output {self.name}: {why}") from error
