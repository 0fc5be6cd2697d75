"""Another unit of a controller: a disk whose requests go by the rings of the first one, and need nothing of their own.

    luns = yield from disk.scan()                which units there are, when the host has said that it changed (`bus_changed`)
    unit = Unit(disk, lun=1)
    yield from unit.init()

A unit that the host has taken away is known by its answers: there is none at that LUN (SRB status 20h), and the next
scan doesn't find it.  Linux does so: drivers/scsi/storvsc_drv.c, storvsc_host_scan() and storvsc_remove_lun().
"""

from collections import deque
from collections.abc import Callable

from vmio.drivers.contracts import Done, Reaped
from vmio.drivers.scsi_probe import Identity, capacity, probe
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.storvsc_one import OneAtATime
from vmio.hypervisor.contracts import Steps
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Tag


class Unit(OneAtATime):
    """The disk at `lun` of the controller that `queue` drives; it has a disk's surface."""

    identity: Identity      # from `init` on

    def __init__(self, queue: StorVsc, lun: int) -> None:
        self.queue, self.lun, self.cpu = queue, lun, queue.cpu
        self.finished: deque[Reaped] = deque()
        self.in_flight = 0

    def init(self) -> Steps[Identity]:
        """Ask the unit what it is.  `DriverError` if there is none, or it is no disk that we can use."""
        self.identity = yield from probe(self.queue.commands(self.lun))
        self.queue.make_lists(self.identity)
        return self.identity

    def rescan(self) -> Steps[Identity]:
        """Ask the unit again how large it is; returns what is known of it now."""
        sectors, _ = yield from capacity(self.queue.commands(self.lun))
        self.queue.resized.discard(self.lun)
        self.identity = self.identity._replace(sectors=sectors)
        return self.identity

    @property
    def polled(self) -> bool:
        """Whether nobody interrupts."""
        return self.queue.polled

    @property
    def discards(self) -> bool:
        """Does the disk take discards?"""
        return self.identity.max_unmapped > 0

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag, done: Done | None = None) -> None:
        """Start a request, as `StorVsc.submit`."""
        self.in_flight += 1

        def over(result: Reaped) -> None:
            self.in_flight -= 1
            (done or self.finished.append)(result)
        self.queue.submit(op, lba, sectors, gpa, tag, over, self)

    def flush_ring(self) -> None:
        """Publish what was submitted, and signal if the host must be woken."""
        self.queue.flush_ring()

    def until(self, ready: Callable[[], object], what: str, alarm: int = NEVER) -> Steps[None]:
        """Sleep until `ready()`."""
        yield from self.queue.until(ready, what, alarm)

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Sleep until there is something to reap, or the time is `until`."""
        yield from self.queue.until(lambda: self.finished or self.cpu.now >= until, "request", until)

    def reap(self) -> list[Reaped]:
        """Return what is over: [(tag, error or None), ...]."""
        over = list(self.finished)
        self.finished.clear()
        return over
