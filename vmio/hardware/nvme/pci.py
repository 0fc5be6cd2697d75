"""The NVMe controller as a PCI Express function: identity, BAR 0, MSI-X and INTx.

The capabilities sit where QEMU 7.2's `nvme` device has them: MSI-X at 40h, power
management at 60h, PCI Express at 80h.  Source: NVMe 1.4, 2 "System Bus Registers".
"""

from vmio.devices.pci.bus_master import BusMaster
from vmio.devices.pci.config import CAPABILITIES, Bar
from vmio.hardware.nvme.controller import BAR_BYTES, MSIX_PENDING, MSIX_TABLE

CLASS_NVME = 0x010802
MSIX, POWER, EXPRESS = 0x40, 0x60, 0x80
MSIX_CONTROL = MSIX + 3                  # bit 7 enable, bit 6 function mask
HAS_CAPABILITIES = 0x0010                # of the status register


class NvmeFunction(BusMaster):
    """Configuration space that the controller obeys: bus mastering, MSI-X, INTx."""

    def __init__(self, controller, intx=None, on_bar=None):
        self.controller = controller
        super().__init__(controller, 0x1B36, 0x0010, CLASS_NVME, revision=2, subsystem=(0x1AF4, 0x1100),
                         status=HAS_CAPABILITIES, bars={0: Bar(BAR_BYTES, wide=True)}, pin=1, on_bar=on_bar, intx=intx,
                         preset=_capabilities(controller.vectors))
        for start, end, writable in ((MSIX, MSIX + 12, {MSIX_CONTROL: 0xC0}), (POWER, POWER + 8, {POWER + 4: 3}),
                                     (EXPRESS, EXPRESS + 0x3C, {EXPRESS + 0x29: 0x80})):
            self.writable[start:end] = bytes(end - start)
            for at, mask in writable.items():
                self.writable[at] = mask
        self.write_1_to_clear[7] = 0
        controller.drive_intx, controller.by_message = self.set_interrupt, False
        controller.msix.reset()      # a driver that finds it by PCI sets up MSI-X itself
        self._obey()

    def _obey(self):
        """MSI-X control says how the controller interrupts."""
        super()._obey()
        control = self.config[MSIX_CONTROL]
        self.controller.msix.control(bool(control & 0x80), bool(control & 0x40))
        self.controller.update_intx()


def _capabilities(vectors):
    words = {CAPABILITIES: MSIX,
             MSIX: EXPRESS << 8 | 0x11 | vectors - 1 << 16, MSIX + 4: MSIX_TABLE, MSIX + 8: MSIX_PENDING,
             POWER: 0x0003_0001, POWER + 4: 0x0008,
             EXPRESS: 0x0002_0010 | POWER << 8, EXPRESS + 4: 0x1000_8000, EXPRESS + 0xC: 0x0411,
             EXPRESS + 0x10: 0x0011_0000, EXPRESS + 0x24: 0x0030_0000}
    return {at + n: value >> 8 * n & 0xFF for at, value in words.items() for n in range(4)}


def pci_function(controller, intx=None, on_bar=None):
    """The function to plug in: `PciHost.add(slot, 0, pci_function(...))`.

    `intx` is its interrupt pin, a `Line`; `on_bar(0, base)` tells where the
    controller's registers answer, None if nowhere.
    """
    return NvmeFunction(controller, intx, on_bar)
