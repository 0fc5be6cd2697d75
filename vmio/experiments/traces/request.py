"""A request of a trace, and the requests of a file."""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

SECTOR = 512
MAX_SECTORS = 65_536  # one ATA command (LBA48) moves no more
MAX_DISCARDED = (1 << 32) - 1  # the blocks of one NVMe range (NVMe 1.4, 6.7)
DISK_END = 1 << 55     # a disk has less than 2^64 bytes


class Request(NamedTuple):
    """One request: `op` is "R", "W", "F" (flush) or "D" (discard); `lba` and `sectors` in 512-byte sectors."""

    op: str
    lba: int
    sectors: int


Requests: TypeAlias = Sequence[Request]         # of a `Trace`, or any others
Entry: TypeAlias = tuple[str, int, Request]      # (volume, time in ns, request)


class Form(Protocol):
    """A form of trace files, as one file of it is read."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def units(self) -> str:
        """What a line has, for who got one wrong."""

    @property
    def keeps_order(self) -> bool:
        """Whether the order of the lines is that of the requests, whatever their times."""

    def rows(self, line: str) -> Sequence[Entry]:
        """Return what a line says."""


class Recognises(Protocol):
    """What knows one form, or several versions of it, by a file's first line."""

    def sees(self, line: str) -> Form | None:
        """Return what reads the file, or None if the line is none of this form."""


class Trace(list[Request]):
    """The `Request`s of a file.  `times_ns` since the first of them and `lines` in the file belong to each."""

    def __init__(self, name: str | Path, form: str = "") -> None:
        super().__init__()
        self.name, self.form = name, form
        self.volume: str | None = None
        self.times_ns, self.lines = array("q"), array("Q")

    def add(self, line: int, ns: int, request: Request) -> None:
        """Take one more."""
        self.append(request)
        self.times_ns.append(ns)
        self.lines.append(line)

    def sort_by_time(self) -> None:
        """Put the requests in order of time; those of one time stay as they are in the file."""
        times = self.times_ns
        if all(times[n] <= times[n + 1] for n in range(len(times) - 1)):
            return
        order = sorted(range(len(times)), key=times.__getitem__)
        self[:] = [self[n] for n in order]
        self.times_ns, self.lines = array("q", [times[n] for n in order]), array("Q", [self.lines[n] for n in order])

    def times_from_zero(self) -> None:
        """Count time from the earliest request."""
        first = min(self.times_ns, default=0)
        if first:
            self.times_ns = array("q", [ns - first for ns in self.times_ns])
