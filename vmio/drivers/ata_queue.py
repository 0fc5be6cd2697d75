"""An ATA disk behind the surface of the queued drivers: what was submitted is done one request after the other.

The command block has room for one command, so the depth is 1; `StorVsc` and
`NvmeDisk` have the same methods and take many.
"""

from collections import deque

from vmio.drivers.ata import AtaError
from vmio.machine.clock import NEVER


class AtaQueue:
    """The requests of `driver` (an `AtaDriver`, initialised)."""

    def __init__(self, driver):
        self.driver, self.cpu = driver, driver.cpu
        self.discards = driver.discards
        self._waiting, self._finished = deque(), []

    def submit(self, kind, lba, sectors, gpa, tag):
        """Accept a "read", "write", "flush" or "discard"; its data is at `gpa`, contiguous (of a discard: room for a sector)."""
        self._waiting.append((kind, lba, sectors, gpa, tag))

    def flush_ring(self):
        """Do nothing: there is no ring, and `wait` carries the requests out."""

    def wait(self, until=NEVER):
        """Carry out the next request, if none is waiting to be reaped; without one, sleep until `until`."""
        if self._finished:
            return
        if not self._waiting:
            while self.cpu.now < until < NEVER:
                yield from self.cpu.hlt(until - self.cpu.now)
            return
        kind, lba, sectors, gpa, tag = self._waiting.popleft()
        error = None
        try:
            if kind == "flush":
                yield from self.driver.flush()
            elif kind == "discard":
                yield from self.driver.discard(lba, sectors, gpa)
            else:
                move = self.driver.read if kind == "read" else self.driver.write
                yield from move(lba, sectors, gpa)
        except AtaError as refused:
            error = refused
        self._finished.append((tag, error))

    def reap(self):
        """Return what has completed: [(tag, error or None), ...]."""
        done, self._finished = self._finished, []
        return done
