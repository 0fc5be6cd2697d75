"""The matrix engine as PCI Express functions: the physical one with its SR-IOV capability, and the virtual ones.

A virtual function has registers, a ring and on-chip memory of its own; the multipliers are shared (`engine.py`).
Source: PCI Code and ID Assignment Specification 1.11, base class 12h "Processing accelerators"; the ids are nobody's: 1234h is
what QEMU's own devices use.
"""

from collections.abc import Callable
from typing import Protocol

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.express import Express
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.msix import MsixCapability
from vmio.devices.pci.sriov import Sriov
from vmio.hardware.accelerator.engine import Engine
from vmio.hardware.accelerator.function import EngineFunction
from vmio.hardware.accelerator.registers import BAR_BYTES, PENDING, TABLE
from vmio.machine.contracts import Timers

DEVICE_ID, VF_DEVICE_ID, MAX_FUNCTIONS = 0x4D58, 0x4D59, 8
MSIX, EXPRESS = 0x40, 0x60


class DeviceClock(Timers, Protocol):
    """A clock of the host's, which a guest's store may push on."""

    def arrived(self, ns: int) -> None:
        """What comes now was asked for at `ns`."""


def _identity(device: int) -> Identity:
    return Identity(0x1234, device, 0x120000, revision=1, subsystem=(0x1234, DEVICE_ID))


class AcceleratorFunction(PciFunction):
    """A function of the matrix engine; its MSI-X table has one vector."""

    device: EngineFunction

    def __init__(self, function: EngineFunction, device_id: int = DEVICE_ID, sriov: Sriov | None = None,
                 arrived: Callable[[int], None] | None = None) -> None:
        self._arrived = arrived
        super().__init__(_identity(device_id), {0: Bar(BAR_BYTES, wide=True, registers=function)},
                         [MsixCapability(function.msix, (0, TABLE), (0, PENDING), at=MSIX), Express(at=EXPRESS),
                          *([sriov] if sriov else [])], function)

    def arrived(self, ns: int) -> None:
        """The guest's next store was made at `ns`."""
        if self._arrived is not None:
            self._arrived(ns)


class PhysicalFunction(AcceleratorFunction):
    """The one that the host has; `sriov.functions` are the virtual ones that there are now.

    `clock()` makes a clock for each function.
    """

    def __init__(self, engine: Engine, clock: Callable[[], DeviceClock]) -> None:
        self.engine, self._clock = engine, clock
        self.sriov = Sriov(self._make, MAX_FUNCTIONS, VF_DEVICE_ID, {0: Bar(BAR_BYTES, wide=True)})
        own = clock()
        super().__init__(EngineFunction(engine, own), sriov=self.sriov, arrived=own.arrived)

    def _make(self, count: int) -> list[AcceleratorFunction]:
        clocks = [self._clock() for _ in range(count)]
        return [AcceleratorFunction(EngineFunction(self.engine, each), VF_DEVICE_ID, arrived=each.arrived) for each in clocks]
