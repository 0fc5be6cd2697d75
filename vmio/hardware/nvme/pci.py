"""The NVMe controller as a PCI Express function: identity, BAR 0, MSI-X and INTx.

The capabilities sit where QEMU 7.2's `nvme` device has them: MSI-X at 40h, power
management at 60h, PCI Express at 80h.  Source: NVMe 1.4, 2 "System Bus Registers".
"""

from collections.abc import Sequence

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.express import Express
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.msix import MsixCapability
from vmio.devices.pci.power import PowerManagement
from vmio.devices.pci.wire import MSIX as MSIX_LAYOUT
from vmio.hardware.nvme.controller import BAR_BYTES, MSIX_PENDING, MSIX_TABLE, NvmeController
from vmio.machine.storage import SECTOR

DEVICE_ID = 0x0010
IDENTITY = Identity(0x1B36, DEVICE_ID, 0x010802, revision=2, subsystem=(0x1AF4, 0x1100))
MSIX = 0x40
MSIX_CONTROL = MSIX + MSIX_LAYOUT.at("control")[0]
ERASE_SECTORS = 2048                     # of one write of zeros


class NvmeFunction(PciFunction):
    """Configuration space that the controller obeys: bus mastering, MSI-X, INTx (without a `pin`, none)."""

    persistent = True                    # the medium
    device: NvmeController

    def __init__(self, controller: NvmeController, pin: int = 1, extended: Sequence[Capability] = ()) -> None:
        controller.drive_intx, controller.by_message = self.set_interrupt, False
        controller.msix.reset()          # a driver that finds it by PCI sets up MSI-X itself
        super().__init__(IDENTITY, {0: Bar(BAR_BYTES, wide=True, registers=controller)},
                         [MsixCapability(controller.msix, (0, MSIX_TABLE), (0, MSIX_PENDING), at=MSIX),
                          Express(at=0x80), PowerManagement(at=0x60), *extended], controller, pin)

    def obey(self) -> None:
        """MSI-X control says how the controller interrupts."""
        super().obey()
        self.device.update_intx()

    def scrub(self) -> None:
        """All sectors become zeros."""
        image = self.device.image
        for lba in range(0, image.sectors, ERASE_SECTORS):
            count = min(ERASE_SECTORS, image.sectors - lba)
            image.write(lba, bytes(SECTOR * count))
