"""The registers of a virtio device by what they are for, through either transport: so an attack is written once.

Source: VIRTIO 1.2, 4.1.4.3 "Common configuration structure layout", 4.2.2 "MMIO Device Register Layout".
"""

from typing import Protocol

from vmio.devices.pci.function import PciFunction
from vmio.machine.contracts import Memory
from vmio.machine.lines import Line
from vmio.virtio import pci_wire as p
from vmio.virtio.device import VirtioDevice
from vmio.virtio.mmio import CONFIG, REGISTERS, VirtioMmio
from vmio.virtio.pci import VirtioFunction

PARTS = ("descriptors", "driver", "device")
_PCI = {"status": "device_status", "half": "driver_feature_select", "features": "driver_feature", "select": "queue_select", "size": "queue_size",
        "enable": "queue_enable", "descriptors": "queue_desc", "driver": "queue_driver", "device": "queue_device", "vector": "queue_msix_vector"}
_MMIO = {"status": "status", "half": "driver_features_sel", "features": "driver_features", "select": "queue_sel", "size": "queue_num",
         "enable": "queue_ready", "descriptors": "queue_desc_low", "driver": "queue_driver_low", "device": "queue_device_low"}


class Answering(Protocol):
    """What answers at the registers' offsets."""

    def read(self, offset: int, size: int, /) -> int:
        """Return a register."""

    def write(self, offset: int, size: int, value: int, /) -> None:
        """Write a register."""


class Door:
    """Registers by name: those of `_PCI`; each is written whole, and one of 64 bits in halves."""

    def __init__(self, registers: Answering, at: dict[str, tuple[int, int]], config_at: int, kick_at: int, step: int,
                 function: PciFunction | None = None) -> None:
        self.registers, self.at, self.function = registers, at, function
        self._config_at, self._kick_at, self._step = config_at, kick_at, step

    def get(self, what: str) -> int:
        """Return a register."""
        return self.registers.read(*self.at[what])

    def put(self, what: str, value: int) -> None:
        """Write a register; a part of a queue gets its address in two halves."""
        offset, size = self.at[what]
        self.registers.write(offset, size, value & (1 << 8 * size) - 1)
        if what in PARTS:
            self.registers.write(offset + 4, size, value >> 32)

    def kick(self, number: int) -> None:
        """Say that a queue has something."""
        self.registers.write(self._kick_at + self._step * number, 4, number)

    def config(self, offset: int, size: int) -> int:
        """Return `size` bytes of the device's own configuration."""
        return self.registers.read(self._config_at + offset, size)


def through_pci(device: VirtioDevice, memory: Memory) -> Door:
    """Return a door through a PCI function's BAR 4; its DMA reaches `memory`."""
    function = VirtioFunction(device)
    function.reach(memory)
    function.write(4, 2, 6)                    # it answers, and may use memory; where messages would go there is none
    at = {what: (p.COMMON_CONFIG.by_name[name].offset, min(p.COMMON_CONFIG.by_name[name].size, 4)) for what, name in _PCI.items()}
    registers = function.bars[p.BAR].registers
    assert registers is not None
    return Door(registers, at, p.DEVICE_AT, p.NOTIFY_AT, p.MULTIPLIER, function)


def through_mmio(device: VirtioDevice, memory: Memory) -> Door:
    """Return a door at an address of its own; its DMA reaches `memory`."""
    device.memory = memory
    at = {what: (REGISTERS.by_name[name].offset, 4) for what, name in _MMIO.items()}
    return Door(VirtioMmio(device, Line()), at, CONFIG, REGISTERS.by_name["queue_notify"].offset, 0)


DOORS = {"pci": through_pci, "mmio": through_mmio}
