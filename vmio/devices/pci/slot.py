"""What a board wires to a PCI function: BARs that come and go on its buses, and the pin of its interrupt.

Source: PCI Local Bus Specification 2.1, 2.2.6 "Interrupt Pins" (a board may rotate them from slot to slot).
"""

from collections.abc import Callable

from vmio.devices.pci.function import PciFunction
from vmio.devices.pci.header import INTERRUPT_PIN
from vmio.machine.bus import Bus, Region
from vmio.machine.lines import Line

PINS = "ABCD"


def connect_bars(function: PciFunction, io: Bus, mmio: Bus, name: str) -> None:
    """Let the BARs of `function` answer on a board's buses, where software puts them.

    Where somebody answers already a BAR does not: who came first keeps the addresses.
    """
    regions: dict[int, Region] = {}

    def follow(index: int, base: int | None) -> None:
        bar = function.bars[index]
        bus = io if bar.io else mmio
        if index in regions:
            bus.detach(regions.pop(index))
        if base is not None and bus.is_free(base, bar.size):
            regions[index] = bus.attach(base, bar.size, bar.registers, name, width=bar.width)
    function.on_bar = follow


def connect_pin(function: PciFunction, slot: int, number: int, sink: Callable[[int, int], None]) -> None:
    """Let the interrupt pin of function `number` in a slot call `sink(pin, level)`, `pin` 0 for INTA#; nothing without one."""
    pin = function.header.get(INTERRUPT_PIN, 1)
    if pin:
        function.intx = line = Line(f"slot {slot} INT{PINS[pin - 1]}#" if not number else f"slot {slot}.{number} INT{PINS[pin - 1]}#")
        line.connect(lambda level: sink(pin - 1, level))
