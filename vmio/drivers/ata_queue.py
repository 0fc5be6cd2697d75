"""An ATA disk behind the surface of the queued drivers: what was submitted is done one request after the other.

The command block has room for one command, so the depth is 1; `StorVsc` and
`NvmeDisk` have the same methods and take many.
"""

from collections import deque

from vmio.drivers.ata import AtaDriver, AtaError
from vmio.drivers.contracts import Reaped
from vmio.hypervisor.contracts import Steps
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Tag


class AtaQueue:
    """The requests of `driver` (an `AtaDriver`, initialised)."""

    def __init__(self, driver: AtaDriver) -> None:
        self.driver, self.cpu = driver, driver.cpu
        self.polled, self.discards = not driver.interrupts, driver.discards
        self._waiting: deque[tuple[str, int, int, int, Tag]] = deque()
        self._finished: list[Reaped] = []

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag) -> None:
        """Accept a "read", "write", "flush" or "discard"; its data is at `gpa`, contiguous (of a discard: room for a sector)."""
        self._waiting.append((op, lba, sectors, gpa, tag))

    def flush_ring(self) -> None:
        """Do nothing: there is no ring, and `wait` carries the requests out."""

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Carry out the next request, if none is waiting to be reaped; without one, sleep until `until`."""
        if self._finished:
            return
        if not self._waiting:
            while self.cpu.now < until < NEVER:
                yield from self.cpu.hlt(until - self.cpu.now)
            return
        op, lba, sectors, gpa, tag = self._waiting.popleft()
        error = None
        try:
            if op == "flush":
                yield from self.driver.flush()
            elif op == "discard":
                yield from self.driver.discard(lba, sectors, gpa)
            else:
                move = self.driver.read if op == "read" else self.driver.write
                yield from move(lba, sectors, gpa)
        except AtaError as refused:
            error = refused
        self._finished.append((tag, error))

    def reap(self) -> list[Reaped]:
        """Return what has completed: [(tag, error or None), ...]."""
        done, self._finished = self._finished, []
        return done
