"""The 82576 as PCI Express functions: the physical one with its SR-IOV capability, and the virtual ones.

Offsets of capabilities, and 80h and 2 from the physical function's requester id to the virtual ones', are as QEMU 10's `igb` has
them.  The physical function has no flash, no ports and no MSI here.
Source: Intel 82576EB data sheet, chapter 9 "PCIe Programming Interface".
"""

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.express import Express
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.msix import Msix, MsixCapability
from vmio.devices.pci.power import PowerManagement
from vmio.devices.pci.sriov import Sriov
from vmio.hardware.nic import adapter, virtual
from vmio.hardware.nic.adapter import Adapter82576
from vmio.hardware.nic.virtual import VirtualNic

INTEL, DEVICE_ID, VF_DEVICE_ID = 0x8086, 0x10C9, 0x10CA
ETHERNET = 0x020000
SUBSYSTEM = (INTEL, 0xA03C)
TABLES, PENDING, TABLES_BYTES = 0x0000, 0x2000, 0x4000         # of MSI-X, in BAR 3
TOTAL, OFFSET, STRIDE = 8, 0x80, 2
MSIX = 0x70


class MsixRegisters:
    """BAR 3: the table and the pending bits of `msix`, by whole words."""

    def __init__(self, msix: Msix) -> None:
        self.msix = msix

    def read(self, offset: int, size: int) -> int:
        """Return table or pending bits; 0 where neither is."""
        if size < 4 or offset & 3:
            return 0
        return self.msix.read_table(offset - TABLES, size) if offset < PENDING else self.msix.read_pending(offset - PENDING, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the table."""
        if size >= 4 and not offset & 3 and offset < PENDING:
            self.msix.write_table(offset - TABLES, size, value)


class VirtualFunction(PciFunction):
    """One VF.  Vendor and device id, FFFFh in a real one, are filled in from the physical function's capability, as software does."""

    device: VirtualNic

    def __init__(self, device: VirtualNic) -> None:
        msix = device.interrupts.msix
        super().__init__(Identity(INTEL, VF_DEVICE_ID, ETHERNET, revision=1, subsystem=SUBSYSTEM),
                         {0: Bar(virtual.BAR_BYTES, wide=True, prefetch=True, registers=device),
                          3: Bar(TABLES_BYTES, wide=True, prefetch=True, registers=MsixRegisters(msix))},
                         [MsixCapability(msix, (3, TABLES), (3, PENDING), at=MSIX), Express(at=0xA0)], device)

    def arrived(self, ns: int) -> None:
        """The guest's next store was made at `ns`."""
        self.device.clock.arrived(ns)


class PhysicalFunction(PciFunction):
    """The one that the host has; `sriov.functions` are the virtual ones that there are now."""

    device: Adapter82576

    def __init__(self, card: Adapter82576) -> None:
        msix = card.interrupts.msix
        self.sriov = Sriov(self._make, TOTAL, VF_DEVICE_ID, {0: Bar(virtual.BAR_BYTES, wide=True, prefetch=True),
                                                            3: Bar(TABLES_BYTES, wide=True, prefetch=True)}, OFFSET, STRIDE)
        super().__init__(Identity(INTEL, DEVICE_ID, ETHERNET, revision=1, subsystem=SUBSYSTEM),
                         {0: Bar(adapter.BAR_BYTES, registers=card), 3: Bar(TABLES_BYTES, registers=MsixRegisters(msix))},
                         [PowerManagement(at=0x40), MsixCapability(msix, (3, TABLES), (3, PENDING), at=MSIX), Express(at=0xA0),
                          self.sriov], card)

    def _make(self, count: int) -> list[VirtualFunction]:
        return [VirtualFunction(each) for each in self.device.make(count)]

    def obey(self) -> None:
        """The card switches for the virtual functions that there are now."""
        super().obey()
        self.device.functions = [each.device for each in self.sriov.functions if isinstance(each, VirtualFunction)]
