"""The configuration space that a guest sees of a passed-through function, and the window it sees it through.

Identity and capabilities are the device's.  Its BARs are not: the guest writes
guest-physical addresses, which the real ones must never hold, so BARs and the memory
enable bit are a copy, and what the guest does to them moves its own mapping.  Bus
mastering, INTx and everything from 40h on go to the device.
Public source of the window: Linux drivers/pci/controller/pci-hyperv.c (hv_pcifront_read_config).
"""

from vmio.devices.pci import config as pci
from vmio.machine.bus import BadAccess, all_ones
from vmio.vmbus.pci.vpci import CONFIG_PAGE

PASSED = pci.COMMAND_MASTER | pci.COMMAND_SERR | pci.COMMAND_INTX_OFF


class GuestConfig(pci.PciFunction):
    """Over the real function `real`; `on_bar(index, base)` as for any function, with guest-physical bases."""

    def __init__(self, real, on_bar):
        def word(at):
            return real.get(at, 2)

        super().__init__(word(pci.VENDOR), word(pci.DEVICE), real.get(pci.CLASS, 3), real.config[pci.REVISION],
                         (word(pci.SUBSYSTEM), word(pci.SUBSYSTEM + 2)), real.config[pci.HEADER_TYPE],
                         word(pci.STATUS), real.bars, pin=0, on_bar=on_bar,
                         preset={pci.CAPABILITIES: real.config[pci.CAPABILITIES]})
        self.real = real
        self.reads = self.writes = 0

    def read(self, offset, size):
        """Configuration bytes as the guest is to see them."""
        self.reads += 1
        self.config[pci.DEVICE_SPECIFIC:] = self.real.config[pci.DEVICE_SPECIFIC:]
        return super().read(offset, size)

    def write(self, offset, size, value):
        """A guest's write: to the copy, and what concerns the device to the device."""
        self.writes += 1
        if offset >= pci.DEVICE_SPECIFIC:
            self.real.write(offset, size, value)
            return
        size = min(size, pci.DEVICE_SPECIFIC - offset)
        super().write(offset, size, value & all_ones(size))
        if offset < pci.COMMAND + 2 and offset + size > pci.COMMAND:
            command = self.get(pci.COMMAND, 2) & PASSED
            self.real.write(pci.COMMAND, 2, self.real.get(pci.COMMAND, 2) & ~PASSED | command)

    def probe(self):
        """What each BAR register reads after all ones were written: a list of six."""
        values = [0] * pci.BARS
        for index, bar in self.bars.items():
            mask = -bar.size % (1 << 8 * bar.width) | bar.kind
            values[index] = mask & 0xFFFF_FFFF
            if bar.wide:
                values[index + 1] = mask >> 32
        return values


class ConfigWindow:
    """The two pages: attach for `vpci.WINDOW` bytes, width=4.  `functions` maps a slot number to its `GuestConfig`."""

    def __init__(self, functions):
        self.functions = functions
        self.slot = 0

    def read(self, offset, size):
        """Page 0: the slot; page 1: that function's space.  All ones where there is none."""
        if offset < CONFIG_PAGE:
            if offset:
                raise BadAccess(f"vpci window: nothing at {offset:#x}")
            return self.slot & all_ones(size)
        function = self.functions.get(self.slot)
        if function is None or offset - CONFIG_PAGE >= pci.CONFIG_BYTES:
            raise BadAccess(f"vpci window: no function {self.slot:#x}, or not at {offset:#x}")
        return function.read(offset - CONFIG_PAGE, size)

    def write(self, offset, size, value):
        """Page 0: select a slot; page 1: write that function's space."""
        if offset >= CONFIG_PAGE:
            function = self.functions.get(self.slot)
            if function is None or offset - CONFIG_PAGE >= pci.CONFIG_BYTES:
                raise BadAccess(f"vpci window: no function {self.slot:#x}, or not at {offset:#x}")
            function.write(offset - CONFIG_PAGE, size, value)
        elif offset == 0 and size == 4:
            self.slot = value
        else:
            raise BadAccess(f"vpci window: a slot number is one dword at 0, not {size} bytes at {offset:#x}")
