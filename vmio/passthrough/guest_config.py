"""The configuration space that a guest sees of a passed-through function, and the window it sees it through.

Identity and capabilities are the device's.  Its BARs are not: the guest writes
guest-physical addresses, which the real ones must never hold, so BARs and the memory
enable bit are a copy, and what the guest does to them moves its own mapping.  Bus
mastering, INTx and everything from 40h on go to the device.
Public source of the window: Linux drivers/pci/controller/pci-hyperv.c (hv_pcifront_read_config).
"""

from collections.abc import Callable

from vmio.devices.pci import header as h
from vmio.devices.pci.bar import BARS
from vmio.devices.pci.function import Identity, PciFunction
from vmio.machine.bus import BadAccess, all_ones
from vmio.vmbus.pci.vpci import CONFIG_PAGE

PASSED = h.COMMAND_MASTER | h.COMMAND_SERR | h.COMMAND_INTX_OFF


class GuestConfig(PciFunction):
    """Over the real function `real`; `on_bar(index, base)` as for any function, with guest-physical bases.

    The guest has the memory BARs only: vPCI gives it no ports.
    """

    def __init__(self, real: PciFunction, on_bar: Callable[[int, int | None], None]) -> None:
        def word(at: int) -> int:
            return real.get(at, 2)

        super().__init__(Identity(word(h.VENDOR), word(h.DEVICE), real.get(h.CLASS, 3), real.get(h.REVISION, 1),
                                  (word(h.SUBSYSTEM), word(h.SUBSYSTEM + 2))),
                         {index: bar for index, bar in real.bars.items() if not bar.io},
                         preset={at: real.get(at, 1) for at in (h.STATUS, h.STATUS + 1, h.HEADER_TYPE, h.CAPABILITIES)})
        self.on_bar, self.real = on_bar, real
        self.reads = self.writes = 0

    def read(self, offset: int, size: int) -> int:
        """Return configuration bytes as the guest is to see them: the header is the copy, what follows is the device's."""
        self.reads += 1
        ours = min(size, max(h.DEVICE_SPECIFIC - offset, 0))
        value = super().read(offset, ours) if ours else 0
        if ours < size:
            value |= self.real.read(offset + ours, size - ours) << 8 * ours
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """Take a guest's write: it goes to the copy, and what concerns the device to the device."""
        self.writes += 1
        if offset >= h.DEVICE_SPECIFIC:
            self.real.write(offset, size, value)
            return
        size = min(size, h.DEVICE_SPECIFIC - offset)
        super().write(offset, size, value & all_ones(size))
        if offset < h.COMMAND + 2 and offset + size > h.COMMAND:
            command = self.get(h.COMMAND, 2) & PASSED
            self.real.write(h.COMMAND, 2, self.real.get(h.COMMAND, 2) & ~PASSED | command)

    def probe(self) -> list[int]:
        """Return what each BAR register reads after all ones were written: a list of six."""
        values = [0] * BARS
        for index, bar in self.bars.items():
            values[index] = bar.probed & 0xFFFF_FFFF
            if bar.wide:
                values[index + 1] = bar.probed >> 32
        return values


class ConfigWindow:
    """The two pages: attach for `vpci.WINDOW` bytes, width=4.  `functions` maps a slot number to its `GuestConfig`."""

    def __init__(self, functions: dict[int, GuestConfig]) -> None:
        self.functions = functions
        self.slot = 0

    def read(self, offset: int, size: int) -> int:
        """Return the slot from page 0, that function's space from page 1; all ones where there is none."""
        if offset < CONFIG_PAGE:
            if offset:
                raise BadAccess(f"vpci window: nothing at {offset:#x}")
            return self.slot & all_ones(size)
        function = self.functions.get(self.slot)
        if function is None or offset - CONFIG_PAGE >= h.CONFIG_BYTES:
            raise BadAccess(f"vpci window: no function {self.slot:#x}, or not at {offset:#x}")
        return function.read(offset - CONFIG_PAGE, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Select a slot in page 0, or write that function's space in page 1."""
        if offset >= CONFIG_PAGE:
            function = self.functions.get(self.slot)
            if function is None or offset - CONFIG_PAGE >= h.CONFIG_BYTES:
                raise BadAccess(f"vpci window: no function {self.slot:#x}, or not at {offset:#x}")
            function.write(offset - CONFIG_PAGE, size, value)
        elif offset == 0 and size == 4:
            self.slot = value
        else:
            raise BadAccess(f"vpci window: a slot number is one dword at 0, not {size} bytes at {offset:#x}")
