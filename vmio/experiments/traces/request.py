"""A request of a trace, and the requests of a file."""

from array import array
from typing import NamedTuple

SECTOR = 512
MOST_SECTORS = 65_536  # one ATA command (LBA48) moves no more
MOST_DISCARDED = (1 << 32) - 1  # the blocks of one NVMe range (NVMe 1.4, 6.7)
DISK_END = 1 << 55     # a disk has less than 2^64 bytes


class Request(NamedTuple):
    """One request: `op` is "R", "W", "F" (flush) or "D" (discard); `lba` and `sectors` in 512-byte sectors."""

    op: str
    lba: int
    sectors: int


class Trace(list):
    """The `Request`s of a file.  `times_ns` since the first of them and `lines` in the file belong to each."""

    def __init__(self, name, form):
        super().__init__()
        self.name, self.form, self.volume = name, form, None
        self.times_ns, self.lines = array("q"), array("Q")

    def add(self, line, ns, request):
        """Take one more."""
        self.append(request)
        self.times_ns.append(ns)
        self.lines.append(line)

    def sort_by_time(self):
        """Put the requests in order of time; those of one time stay as they are in the file."""
        times = self.times_ns
        if all(times[n] <= times[n + 1] for n in range(len(times) - 1)):
            return
        order = sorted(range(len(times)), key=times.__getitem__)
        self[:] = [self[n] for n in order]
        self.times_ns, self.lines = array("q", [times[n] for n in order]), array("Q", [self.lines[n] for n in order])

    def times_from_zero(self):
        """Count time from the earliest request."""
        first = min(self.times_ns, default=0)
        if first:
            self.times_ns = array("q", [ns - first for ns in self.times_ns])
