"""The host's own processor, as a driver sees it: physical memory and device registers, no exits."""

from vmio.machine.bus import all_ones


class HostCpu:
    """`host`'s memory by SPA, and `bus` (a `Bus`) above it, where the host's devices answer.

    A driver written for a guest's `VCpu` runs on this one unchanged.
    """

    def __init__(self, host, bus):
        self.host, self.bus, self.env = host, bus, host.env
        self.ram = host.memory.size
        self.read, self.write = host.memory.read, host.memory.write
        self._wake = None

    @property
    def now(self):
        """Time in ns."""
        return self.env.now

    def load(self, address, size):
        """`size` bytes, little-endian, from RAM or from a device."""
        if address < self.ram:
            return int.from_bytes(self.read(address, size), "little")
        return self.bus.read(address, size)

    def store(self, address, size, value):
        """Store `size` bytes in RAM or in a device; ValueError for a value that does not fit."""
        if value >> 8 * size:
            raise ValueError(f"store to {address:#x}: value {value}; 0 to {all_ones(size)} fits in {size} byte(s)")
        if address < self.ram:
            self.write(address, value.to_bytes(size, "little"))
        else:
            self.bus.write(address, size, value)

    def interrupt(self, vector=0):
        """A device's message: wakes who waits in `hlt`."""
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed()

    def hlt(self, timeout_ns=None):
        """Wait for an interrupt (`yield from cpu.hlt()`): True, or False when `timeout_ns` was up first."""
        if self._wake is None or self._wake.triggered:
            self._wake = self.env.event()
        wake = self._wake
        yield wake if timeout_ns is None else wake | self.env.timeout(timeout_ns)
        return wake.triggered
