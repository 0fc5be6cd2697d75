"""A bus: which device answers at which address, and how often it was asked.

The device says what was wrong with an access by raising `BadAccess`; the bus
decides what the guest sees (all ones, as on a PC where nobody drives the data
lines) and counts it.  An access wider than the device is split into the
device's width, low address first, as an ISA bridge does.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Protocol

from vmio.machine.checkpoint import Form, State, same
from vmio.machine.contracts import Device

BUS = Form("bus", 1, "unclaimed", "regions")


class BadAccess(Exception):
    """The chip has no such register, or not at this size.  Raised by devices only."""


class BusOverlap(ValueError):
    """Two devices may not answer at one address."""


def all_ones(size: int) -> int:
    """Return what an undriven bus of `size` bytes reads."""
    return (1 << 8 * size) - 1


class Shortcut(Protocol):
    """Who reaches a device past the bus: a row of an intercept table."""

    is_write: bool

    @property
    def units(self) -> int:
        """Accesses so far."""


class Region:
    """A device at `base` for `length` addresses, with the counters of its accesses.

    `shortcuts` are who reaches the device past the bus (a vCPU that has looked it
    up before); each counts its own accesses, and `reads`/`writes` add them up.
    """

    __slots__ = ("name", "base", "length", "device", "width", "handler", "bad", "shortcuts", "_reads", "_writes")

    def __init__(self, name: str, base: int, length: int, device: Device, width: int, handler: str) -> None:
        self.name, self.base, self.length = name, base, length
        self.device, self.width, self.handler = device, width, handler
        self._reads = self._writes = self.bad = 0
        self.shortcuts: list[Shortcut] = []

    def read(self, address: int, size: int) -> int:
        """Return what the device answers to an access that is all its own; all ones for one that it refuses."""
        self._reads += 1
        try:
            return self.device.read(address - self.base, size)
        except BadAccess:
            self.bad += 1
            return all_ones(size)

    def write(self, address: int, size: int, value: int) -> None:
        """Write to the device, an access that is all its own; one that it refuses is lost."""
        self._writes += 1
        try:
            self.device.write(address - self.base, size, value)
        except BadAccess:
            self.bad += 1

    @property
    def reads(self) -> int:
        """Accesses that read, whoever made them."""
        return self._reads + sum(row.units for row in self.shortcuts if not row.is_write)

    @property
    def writes(self) -> int:
        """Accesses that wrote, whoever made them."""
        return self._writes + sum(row.units for row in self.shortcuts if row.is_write)

    def __repr__(self) -> str:
        return f"Region({self.name!r}, {self.base:#x}+{self.length:#x})"


class Bus:
    """Sorted, non-overlapping regions over `size` addresses (65,536 ports, or guest-physical memory)."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.unclaimed = 0
        self.on_change: list[Callable[[], None]] = []  # called when a region comes or goes: cached look-ups are stale then
        self._regions: list[Region] = []
        self._bases: list[int] = []

    def attach(self, base: int, length: int, device: Device, name: str | None = None, width: int = 1,
               handler: str = "worker") -> Region:
        """Let `device` answer at [base, base+length); `width` is its widest access in bytes.

        `handler` says where its model runs: in the `hypervisor`, or in the host's
        `worker` process, which costs an exit to user space.
        Raises ValueError outside the bus, `BusOverlap` where somebody already answers.
        """
        name = name or type(device).__name__.lower()
        if length <= 0 or base < 0 or base + length > self.size:
            raise ValueError(f"{name}: [{base:#x}, {base + length:#x}) is not within {self.name} (0 to {self.size:#x})")
        at = bisect_right(self._bases, base)
        for other in self._regions[max(at - 1, 0):at + 1]:
            if base < other.base + other.length and other.base < base + length:
                raise BusOverlap(f"{name} at {base:#x} overlaps {other.name} at {other.base:#x} on {self.name}")
        region = Region(name, base, length, device, width, handler)
        self._regions.insert(at, region)
        self._bases.insert(at, base)
        self._changed()
        return region

    def detach(self, region: Region) -> None:
        """Take a region away (a PCI BAR that moves, a device that is unplugged)."""
        at = self._regions.index(region)
        del self._regions[at], self._bases[at]
        self._changed()

    def save(self) -> State:
        """Return who answers where, and what was counted."""
        return BUS.state(unclaimed=self.unclaimed, regions=[
            [each.base, each.length, each.name, each._reads, each._writes, each.bad] for each in self._regions])

    def restore(self, state: State) -> None:
        """Take back the counts; the devices, restored before, answer where they did, or it is `CheckpointRefused`."""
        saved = BUS.take(state)
        same(f"{self.name}, who answers where", [each[:3] for each in saved["regions"]],
             [[each.base, each.length, each.name] for each in self._regions])
        self.unclaimed = saved["unclaimed"]
        for region, (*_, reads, writes, bad) in zip(self._regions, saved["regions"]):
            region._reads, region._writes, region.bad = reads, writes, bad

    def is_free(self, base: int, length: int) -> bool:
        """Return whether nobody answers in [base, base+length), and all of it is on the bus."""
        return 0 <= base and base + length <= self.size and all(
            region.base + region.length <= base or base + length <= region.base for region in self._regions)

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()

    def find(self, address: int) -> Region | None:
        """Return the region that answers at `address`, or None."""
        at = bisect_right(self._bases, address) - 1
        if at >= 0:
            region = self._regions[at]
            if address < region.base + region.length:
                return region
        return None

    def whole(self, address: int, size: int) -> Region | None:
        """Return the region whose device takes all of this access at once, or None."""
        at = bisect_right(self._bases, address) - 1
        if at >= 0:
            region = self._regions[at]
            if address + size <= region.base + region.length and size <= region.width and not size & size - 1:
                return region
        return None

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions in order of address."""
        return tuple(self._regions)

    def read(self, address: int, size: int) -> int:
        """Read `size` bytes little-endian; what nobody drives reads as ones.  Never raises for a guest's access."""
        region = self.whole(address, size)
        if region is not None:
            return region.read(address, size)
        if size == 1:
            self.unclaimed += 1
            return 0xFF
        part = self._part(self.find(address), address, size)
        low = self.read(address, part)
        return low | self.read(self._next(address + part), size - part) << 8 * part

    def write(self, address: int, size: int, value: int) -> None:
        """Write `size` bytes little-endian; what nobody claims is lost.  Never raises for a guest's access."""
        region = self.whole(address, size)
        if region is not None:
            region.write(address, size, value)
        elif size == 1:
            self.unclaimed += 1
        else:
            part = self._part(self.find(address), address, size)
            self.write(address, part, value & all_ones(part))
            self.write(self._next(address + part), size - part, value >> 8 * part)

    def _next(self, address: int) -> int:
        """What follows the last address is address 0; beyond it there is nothing, and nothing wraps."""
        return 0 if address == self.size else address

    @staticmethod
    def _part(region: Region | None, address: int, size: int) -> int:
        """The largest power of two below `size` that this region takes at this address."""
        width = region.width if region is not None else 1
        part = 1
        while part * 2 < size and part * 2 <= width and address % (part * 2) == 0:
            part *= 2
        return part
