"""A PCI function whose device moves data by itself: what the command register and a reset mean to it.

Source: PCI Local Bus Specification 3.0, 6.2.2 "Device Control" (bit 2, bus master).
"""

from vmio.devices.pci.config import PciFunction
from vmio.machine.memory import MemoryFault


class BusMaster(PciFunction):
    """Configuration space that `device` obeys: `device.memory` is what its DMA reaches, `device.reset()` is RST#.

    The other arguments are `PciFunction`'s.  A subclass calls `_obey()` when it is made.
    """

    def __init__(self, device, *identity, **options):
        self._device, self._memory = device, device.memory
        super().__init__(*identity, **options)

    def write(self, offset, size, value):
        """Configuration write; the device follows at once."""
        super().write(offset, size, value)
        self._obey()

    def reset(self):
        """RST# resets the device too."""
        self._device.reset()
        super().reset()
        self._obey()

    def reach(self, memory):
        """From now on DMA goes to `memory`: the function has changed hands, or has been put behind an IOMMU."""
        self._memory = memory
        self._obey()

    def restore(self, state):
        """Take over what `save` gave."""
        super().restore(state)
        self._obey()

    def _obey(self):
        """Command register bit 2 lets the device reach memory."""
        self._device.memory = self._memory if self.is_master else NoMemory


class NoMemory:
    """What DMA reaches without bus mastering: nothing."""

    @staticmethod
    def read(address, length):
        """Always `MemoryFault`."""
        raise MemoryFault(f"DMA read of {length} bytes at {address:#x}: the function is no bus master")

    @staticmethod
    def write(address, data):
        """Always `MemoryFault`."""
        raise MemoryFault(f"DMA write of {len(data)} bytes at {address:#x}: the function is no bus master")
