"""The chip as a PCI function: its registers at ports (BAR 0) and in memory (BAR 1), INTA#.

Source: 21140A manual, 3.1 "Configuration Operation".
"""

from vmio.devices.net.tulip.tulip import BYTES, Tulip
from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import PciFunction


class TulipFunction(PciFunction):
    """A card in a PCI slot."""

    device: Tulip

    def __init__(self, tulip: Tulip) -> None:
        tulip.interrupt = self.set_interrupt
        super().__init__(tulip.chip.identity, {0: Bar(BYTES, io=True, registers=tulip), 1: Bar(BYTES, registers=tulip)}, device=tulip, pin=1)
