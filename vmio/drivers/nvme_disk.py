"""A guest's NVMe disk with many requests in flight: what lies between its block layer and the `NvmeDriver`.

    disk = NvmeDisk(cpu, driver, dma)
    disk.submit("read", lba, sectors, gpa, tag)
    disk.flush_ring()                        one doorbell for all of them: a store, no exit
    yield from disk.wait()
    for tag, error in disk.reap(): ...

`dma` has `map(gpa, length, permissions)` and `unmap(address, length)`, a strategy of
vmio.passthrough.strategies: where the device finds a buffer of ours.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from vmio.drivers.contracts import DiskRequest, Done, Reaped
from vmio.drivers.errors import DriverTimeout
from vmio.drivers.nvme import SECTOR, NvmeDriver, NvmeError, page_list
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Tag
from vmio.machine.pagetable import READ, WRITE

TIMEOUT_NS = 60_000_000_000
FOR_DEVICE = {"read": WRITE, "write": READ}    # what the device may do to the buffer


class Limits(Protocol):
    """How many sectors a part may have; known when the disk is up."""

    max_sectors: int
    max_discarded: int         # of a discard


class DiskOfParts:
    """What a disk of one queue does with requests, NVMe or virtio: cut those that are too long, keep what finds no room, count what is over, wait.

    `kind` is what the disk is called where it is silent; `polled`: nobody calls `interrupt`.
    """

    kind: str

    def __init__(self, cpu: Cpu, limits: Limits, polled: bool) -> None:
        self.cpu, self.limits, self.polled = cpu, limits, polled
        self.in_flight = 0                      # parts
        self.finished: deque[Reaped] = deque()
        self.error: Exception | None = None     # the disk has gone, or can't be believed any more
        self._waiting: deque[tuple[DiskRequest, str, int, int, int]] = deque()   # parts that found the queue full

    def _start(self, request: DiskRequest, op: str, lba: int, sectors: int, gpa: int) -> bool:
        """Put a part into the queue; False if there is no room."""
        raise NotImplementedError

    def flush_ring(self) -> None:
        """Let the device see what was submitted."""
        raise NotImplementedError

    def interrupt(self, cpu: Cpu) -> None:
        """Take every answer that is there."""
        raise NotImplementedError

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag, done: Done | None = None) -> None:
        """Start a "read", "write", "flush" or "discard"; data is at `gpa`, contiguous.  `done((tag, error))`, or `reap` tells."""
        longest = self.limits.max_discarded if op == "discard" else self.limits.max_sectors
        request = DiskRequest(tag, done or self.finished.append, max(-(-sectors // longest), 1))
        if op == "flush":
            self._put(request, op, 0, 0, 0)
        while sectors > 0:
            part = min(sectors, longest)
            self._put(request, op, lba, part, gpa)
            lba, sectors, gpa = lba + part, sectors - part, gpa + part * SECTOR

    def _put(self, request: DiskRequest, op: str, lba: int, sectors: int, gpa: int) -> None:
        if self.error is not None:
            raise self.error
        if self._waiting or not self._start(request, op, lba, sectors, gpa):
            self._waiting.append((request, op, lba, sectors, gpa))

    def _over(self, request: DiskRequest, error: Exception | None) -> None:
        """A part of a request is over: good, or what went wrong."""
        request.error = request.error or error
        request.remaining -= 1
        if not request.remaining:
            request.done((request.tag, request.error))

    def _lose_all(self, started: list[DiskRequest], error: Exception) -> None:
        """Nobody will answer any more: parts that were `started`, and those that waited, end with `error`."""
        self.error = error
        parts = started + [part[0] for part in self._waiting]
        self._waiting.clear()
        self.in_flight = 0
        for request in parts:
            self._over(request, error)

    def reap(self) -> list[Reaped]:
        """Return what is over: [(tag, error or None), ...]."""
        over = list(self.finished)
        self.finished.clear()
        return over

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Until there is something to reap, or the time is `until`: asleep, or by looking again and again."""
        cpu = self.cpu
        deadline = cpu.now + TIMEOUT_NS
        if self.polled:
            self.interrupt(cpu)
        while not self.finished and cpu.now < until:
            if self.error is not None:
                raise self.error
            if not self.in_flight and until < NEVER:
                yield from cpu.hlt(until - cpu.now)
                continue
            if self.polled:
                yield from cpu.spin()
                self.interrupt(cpu)
            else:
                now = cpu.now
                yield from cpu.hlt(None if until == NEVER else until - now, watchdog_ns=deadline - now)
            if cpu.now >= deadline and not self.finished:
                raise DriverTimeout(f"{self.kind}: {self.in_flight} requests, no answer")
            if self._waiting:
                yield from cpu.pay()
                self.flush_ring()


class Mapping(Protocol):
    """How a guest's buffers come into a device's reach; see `passthrough.strategies`."""

    def map(self, gpa: int, length: int, permissions: int = ...) -> int:
        """Return the address at which the device reaches them."""

    def unmap(self, address: int, length: int) -> None:
        """They are the guest's alone again."""


class NvmeDisk(DiskOfParts):
    """The disk that `driver` (an `NvmeDriver`) drives for the guest whose vCPU is `cpu`.  `polled`: nobody calls `interrupt`."""

    kind = "NVMe"

    def __init__(self, cpu: Cpu, driver: NvmeDriver, dma: Mapping, polled: bool = False) -> None:
        super().__init__(cpu, driver, polled)
        self.driver, self.dma = driver, dma

    @property
    def discards(self) -> bool:
        """Does the disk take discards?"""
        return self.driver.discards

    def _start(self, request: DiskRequest, op: str, lba: int, sectors: int, gpa: int) -> bool:
        queue = self.driver.pairs[0]
        if not queue.free:
            return False
        length, address = 0 if op == "discard" else sectors * SECTOR, 0
        pages: Sequence[int] = ()
        if length:
            address = self.dma.map(gpa, length, FOR_DEVICE[op])
            pages = page_list(address, length)
        self.driver.submit(op, lba, sectors, pages, (request, address, length))
        self.in_flight += 1
        return True

    def flush_ring(self) -> None:
        """Tell the device of what was submitted."""
        while self._waiting and self._start(*self._waiting[0]):
            self._waiting.popleft()
        self.driver.ring_doorbell()

    def interrupt(self, cpu: Cpu) -> None:
        """Take every answer that is there."""
        for (request, address, length), status in self.driver.reap():
            self.in_flight -= 1
            if length:
                self.dma.unmap(address, length)
            self._over(request, NvmeError(f"{request.tag}", status) if status else None)

    def drain(self) -> Steps[None]:
        """Wait until every request has its answer; `reap` still tells of them.  A generator."""
        deadline = self.cpu.now + TIMEOUT_NS
        while True:
            yield from self.cpu.pay()           # the last answers may come meanwhile
            self.flush_ring()
            if not self.in_flight and not self._waiting:
                return
            if self.polled:
                yield from self.cpu.spin()
                self.interrupt(self.cpu)
            else:
                yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)
            if self.cpu.now >= deadline and self.in_flight:
                raise DriverTimeout(f"NVMe: {self.in_flight} requests, no answer")

    def lose(self, error: Exception) -> None:
        """The device has gone: what it had answered in memory is taken, every other request ends with `error`.

        Such a request may have been carried out: nobody will say.
        """
        if self.error is not None:
            return
        self.interrupt(self.cpu)
        self._lose_all([tag[0] for tag in self.driver.lose()], error)
