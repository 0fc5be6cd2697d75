"""The host's own processor, as a driver sees it: physical memory and device registers, no exits."""

from simpy.events import Event

from vmio.hypervisor.contracts import Root, Steps
from vmio.machine.bus import Bus, Region, all_ones


class HostCpu:
    """`host`'s memory by SPA, and `bus` (a `Bus`) above it, where the host's devices answer.

    A driver written for a guest's `VCpu` runs on this one unchanged.
    """

    def __init__(self, host: Root, bus: Bus) -> None:
        self.host, self.bus, self.env = host, bus, host.env
        self.ram = host.memory.size
        self.read, self.write = host.memory.read, host.memory.write
        self._wake: Event | None = None
        self._known: dict[tuple[int, int], Region] = {}      # (address, size) of a store -> who takes it
        bus.on_change.append(self._known.clear)

    @property
    def now(self) -> int:
        """Time in ns."""
        return self.env.now

    def load(self, address: int, size: int) -> int:
        """Return `size` bytes, little-endian, from RAM or from a device."""
        if address < self.ram:
            return int.from_bytes(self.read(address, size), "little")
        return self.bus.read(address, size)

    def store(self, address: int, size: int, value: int) -> None:
        """Store `size` bytes in RAM or in a device; ValueError for a value that does not fit."""
        if value >> 8 * size:
            raise ValueError(f"store to {address:#x}: value {value}; 0 to {all_ones(size)} fits in {size} byte(s)")
        if address < self.ram:
            self.write(address, value.to_bytes(size, "little"))
        elif (region := self._known.get((address, size)) or self._find(address, size)) is not None:
            region.write(address, size, value)
        else:
            self.bus.write(address, size, value)

    def _find(self, address: int, size: int) -> Region | None:
        """Who takes all of this access, if somebody does: remembered, for drivers ring the same doorbells again and again."""
        region = self.bus.whole(address, size)
        if region is not None:
            self._known[address, size] = region
        return region

    def interrupt(self, vector: int = 0) -> None:
        """Take a device's message: it wakes who waits in `hlt`."""
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed()

    def hlt(self, timeout_ns: int | None = None, watchdog_ns: int | None = None) -> Steps[bool]:
        """Wait for an interrupt (`yield from cpu.hlt()`): True, or False when one of the two times was up first."""
        times = [ns for ns in (timeout_ns, watchdog_ns) if ns is not None]
        wake = self._wake
        if wake is None or wake.triggered:
            wake = self._wake = self.env.event()
        yield wake | self.env.timeout(min(times)) if times else wake
        return wake.triggered
