"""What a board wires to a PCI function: BARs that come and go on its buses, and the pin of its interrupt.

Source: PCI Local Bus Specification 2.1, 2.2.6 "Interrupt Pins" (a board may rotate them from slot to slot).
"""

from collections.abc import Callable

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import PciFunction
from vmio.devices.pci.header import INTERRUPT_PIN
from vmio.machine.bus import Bus, Region
from vmio.machine.contracts import Device
from vmio.machine.lines import Line

PINS = "ABCD"


def connect_bars(function: PciFunction, io: Bus, mmio: Bus, name: str) -> None:
    """Let the BARs of `function` answer on a board's buses, where software puts them.

    Where somebody answers already a BAR does not: who came first keeps the addresses.
    """
    regions: dict[int, list[Region]] = {}

    def follow(index: int, base: int | None) -> None:
        bar = function.bars[index]
        bus = io if bar.io else mmio
        for region in regions.pop(index, []):
            bus.detach(region)
        if base is not None and bus.is_free(base, bar.size):
            regions[index] = [bus.attach(base + at, size, Part(bar.registers, at) if at else bar.registers, name + suffix, bar.width, handler)
                              for at, size, suffix, handler in _parts(bar)]
    function.on_bar = follow


def _parts(bar: Bar) -> list[tuple[int, int, str, str]]:
    """(offset, bytes, end of the name, handler) of what a BAR is on a bus: one region, or three with doorbells in the middle."""
    if bar.doorbells is None:
        return [(0, bar.size, "", "worker")]
    at, size = bar.doorbells
    parts = [(0, at, "", "worker"), (at, size, " doorbell", "hypervisor"), (at + size, bar.size - at - size, "", "worker")]
    return [part for part in parts if part[1]]


class Part:
    """The registers of `device` from `offset` on."""

    def __init__(self, device: Device, offset: int) -> None:
        self.device, self.offset = device, offset

    def read(self, offset: int, size: int) -> int:
        """See `Device`."""
        return self.device.read(self.offset + offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """See `Device`."""
        self.device.write(self.offset + offset, size, value)


def connect_pin(function: PciFunction, slot: int, number: int, sink: Callable[[int, int], None]) -> None:
    """Let the interrupt pin of function `number` in a slot call `sink(pin, level)`, `pin` 0 for INTA#; nothing without one."""
    pin = function.header.get(INTERRUPT_PIN, 1)
    if pin:
        function.intx = line = Line(f"slot {slot} INT{PINS[pin - 1]}#" if not number else f"slot {slot}.{number} INT{PINS[pin - 1]}#")
        line.connect(lambda level: sink(pin - 1, level))
