"""`edu` as a PCI function: identity, BAR 0, one message-signalled interrupt.

Source: QEMU, docs/specs/edu; PCI Local Bus Specification 3.0, 6.8.1 "MSI Capability
Structure"; what QEMU 7.2 shows in configuration space.
"""

from vmio.devices.pci.bus_master import BusMaster
from vmio.devices.pci.config import CAPABILITIES, Bar
from vmio.hardware.edu import BAR_BYTES
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

MSI = 0x40


class EduFunction(BusMaster):
    """`edu` in a PCI slot: 1234h:11E8h, BAR 0, INTA#, one MSI of 64 bits.

    `intx` is its pin, a `Line`; `on_bar(0, base)` tells where the registers
    answer; `send(address, data)` carries its MSI, as a memory write of the function's.
    """

    def __init__(self, edu, intx=None, on_bar=None, send=None):
        self.edu, self.send = edu, send or (lambda address, data: None)
        preset = {CAPABILITIES: MSI, MSI: 0x05, MSI + 2: 0x80}
        super().__init__(edu, 0x1234, 0x11E8, 0x00FF00, revision=0x10, subsystem=(0x1AF4, 0x1100), status=0x0010,
                         bars={0: Bar(BAR_BYTES)}, pin=1, on_bar=on_bar, intx=intx, preset=preset)
        self.writable[MSI:MSI + 14] = bytes(14)
        self.writable[MSI + 2] = 0x71            # enable, and how many vectors software would like
        for at in range(MSI + 4, MSI + 14):
            self.writable[at] = 0xFC if at == MSI + 4 else 0xFF
        edu.interrupt, edu.message = self.set_interrupt, self._message
        self._obey()

    def _obey(self):
        super()._obey()
        self.edu.by_message = bool(self.config[MSI + 2] & 1)
        if self.edu.by_message:
            self.config[MSI + 2] &= ~0x70        # it gets one

    def _message(self):
        try:
            if self.is_master:
                self.send(self.get(MSI + 4, 8), self.get(MSI + 12, 2))
        except (TranslationFault, MemoryFault):
            self.edu.faults += 1                 # refused: nobody hears of it
