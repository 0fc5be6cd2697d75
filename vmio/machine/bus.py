"""A bus: which device answers at which address, and how often it was asked.

The device says what was wrong with an access by raising `BadAccess`; the bus
decides what the guest sees (all ones, as on a PC where nobody drives the data
lines) and counts it.  An access wider than the device is split into the
device's width, low address first, as an ISA bridge does.
"""

from bisect import bisect_right


class BadAccess(Exception):
    """The chip has no such register, or not at this size.  Raised by devices only."""


class BusOverlap(ValueError):
    """Two devices may not answer at one address."""


def all_ones(size):
    """What an undriven bus of `size` bytes reads."""
    return (1 << 8 * size) - 1


class Region:
    """A device at `base` for `length` addresses, with the counters of its accesses.

    `shortcuts` are who reaches the device past the bus (a vCPU that has looked it
    up before); each counts its own accesses, and `reads`/`writes` add them up.
    """

    __slots__ = ("name", "base", "length", "device", "width", "handler", "bad", "shortcuts", "_reads", "_writes")

    def __init__(self, name, base, length, device, width, handler):
        self.name, self.base, self.length = name, base, length
        self.device, self.width, self.handler = device, width, handler
        self._reads = self._writes = self.bad = 0
        self.shortcuts = []

    def takes(self, size):
        """Is this the size of an access that the device knows?  Three bytes, the part of one in a page, are not."""
        return size <= self.width and not size & size - 1

    @property
    def reads(self):
        """Accesses that read, whoever made them."""
        return self._reads + sum(row.units for row in self.shortcuts if not row.is_write)

    @property
    def writes(self):
        """Accesses that wrote, whoever made them."""
        return self._writes + sum(row.units for row in self.shortcuts if row.is_write)

    def __repr__(self):
        return f"Region({self.name!r}, {self.base:#x}+{self.length:#x})"


class Bus:
    """Sorted, non-overlapping regions over `size` addresses (65,536 ports, or guest-physical memory)."""

    def __init__(self, name, size):
        self.name, self.size = name, size
        self.unclaimed = 0
        self.on_change = []  # called when a region comes or goes: cached look-ups are stale then
        self._regions = []
        self._bases = []

    def attach(self, base, length, device, name=None, width=1, handler="worker"):
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

    def detach(self, region):
        """Take a region away (a PCI BAR that moves, a device that is unplugged)."""
        at = self._regions.index(region)
        del self._regions[at], self._bases[at]
        self._changed()

    def is_free(self, base, length):
        """Nobody answers in [base, base+length), and all of it is on the bus."""
        return 0 <= base and base + length <= self.size and all(
            region.base + region.length <= base or base + length <= region.base for region in self._regions)

    def _changed(self):
        for callback in self.on_change:
            callback()

    def find(self, address):
        """The region that answers at `address`, or None."""
        at = bisect_right(self._bases, address) - 1
        if at >= 0:
            region = self._regions[at]
            if address < region.base + region.length:
                return region
        return None

    @property
    def regions(self):
        """The regions in order of address."""
        return tuple(self._regions)

    def read(self, address, size):
        """Read `size` bytes little-endian; what nobody drives reads as ones.  Never raises for a guest's access."""
        region = self.find(address)
        if region is not None and region.takes(size) and address + size <= region.base + region.length:
            region._reads += 1
            try:
                return region.device.read(address - region.base, size)
            except BadAccess:
                region.bad += 1
                return all_ones(size)
        if size == 1:
            self.unclaimed += 1
            return 0xFF
        part = self._part(region, address, size)
        low = self.read(address, part)
        return low | self.read(self._next(address + part), size - part) << 8 * part

    def write(self, address, size, value):
        """Write `size` bytes little-endian; what nobody claims is lost.  Never raises for a guest's access."""
        region = self.find(address)
        if region is not None and region.takes(size) and address + size <= region.base + region.length:
            region._writes += 1
            try:
                region.device.write(address - region.base, size, value)
            except BadAccess:
                region.bad += 1
        elif size == 1:
            self.unclaimed += 1
        else:
            part = self._part(region, address, size)
            self.write(address, part, value & all_ones(part))
            self.write(self._next(address + part), size - part, value >> 8 * part)

    def _next(self, address):
        """What follows the last address is address 0; beyond it there is nothing, and nothing wraps."""
        return 0 if address == self.size else address

    @staticmethod
    def _part(region, address, size):
        """The largest power of two below `size` that this region takes at this address."""
        width = region.width if region is not None else 1
        part = 1
        while part * 2 < size and part * 2 <= width and address % (part * 2) == 0:
            part *= 2
        return part
