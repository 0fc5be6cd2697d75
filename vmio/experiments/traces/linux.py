"""What Linux's own tools print of block requests: blkparse and biosnoop.

Both say what a request is in RWBS letters (kernel/trace/blktrace.c, `blk_fill_rwbs`):
F before: flush first; R read, W write, D discard (DE: secure), N none, nothing: a flush
by itself; then F forced to the medium, A read-ahead, S synchronous, M metadata, B barrier.
"""

import re
from collections.abc import Sequence

from vmio.experiments.traces.fields import Wrong, decimal, request, sectors, shown, whole
from vmio.experiments.traces.request import Entry, Request
from vmio.experiments.traces.tables import NS

_RWBS = re.compile(r"(F?)(R|W|DE?|N|)(F?)A?(B?)S?M?U?")


def requests_of(rwbs: str, lba: int, count: int) -> list[Request]:
    """Return the requests that RWBS letters name, of `count` sectors: a flush, if they ask for it, then what moves data."""
    found = _RWBS.fullmatch(rwbs)
    if not found or not rwbs:
        raise Wrong(f"RWBS {shown(rwbs)}: R, W, D, F or N, with F before and A, B, F, S, M behind it")
    before, kind, after, barrier = found.groups()
    flush = [request("F", 0, 0)] if before or barrier or after and not kind else []
    return flush + ([request(kind[0], lba, count)] if count and kind not in ("", "N") else [])


class Blkparse:
    """blkparse's default output (man blkparse, "DEFAULT OUTPUT"): the requests are those issued to the device (action D).

    Other actions are the same requests elsewhere on their way; messages and the
    summary at the end are no requests, nor is a command that the kernel passes through (no sectors).
    """

    name, units = "blkparse", "device, CPU, sequence, s, PID, action, RWBS, sector + sectors"
    keeps_order = False
    _EVENT = re.compile(r"([0-9]+, *[0-9]+) +[0-9]+ +[0-9]+ +([0-9.]+) +[0-9]+ +([A-Z]{1,2}|m) +([A-Z]+)(?: +(.*))?")
    _RANGE = re.compile(r"([0-9]+) \+ ([0-9]+)(?: \( *[0-9]+\))? \[.*\]")
    _NEWS = re.compile(r"Input file .* added|CPU *[0-9]+ \(.*\):|Total \(.*\):")

    def __init__(self) -> None:
        self._summary = False

    @classmethod
    def sees(cls, line: str) -> "Blkparse | None":
        """Return a reader if `line` is an event, or says what was added."""
        return cls() if cls._EVENT.fullmatch(line) or cls._NEWS.fullmatch(line) else None

    def rows(self, line: str) -> Sequence[Entry]:
        """[(volume, ns, request), ...] of a line."""
        found = self._EVENT.fullmatch(line)
        if not found:
            self._summary = self._summary or bool(self._NEWS.fullmatch(line)) and not line.startswith("Input")
            if self._summary and ":" in line or self._NEWS.fullmatch(line):
                return ()
            raise Wrong(f"{shown(line)}: neither an event nor the summary")
        device, stamp, action, rwbs, rest = found.groups()
        if action != "D":
            return ()
        place = self._RANGE.fullmatch(rest or "")
        lba, count = (whole(place[1], "sector"), whole(place[2], "sectors")) if place else (0, 0)
        if not place and "+" in (rest or ""):
            raise Wrong(f"{shown(rest)}: sector + sectors [process]")
        ns = decimal(stamp, "time", NS["s"])
        return [(device.replace(" ", ""), ns, one) for one in requests_of(rwbs, lba, count)]


class Biosnoop:
    """biosnoop of bcc and of libbpf-tools: a header names the columns; COMM may hold spaces.

    A line is printed when its request is over: it was issued LAT (and QUE) before.
    One without data is a flush, which biosnoop's R and W don't tell.
    """

    name, units = "biosnoop", "TIME(s) COMM PID DISK T SECTOR BYTES LAT(ms)"
    keeps_order = False
    _NEEDED = ("PID", "DISK", "T", "SECTOR", "BYTES", "LAT(ms)")

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns

    @classmethod
    def sees(cls, line: str) -> "Biosnoop | None":
        """Return a reader if `line` is the header."""
        columns = line.split()
        return cls(columns) if columns[:2] == ["TIME(s)", "COMM"] and set(cls._NEEDED) <= set(columns) else None

    def rows(self, line: str) -> Sequence[Entry]:
        """[(volume, ns, request), ...] of a line."""
        words, columns = line.split(), self.columns
        if words == columns:
            return ()
        behind = columns[2:]
        if len(words) < len(columns):
            if words[1:2] == ["?"]:
                return ()        # a request that was under way before: neither disk nor place are known
            raise Wrong(f"{len(words)} columns; expected {len(columns)} ({' '.join(columns)})")
        fields = dict(zip(behind, words[-len(behind):]))
        ns = decimal(words[0], "TIME(s)", NS["s"]) - sum(
            decimal(fields[name], name, 1_000_000) for name in ("QUE(ms)", "LAT(ms)") if name in fields)
        count, rwbs = sectors(fields["BYTES"], "BYTES"), fields["T"]
        if not count and rwbs in ("R", "W"):
            rwbs = "F"
        lba = whole(fields["SECTOR"], "SECTOR") if count else 0
        return [(fields["DISK"], ns, one) for one in requests_of(rwbs, lba, count)]
