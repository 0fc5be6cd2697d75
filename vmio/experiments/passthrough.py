"""The requests of a disk workload on a device that was given to the guest: its own NVMe driver, no host in between.

One guest gets the host's NVMe disk itself; several get a virtual function each.
"""

from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.nvme_disk import NvmeDisk
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.drivers.vpci import VpciBus
from vmio.experiments.disk import result
from vmio.experiments.queued import BUFFERS, DRIVER_PAGES, QueuedRun, room
from vmio.host.nvme import HostNvme
from vmio.host.physical import Volumes
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.clock import NEVER
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.passthrough import guest_iommu, virtual
from vmio.passthrough.assignment import assign
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.strategies import Lazy, Static, Strict
from vmio.vmbus.bus.server import VmbusServer

MMIO = 1 << 36                      # guest-physical: where the guest has room for windows and BARs
MMIO_BYTES = 1 << 24
ENTRIES = 256                       # of the guest's queue
MOST_GUESTS = 64                    # virtual functions that the disk can make
ADMIN_VECTOR, IO_VECTOR = 0x40, 0x50


def run_passthrough(params, requests, image):
    """Run `requests` in each guest, on its own difference disk over `image`; a `DiskResult`.

    ValueError for more guests than there are virtual functions.
    """
    if params.guests > MOST_GUESTS:
        raise ValueError(f"guests {params.guests}: passthrough has a virtual function for each, 1 to {MOST_GUESTS}")
    size, depth, ram_mib = room(params, requests)
    host = Host(memory_mib=params.guests * (ram_mib + 4) + 32, costs=CostModel.preset(params.costs),
                cores=params.host_cores)
    media = [Overlay(image) for _ in range(params.guests)]
    machine = Machine(host, media)
    functions = [machine.disk.function] if len(media) == 1 else virtual.enable(machine.disk.function, len(media))
    runs = [PassthroughRun(machine, params, medium, requests, ram_mib, function, depth, size)
            for medium, function in zip(media, functions)]
    if params.iommu != "off":
        machine.iommu.enable()
    host.run(*[(run.cpu, run.program) for run in runs])
    return result(params, requests, runs)


class Machine:
    """A host with an IOMMU, off until `iommu.enable()`, and an NVMe disk that holds `media`, which no driver uses yet."""

    def __init__(self, host, media, used=False):
        self.host, self.iommu = host, Iommu(host.memory)
        self.router = InterruptRouter(host, self.iommu)
        medium = media[0] if len(media) == 1 else Volumes(media)
        self.disk = HostNvme(host, medium, self.iommu, self.router, used=used, total=MOST_GUESTS,
                             parts=lambda image, count: media[:count])


class PassthroughRun(QueuedRun):
    """One guest with its bus, the device that was assigned to it, and its driver."""

    def __init__(self, machine, params, image, requests, ram_mib, function, depth, size):
        super().__init__(machine.host, params, image, requests, ram_mib, depth, size)
        self.function, self.iommu = function, machine.iommu
        enable_enlightenments(self.guest)
        self.domain = self.iommu.domain(allowed=[(self.guest.ram_spa(0), self.guest.ram)])
        if params.iommu == "static":
            self.domain.map_guest(self.guest)
        guest_iommu.serve(self.guest, self.iommu, self.domain)
        self.lent = assign(function, self.guest, VmbusServer(self.guest), machine.router, self.domain, params.delivery)
        self.dma = None
        self.device_spans.append((0, NEVER))     # nobody else lets this guest wait

    def program(self, cpu):
        """The guest: find the device and drive it; then the requests."""
        pages = GuestPages(DRIVER_PAGES, BUFFERS)
        yield from self.bring_up(cpu, pages)
        yield from cpu.pay()
        self.start(cpu)
        yield from self.serve(cpu)

    def bring_up(self, cpu, pages):
        """Bus, function, BAR, interrupts, queues: set-up, where nearly all of this mode's exits are."""
        client = VmBusClient(cpu, pages)
        yield from client.connect()
        channel, = yield from client.request_offers()
        self.bus = bus = VpciBus(client, channel, GuestPages(MMIO, MMIO + MMIO_BYTES))
        yield from bus.init()
        function, = bus.functions
        function.enable()
        polled = not self.params.interrupts
        if not polled:
            yield from function.connect(0, ADMIN_VECTOR, lambda cpu: None)
            yield from function.connect(1, IO_VECTOR, lambda cpu: self.disk.interrupt(cpu))
        self.dma = self._strategy(cpu)
        size = memory_needed(ENTRIES)
        base = pages.take(size // PAGE)
        offset = self.dma.map(base, size) - base
        driver = NvmeDriver(cpu, function.bar(0), base, size, ENTRIES, vectors=None if polled else [1],
                            address=lambda at: at + offset)
        self.disk = NvmeDisk(driver, self.dma, polled)
        yield from driver.init()

    def _strategy(self, cpu):
        """How buffers come into the domain."""
        name = self.params.iommu
        if name == "off":
            return guest_iommu.Untranslated(self.guest)
        if name == "static":
            return Static(name)
        kind = Strict if name == "strict" else Lazy
        return kind(guest_iommu.GuestIommu(cpu), self.domain, self.guest, cpu.compute)
