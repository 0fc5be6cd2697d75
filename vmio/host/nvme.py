"""The host's NVMe disk as a PCI function behind the IOMMU: used by the host's own driver, or given to a guest."""

import struct
from collections.abc import Callable, Sequence

from simpy.events import Event

from vmio.devices.pci.header import COMMAND, COMMAND_MASTER, COMMAND_MEMORY
from vmio.devices.pci.wire import MSIX_ENABLE, MSIX_ENTRY
from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.hardware.nvme.controller import BAR_BYTES, MSIX_TABLE, NvmeController
from vmio.hardware.nvme.identify import SERIAL
from vmio.hardware.nvme.pci import MSIX_CONTROL
from vmio.hardware.nvme.sriov import PhysicalFunction
from vmio.host.block import BlockLayer
from vmio.host.physical import BAR, MediumTime, Volumes
from vmio.host.scheduler import Scheduler
from vmio.hypervisor.contracts import Root, Steps
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import Bus
from vmio.machine.contracts import SectorStore
from vmio.machine.media.medium import serial_of
from vmio.machine.memory import PAGE
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.function import HostFunction
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id

MAX_FUNCTIONS = 64     # virtual functions that the disk can make


class AssignableNvme:
    """An IOMMU on `host`, off until `iommu.enable()`, and behind it an NVMe disk that holds `media`.

    `disk` is the `HostNvme`, with these options; unless `used` no driver of the host's drives it.
    """

    def __init__(self, host: Root, media: Sequence[SectorStore], used: bool = False, arbitrated: bool = True, weights: Sequence[int] = (),
                 scheduler: Scheduler | None = None, window: float | None = None) -> None:
        self.host, self.iommu = host, Iommu(host.memory)
        self.router = InterruptRouter(host, self.iommu)
        medium = media[0] if len(media) == 1 else Volumes(media)
        self.disk = HostNvme(host, medium, self.iommu, self.router, used=used, total=MAX_FUNCTIONS,
                             parts=lambda image, count: media[:count], arbitrated=arbitrated, weights=weights,
                             scheduler=scheduler, window=window)

    def remove(self) -> None:
        """Take it out of the host, with an IOMMU that no other device is behind; ValueError while a guest has a part of it."""
        self.iommu.remove()
        self.router.remove()


class HostNvme:
    """An NVMe disk of `host` over `image`, at `slot` of bus 0.  `function` is what `assign` takes.

    `iommu` and `router` are the host's.  Unless `used` is False the host has a domain
    and a driver for it; `layer` is its block layer (`scheduler` and `window` are its options).  `parts` is how virtual
    functions share the medium, `weights` how they share its time (`PhysicalFunction`); unless
    it is `arbitrated`, the medium serves who comes first.
    """

    def __init__(self, host: Root, image: SectorStore, iommu: Iommu, router: InterruptRouter, slot: int = 3, used: bool = True,
                 entries: int = 256, total: int = 64, parts: Callable[[SectorStore, int], Sequence[SectorStore]] | None = None,
                 arbitrated: bool = True, weights: Sequence[int] = (), scheduler: Scheduler | None = None,
                 window: float | None = None) -> None:
        self.host, self.router, self.entries, self.used = host, router, entries, used
        self.layer = BlockLayer(host, None, scheduler, window=window)
        self.layer.close("the host has no driver for it")
        self._starting = False
        bus = Bus("host MMIO", 1 << 48)
        self.cpu = HostCpu(host, bus)
        self.medium = medium = MediumTime(host)
        self.controller = NvmeController(medium.clock, host.memory, image, lambda vector: None, medium.service, serial=serial_of(image, SERIAL))
        pci = PhysicalFunction(self.controller, total, parts=parts, window=medium.window() if arbitrated else None, at=medium.at, weights=weights)
        self.arbiter = pci.arbiter
        bus.attach(BAR, BAR_BYTES, self.controller, "nvme", width=4)
        self.function = HostFunction("nvme0", requester_id(0, slot), pci, iommu, self, arrived=medium.clock.arrived)
        self._memory: int | None = None       # SPA of the driver's queues, once it has some
        if used:
            everything = iommu.domain()
            everything.map(0, 0, host.memory.size)
            iommu.attach(self.function.requester, everything)
            host.env.run(until=self.take_up())

    def let_go(self, reason: str) -> None:
        """Stop the host's driver; the block layer refuses.  ValueError while it has requests, or the driver starts."""
        if self._starting:
            raise ValueError("its driver is starting; let it end first")
        self.layer.close(reason)

    def take_up(self) -> Event | None:
        """Return the host's driver, if there is one, takes the device again; the event when `layer` takes requests."""
        self._starting = self.used
        self.layer.close("the host's driver is starting" if self.used else "the host has no driver for it")
        return self.host.env.process(self._bring_up()) if self.used else None

    def _bring_up(self) -> Steps:
        """Configuration, two interrupts, queues."""
        function, needed = self.function, memory_needed(self.entries)
        function.pci.write(COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER)
        for entry, call in enumerate((self.cpu.interrupt, self.layer.interrupt)):
            address, data = self.router.create_for(function.requester, call)
            for at, value in enumerate(struct.unpack("<4I", MSIX_ENTRY.pack(address=address, data=data))):
                self.cpu.store(BAR + MSIX_TABLE + MSIX_ENTRY.size * entry + 4 * at, 4, value)
        function.pci.write(MSIX_CONTROL, 2, MSIX_ENABLE)
        self._memory = self._memory or self.host.memory.allocate(needed // PAGE)
        driver = NvmeDriver(self.cpu, BAR, self._memory, needed, self.entries, vectors=[1])
        yield from driver.init()
        self._starting = False
        self.layer.reopen(driver)
