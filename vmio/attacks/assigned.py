"""The world of passthrough: each guest has a virtual function of the host's NVMe disk, behind the IOMMU."""

from vmio.attacks.world import NEIGHBOUR_DISK, SECTORS, World, pages_of
from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.drivers.vpci import VpciBus
from vmio.machine.storage import Image
from vmio.passthrough import virtual
from vmio.passthrough.assignment import assign
from vmio.passthrough.strategies import Strict
from vmio.vmbus.hypercalls import enable_enlightenments
from vmio.vmbus.server import VmbusServer
from vmio.workloads.passthrough import Machine

MMIO, MMIO_BYTES = {"neighbour": 1 << 36, "attacker": 1 << 37}, 1 << 24
QUEUES, ENTRIES = 0x20_0000, 16
HOSTS_DEVICE = 0x0700               # requester id of a device that the host keeps


class AssignedWorld(World):
    """`lent` is the attacker's assignment; `spare` a function that was the neighbour's once; the host's interrupt is a canary."""

    inherit = False                 # may a device go on to the next guest as the last one left it?
    strategy = Strict               # how buffers that are lent for a while are taken back

    def __init__(self):
        super().__init__()
        media = [self.own, self.theirs, Image.open(pages_of(NEIGHBOUR_DISK, SECTORS * 512))]
        self.machine = Machine(self.host, media)
        self.iommu, self.router = self.machine.iommu, self.machine.router
        self.iommu.enable()
        mine, theirs, self.spare = virtual.enable(self.machine.disk.function, 3)
        self.servers = {}
        for guest in (self.attacker, self.neighbour):
            enable_enlightenments(guest)
            self.servers[guest] = VmbusServer(guest)
        self.lent = self.lend(mine, self.attacker)
        self.lend(theirs, self.neighbour)
        self.spare.last_guest = self.neighbour
        self.watch("IOMMU's root table", self.iommu.remapper.root)
        self.bell = self.router.create_for(HOSTS_DEVICE, lambda: self.effects.append("host's interrupts"))

    def lend(self, function, guest, **options):
        """Assign a function."""
        return assign(function, guest, self.servers[guest], self.router, **options)

    def bring_up(self, cpu, vector=None):
        """The guest's own NVMe driver, polled, or with interrupts at `vector`.  Without an IOMMU it must know the host's addresses."""
        guest = cpu.guest
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x20_0000))
        yield from client.connect()
        channel, *_ = yield from client.request_offers()
        start = MMIO[guest.name]
        bus = VpciBus(client, channel, GuestPages(start, start + MMIO_BYTES))
        yield from bus.init()
        function = bus.functions[0]
        function.enable()
        if vector is not None:
            yield from function.connect(0, vector, lambda cpu: None)
            yield from function.connect(1, vector + 1, lambda cpu: None)
        offset = 0 if self.iommu.enabled else guest.ram_spa(0)
        driver = NvmeDriver(cpu, function.bar(0), QUEUES, memory_needed(ENTRIES), ENTRIES,
                            vectors=None if vector is None else [1], address=lambda at: at + offset)
        yield from driver.init()
        return Translated(driver)

    def drive(self, cpu, vector=None):
        """The attacker's driver, and the attack begun."""
        disk = yield from self.bring_up(cpu, vector)
        yield from self.begin(cpu)
        return disk.driver

    def counters(self):
        """The IOMMU's, for transfers and for interrupts."""
        faults = sum(count for reason, count in self.iommu.faults.counts.items() if reason < 0x20)
        return {"DMA faults": faults, "interrupts refused": self.iommu.interrupts.refused}


class Translated:
    """`read` and `write` by guest-physical address."""

    def __init__(self, driver):
        self.driver = driver

    def read(self, lba, sectors, gpa):
        """To memory at `gpa`."""
        return self.driver.read(lba, sectors, self.driver.address(gpa))

    def write(self, lba, sectors, gpa):
        """From memory at `gpa`."""
        return self.driver.write(lba, sectors, self.driver.address(gpa))
