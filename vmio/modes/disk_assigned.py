"""A disk passed through: the guest's own NVMe driver on a function of the host's disk, behind an IOMMU domain."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.nvme_disk import Mapping, NvmeDisk
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import Rescinded
from vmio.drivers.vpci import VpciBus
from vmio.host.nvme import MAX_FUNCTIONS, AssignableNvme
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.recorded import kept
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import NEVER, Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.media.medium import grow
from vmio.machine.memory import PAGE
from vmio.modes.assigned import OnVirtualPci
from vmio.modes.platform import Platform
from vmio.passthrough import checkpoint as assignment
from vmio.passthrough import guest_iommu, virtual
from vmio.passthrough.assignment import assign
from vmio.passthrough.function import HostFunction
from vmio.passthrough.strategies import Lazy, Static, Strict
from vmio.vmbus.pci.vpci import LINUX_VERSIONS

ASSIGNED = Form("assigned disk", 1, "options", "lent")
ENTRIES = 256                       # of the guest's queue
ADMIN_VECTOR, IO_VECTOR = 0x40, 0x50    # of the guest's first device; the next one has the next two


class Assignable(NamedTuple):
    """A `function` that can be given to a guest, the `iommu` before it, and the `router` of its interrupts."""

    function: HostFunction
    machine: AssignableNvme

    @property
    def sectors(self) -> int:
        """The size of its medium."""
        return self.function.device.image.sectors

    def dispose(self) -> None:
        """The disk was made for one guest, which has it no more: take it out of the host."""
        self.machine.remove()


class AssignedDisk(OnVirtualPci):
    """`iommu` "off", "strict", "lazy" or "static"; `delivery` of interrupts "injected" or "posted"; or `polled`.

    `versions` of the virtual PCI bus's protocol are what its host speaks, `asks` what the guest's driver asks for, in its order.
    """

    driver_memory = 16 << 20
    in_memory = True
    for_each_vcpu = False

    def __init__(self, iommu: str = "static", delivery: str = "injected", polled: bool = False, asks: Sequence[int] = LINUX_VERSIONS,
                 versions: Sequence[int] = LINUX_VERSIONS) -> None:
        self.iommu_mode, self.delivery, self.polled, self.asks, self.versions = iommu, delivery, polled, asks, versions
        self.driver: NvmeDisk | None = None       # from `boot` on

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[Assignable]:
        """Return a function for each of the `media`: the physical one if it is alone, else virtual ones.

        ValueError for more media than there are virtual functions.
        """
        if len(media) > MAX_FUNCTIONS:
            raise ValueError(f"guests {len(media)}: passthrough has a virtual function for each, 1 to {MAX_FUNCTIONS}")
        machine = AssignableNvme(host, media)
        physical = machine.disk.function
        functions = [physical] if len(media) == 1 else virtual.enable(physical, len(media))
        return [Assignable(function, machine) for function in functions]

    def plug(self, platform: Platform, backend: Assignable) -> None:
        """Assign the function to the guest, in a domain of the guest's own."""
        self.platform, guest = platform, platform.guest
        self.function, self.iommu = backend.function, backend.machine.iommu
        bus, self.number = platform.bus, platform.number()
        self.domain = self.iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
        if self.iommu_mode == "static":
            self.domain.map_guest(guest)
        with self.undone_if_refused():
            self.lent = assign(self.function, guest, bus, backend.machine.router, self.domain, self.delivery, self.number)
        self.lent.vsp.versions = self.versions
        guest_iommu.serve(guest, self.iommu, self.domain)
        if self.iommu_mode != "off":
            self.iommu.enable()

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: nothing on the host sees the requests, and nobody but the disk lets this guest wait."""
        served((0, NEVER))

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the disk, its IOMMU and the router are the host's."""
        saving.assigned.add((self.platform.guest.name, self.function.name))
        return ASSIGNED.state(options=self._options, lent=assignment.save(self.lent))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = ASSIGNED.take(state)
        same("assigned disk, options", saved["options"], self._options)
        assignment.restore(self.lent, saved["lent"])

    @property
    def _options(self) -> list:
        return [self.iommu_mode, self.delivery, self.polled, list(self.asks), list(self.versions)]

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[NvmeDisk]:
        """Bus, function, BAR, interrupts, queues, where nearly all exits of this mode are; returns an `NvmeDisk`."""
        disk: NvmeDisk
        client, channel = yield from self.platform.channel(cpu, pages, self.lent.vsp)
        self.bus = bus = VpciBus(client, channel, self.platform.mmio, self.asks, on_gone=self.gone)
        yield from bus.init()
        function, = bus.functions
        function.enable()
        if not self.polled:
            yield from function.connect(0, ADMIN_VECTOR + self.number - 1, lambda cpu: None)
            yield from function.connect(1, IO_VECTOR + self.number - 1, lambda cpu: disk.interrupt(cpu))
        self.dma = self._strategy(cpu)
        size = memory_needed(ENTRIES)
        base = pages.take(size // PAGE)
        self._memory = pages, base, size // PAGE
        offset = self.dma.map(base, size) - base
        driver = NvmeDriver(cpu, function.bar(0), base, size, ENTRIES, vectors=None if self.polled else [1],
                            address=lambda at: at + offset)
        self.driver = disk = NvmeDisk(cpu, driver, self.dma, self.polled)
        yield from driver.init()
        return disk

    # While the guest runs; see `Removable` and `OnVirtualPci`.

    @staticmethod
    def later(host: Host, medium: SectorStore, ready: Callable[[Assignable], None]) -> None:
        """See `Removable`: a disk of the host's that nobody drives is there at once."""
        ready(AssignedDisk.backends(host, [medium])[0])

    def grow(self, sectors: int) -> None:
        """Let the namespace have so many sectors; the guest is told by an event, if its driver has asked for such."""
        controller = self.function.device
        grow(controller.image, sectors)
        controller.events.namespace_changed(controller.features.events)

    def stopped(self) -> Steps[None]:
        """All requests have been answered."""
        if self.driver is not None:
            yield from self.driver.drain()

    def gone(self) -> None:
        """What the disk had answered is taken, every other request has failed."""
        if self.driver is not None:
            self.driver.lose(Rescinded("NVMe: the host has taken the disk away"))

    def give_memory_back(self) -> None:
        """Queues and lists."""
        pages, at, number = self._memory
        pages.give_back(at, number)

    def _strategy(self, cpu: VCpu) -> Mapping:
        """Return how buffers come into the domain."""
        if self.iommu_mode == "off":
            return guest_iommu.Untranslated(self.platform.guest)
        if self.iommu_mode == "static":
            return Static(self.iommu_mode)
        kind = Strict if self.iommu_mode == "strict" else Lazy
        domain = kept(cpu, self.domain, "map", "unmap", "is_mapped")
        return kind(guest_iommu.GuestIommu(cpu), domain, self.platform.guest, cpu.compute, cpu.clock)
