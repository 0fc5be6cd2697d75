"""`edu` as a PCI function: identity, BAR 0, INTA#, one message-signalled interrupt.

Source: QEMU, docs/specs/edu; what QEMU 7.2 shows in configuration space.
"""

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.msi import Msi
from vmio.hardware.edu import BAR_BYTES, Edu

IDENTITY = Identity(0x1234, 0x11E8, 0x00FF00, revision=0x10, subsystem=(0x1AF4, 0x1100))
MSI = 0x40


class EduFunction(PciFunction):
    """`edu` in a PCI slot; it interrupts by message once MSI is enabled, else by its pin."""

    device: Edu

    def __init__(self, edu: Edu) -> None:
        self._msi = Msi(at=MSI)
        edu.interrupt, edu.message = self.set_interrupt, self._msi.notify
        super().__init__(IDENTITY, {0: Bar(BAR_BYTES, registers=edu, width=8)}, [self._msi], edu, pin=1)

    def obey(self) -> None:
        """MSI's control says how `edu` interrupts."""
        super().obey()
        self.device.by_message = self._msi.enabled
