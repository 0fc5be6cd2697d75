"""How a driver's buffers come into the IOMMU domain: off, strict, lazy, static.

    off      no IOMMU: the device reaches all of the host's memory
    strict   map each buffer, unmap it after use, invalidate the IOTLB at once
    lazy     unmap at once, invalidate later for many: between the two, the device
             may still use what it was given - the window of danger
    static   all of the guest's RAM mapped once, at its own addresses

Linux knows them as iommu.strict=1, iommu.strict=0 (a queue of 256 entries, 10 ms)
and iommu=pt; passthrough to guests is static (drivers/iommu/dma-iommu.c).
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Pending, State, Timers
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.iova import IovaAllocator

STRATEGIES = ("off", "strict", "lazy", "static")
BATCH, TIMEOUT_NS = 256, 10_000_000     # Linux: IOVA_DEFAULT_FQ_SIZE, IOVA_DEFAULT_FQ_TIMEOUT


class Invalidates(Protocol):
    """Who tells the IOTLB: the host's IOMMU, or a guest that has one by hypercall."""

    def invalidate(self, domain: Domain, iova: int | None = None, length: int = ...) -> object:
        """Forget the translations of a range, or of the domain."""


class Static:
    """Nothing to do: what the driver calls an address, the device does.  Also the class of `off`.

    Counters: `maps`, `unmaps`, `invalidations` and, of unmapped pages that the IOTLB
    might still hold, `stale_peak` (pages), `stale_ns` (the sum over unmaps) and `stale_worst_ns`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.maps = self.unmaps = self.invalidations = self.stale_peak = self.stale_ns = self.stale_worst_ns = 0

    def map(self, gpa: int, length: int, permissions: int = READ | WRITE) -> int:
        """Return the address that the device shall use for the buffer [gpa, gpa+length)."""
        return gpa

    def unmap(self, address: int, length: int) -> None:
        """The device is done with the buffer at `address` (what `map` gave)."""

    def flush(self) -> None:
        """Invalidate what waits for it."""

    def counters(self) -> State:
        """Return {name: count}."""
        return {name: getattr(self, name) for name in
                ("maps", "unmaps", "invalidations", "stale_peak", "stale_ns", "stale_worst_ns")}


class Strict(Static):
    """Map, unmap, invalidate: three things for each buffer.

    Buffers are `guest`'s, by GPA.  `charge(ns)` lets the price pass (a vCPU's `compute`); `clock` is the guest's, as its
    program sees it.
    """

    def __init__(self, iommu: Invalidates, domain: Domain, guest: Guest, charge: Callable[[int], None] | None = None,
                 clock: Timers | None = None) -> None:
        super().__init__(type(self).__name__.lower())
        self.iommu, self.domain, self.guest = iommu, domain, guest
        self.charge, self.costs, self.clock = charge or (lambda ns: None), guest.host.costs, clock or guest.clock
        self.iovas = IovaAllocator()

    def map(self, gpa: int, length: int, permissions: int = READ | WRITE) -> int:
        """Map the buffer's pages at a fresh IOVA; ValueError for what is not all the guest's RAM."""
        first, pages = gpa & ~(PAGE - 1), _pages(gpa, length)
        if length <= 0 or gpa < 0 or first + pages * PAGE > self.guest.ram:
            raise ValueError(f"dma map {gpa:#x}, {length} bytes: the guest's RAM ends at {self.guest.ram:#x}")
        runs = self.guest.backing.runs(first, pages * PAGE)
        if sum(size for _, _, size in runs) != pages * PAGE:
            raise ValueError(f"dma map {gpa:#x}, {length} bytes: not all of it is the guest's RAM")
        iova = self.iovas.take(pages)
        for start, spa, size in runs:
            self.domain.map(iova + start - first, spa, size, permissions)
        self.maps += 1
        self.charge(self.costs.dma_map_ns)
        return iova | gpa & PAGE - 1

    def unmap(self, address: int, length: int) -> None:
        """Unmap and invalidate; ValueError for what was not mapped."""
        iova, pages = self._unmap(address, length)
        self.iommu.invalidate(self.domain, iova, pages * PAGE)
        self.invalidations += 1
        self.charge(self.costs.dma_invalidate_ns)
        self.iovas.give(iova, pages)

    def _unmap(self, address: int, length: int) -> tuple[int, int]:
        iova, pages = address & ~(PAGE - 1), _pages(address, length)
        if not self.domain.is_mapped(iova, pages * PAGE):
            raise ValueError(f"dma unmap {address:#x}, {length} bytes: not mapped")
        self.domain.unmap(iova, pages * PAGE)
        self.unmaps += 1
        return iova, pages


class Lazy(Strict):
    """Unmap now, invalidate when `batch` buffers wait or the oldest has waited `timeout_ns`.

    Until then an IOVA is not used again, but its old translation may be.
    """

    def __init__(self, iommu: Invalidates, domain: Domain, guest: Guest, charge: Callable[[int], None] | None = None,
                 clock: Timers | None = None, batch: int = BATCH, timeout_ns: int = TIMEOUT_NS) -> None:
        if batch < 1 or timeout_ns < 0:
            raise ValueError(f"lazy: batch {batch}, timeout_ns {timeout_ns}; at least 1, at least 0")
        super().__init__(iommu, domain, guest, charge, clock)
        self.batch, self.timeout_ns = batch, timeout_ns
        self._waiting: deque[tuple[int, int, int]] = deque()   # (iova, pages, time of the unmap)
        self._alarm: Pending | None = None    # while something waits
        self._owed = 0               # a flush by the timer is paid for with the driver's next call

    def unmap(self, address: int, length: int) -> None:
        """Unmap; the invalidation waits.  ValueError for what was not mapped."""
        iova, pages = self._unmap(address, length)
        if not self._waiting:
            self._alarm = self.clock.call_later(self.timeout_ns, self.flush)
        self._waiting.append((iova, pages, self.clock.now))
        self.stale_peak = max(self.stale_peak, sum(pages for _, pages, _ in self._waiting))
        if len(self._waiting) >= self.batch:
            self.flush()
        owed, self._owed = self._owed, 0
        if owed:
            self.charge(owed)

    def flush(self) -> None:
        """Invalidate the domain once for all that wait; their IOVAs are free again."""
        if self._alarm is None or not self._waiting:
            return
        self._alarm.cancel()
        self.iommu.invalidate(self.domain)
        self.invalidations += 1
        self._owed += self.costs.dma_invalidate_ns
        now = self.clock.now
        for iova, pages, since in self._waiting:
            self.stale_ns += now - since
            self.stale_worst_ns = max(self.stale_worst_ns, now - since)
            self.iovas.give(iova, pages)
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        """Unmapped buffers whose translations may still be used."""
        return len(self._waiting)


def strategy(name: str, iommu: Iommu, domain: Domain, guest: Guest, charge: Callable[[int], None] | None = None,
             **options: Any) -> Static:
    """Make one by name and set the IOMMU up for it; `options` are those of `Lazy`.

    `off` switches the IOMMU off and leaves `domain` alone; `static` maps the
    guest's whole RAM; ValueError for another name.
    """
    if name not in STRATEGIES:
        raise ValueError(f"iommu strategy {name!r}: choose one of {', '.join(STRATEGIES)}")
    if options and name != "lazy":
        raise ValueError(f"iommu strategy {name}: takes no {', '.join(options)}")
    if name == "off":
        iommu.disable()
        return Static("off")
    iommu.enable()
    if name == "static":
        domain.map_guest(guest)
        return Static("static")
    if name == "strict":
        return Strict(iommu, domain, guest, charge)
    return Lazy(iommu, domain, guest, charge, **options)


def _pages(address: int, length: int) -> int:
    return (address % PAGE + length + PAGE - 1) // PAGE
