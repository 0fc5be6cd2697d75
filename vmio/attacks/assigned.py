"""The world of passthrough: each guest has a virtual function of the host's NVMe disk, behind the IOMMU."""

from vmio.attacks.world import NEIGHBOUR_DISK, OWN_DISK, SECTORS, World, pages_of
from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.drivers.vpci import VpciBus
from vmio.host.nvme import AssignableNvme
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.storage import Image
from vmio.passthrough import virtual
from vmio.passthrough.assignment import assign
from vmio.passthrough.strategies import Strict
from vmio.vmbus.bus.server import VmbusServer

MMIO, MMIO_BYTES = {"neighbour": 1 << 36, "attacker": 1 << 37}, 1 << 24
QUEUES, ENTRIES = 0x20_0000, 16
HOSTS_DEVICE = 0x0700               # requester id of a device that the host keeps


class AssignedWorld(World):
    """`lent` is the attacker's assignment; `spare` a function that was the neighbour's once; `physical` makes them.

    The host's own interrupt is a canary.  `functions` {guest: what its driver found}.
    """

    inherit = False                 # may a device go on to the next guest as the last one left it?
    strategy = Strict               # how buffers that are lent for a while are taken back
    more = 0                        # functions that the attacker has beside its first

    def __init__(self):
        super().__init__()
        media = [self.own, self.theirs, *(Image.open(pages_of(owner, SECTORS * 512))
                                          for owner in [NEIGHBOUR_DISK] + self.more * [OWN_DISK])]
        self.machine = AssignableNvme(self.host, media)
        self.iommu, self.router = self.machine.iommu, self.machine.router
        self.iommu.enable()
        self.physical = self.machine.disk.function.pci
        mine, theirs, self.spare, *more = virtual.enable(self.machine.disk.function, len(media))
        self.servers, self.functions = {}, {}
        for guest in (self.attacker, self.neighbour):
            enable_enlightenments(guest)
            self.servers[guest] = VmbusServer(guest)
        self.lent = self.lend(mine, self.attacker)
        for number, function in enumerate(more, 2):
            self.lend(function, self.attacker, number=number)
        self.lend(theirs, self.neighbour)
        self.spare.last_guest = self.neighbour
        self.watch("IOMMU's root table", self.iommu.remapper.root)
        self.bell = self.router.create_for(HOSTS_DEVICE, lambda: self.effects.append("host's interrupts"))

    def lend(self, function, guest, **options):
        """Assign a function."""
        return assign(function, guest, self.servers[guest], self.router, **options)

    def find(self, cpu):
        """Generator: the functions that the guest was given, each on a bus of its own."""
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x20_0000))
        yield from client.connect()
        start, found = MMIO[cpu.guest.name], []
        mmio = GuestPages(start, start + MMIO_BYTES)
        for channel in (yield from client.request_offers()):
            bus = VpciBus(client, channel, mmio)
            yield from bus.init()
            found += bus.functions
        return found

    def bring_up(self, cpu, vector=None, entries=ENTRIES):
        """The guest's own NVMe driver, polled, or with interrupts at `vector`.  Without an IOMMU it must know the host's addresses."""
        guest = cpu.guest
        function, *_ = yield from self.find(cpu)
        self.functions[guest] = function
        function.enable()
        if vector is not None:
            yield from function.connect(0, vector, lambda cpu: None)
            yield from function.connect(1, vector + 1, lambda cpu: None)
        offset = 0 if self.iommu.enabled else guest.ram_spa(0)
        driver = NvmeDriver(cpu, function.bar(0), QUEUES, memory_needed(entries), entries,
                            vectors=None if vector is None else [1], address=lambda at: at + offset)
        yield from driver.init()
        return Translated(driver)

    def drive(self, cpu, **options):
        """The attacker's driver, and the attack begun."""
        disk = yield from self.bring_up(cpu, **options)
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
