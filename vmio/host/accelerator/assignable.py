"""The host's matrix engine behind the IOMMU, to be given to guests: the whole of it to one, or a virtual function to each."""

from typing import NamedTuple

from vmio.hardware.accelerator.engine import Engine
from vmio.hardware.accelerator.pci import MAX_FUNCTIONS, PhysicalFunction
from vmio.host.clock import HostClock
from vmio.hypervisor.contracts import Root
from vmio.passthrough import virtual
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.function import HostFunction
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id


class AcceleratorPlace(NamedTuple):
    """A `function` that can be given to a guest, and the `machine` (a `HostAccelerator`) that it is of."""

    function: HostFunction
    machine: "HostAccelerator"


class HostAccelerator:
    """A matrix engine of `host` with so many virtual functions (0: it is given away whole); the host has no driver for it.

    `places` are what an attachment has as its backend.  There is an IOMMU before it, off until `iommu.enable()`.
    ValueError for more functions than it can make.
    """

    def __init__(self, host: Root, functions: int = 0, slot: int = 5) -> None:
        if not 0 <= functions <= MAX_FUNCTIONS:
            raise ValueError(f"virtual functions of a matrix engine: {functions}; 0 to {MAX_FUNCTIONS}")
        self.host, self.iommu = host, Iommu(host.memory)
        self.router = InterruptRouter(host, self.iommu)
        self.engine = Engine(HostClock(host.env))
        pci = PhysicalFunction(self.engine, lambda: HostClock(host.env))
        self.function = HostFunction("accel0", requester_id(0, slot), pci, self.iommu)
        given = virtual.enable(self.function, functions) if functions else [self.function]
        self.places = [AcceleratorPlace(each, self) for each in given]
