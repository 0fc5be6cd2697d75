"""The world of passthrough: each guest has a virtual function of the host's NVMe disk, behind the IOMMU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vmio.attacks.defence import without
from vmio.attacks.world import NEIGHBOUR_DISK, OWN_DISK, SECTORS, World, pages_of
from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.pages import GuestPages
from vmio.drivers.vpci import Function, VpciBus
from vmio.host.nvme import AssignableNvme
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.storage import Image
from vmio.modes.platform import Platform
from vmio.passthrough import virtual
from vmio.passthrough.assignment import Assignment, assign
from vmio.passthrough.function import HostFunction
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.strategies import Strict

MMIO, MMIO_BYTES = {"neighbour": 1 << 36, "attacker": 1 << 37}, 1 << 24
QUEUES, ENTRIES = 0x20_0000, 16
HOSTS_DEVICE = 0x0700               # requester id of a device that the host keeps
CC, END = 0x14, 0x38                # of an NVMe controller's registers: those that its driver sets (NVMe 1.4, 3.1)


class AssignedWorld(World):
    """`lent` is the attacker's assignment; `spare` a function that was the neighbour's once; `arbiter` says whose turn it is.

    The host's own interrupt is a canary.  `functions` {guest: what its driver found}.
    """

    inherit = False                 # may a device go on to the next guest as the last one left it?
    strategy = Strict               # how buffers that are lent for a while are taken back
    more = 0                        # functions that the attacker has beside its first

    def __init__(self) -> None:
        super().__init__()
        media = [self.own, self.theirs, *(Image.open(pages_of(owner, SECTORS * 512))
                                          for owner in [NEIGHBOUR_DISK] + self.more * [OWN_DISK])]
        nvme = AssignableNvme(self.host, media)
        self.iommu, self.router = nvme.iommu, nvme.router
        self.iommu.enable()
        self.arbiter = nvme.disk.arbiter
        mine, theirs, self.spare, *more = virtual.enable(nvme.disk.function, len(media))
        self.functions: dict[Partition, Function] = {}
        self.platforms: dict[Partition, Platform] = {each.guest: each.platform for each in self.machine.guests}
        self.lent = self.lend(mine, self.attacker)
        for number, function in enumerate(more, 2):
            self.lend(function, self.attacker, number=number)
        self.lend(theirs, self.neighbour)
        self.spare.last_guest = self.neighbour
        self.watch("IOMMU's root table", self.iommu.remapper.root)
        self.theirs_device = theirs.device
        self.bell = self.router.create_for(HOSTS_DEVICE, lambda: self.effects.append("host's interrupts"))

    def lend(self, function: HostFunction, guest: Guest, **options: Any) -> Assignment:
        """Assign a function."""
        return assign(function, guest, self.platforms[guest].bus, self.router, **options)

    def find(self, cpu: VCpu) -> Steps:
        """Generator: the functions that the guest was given, each on a bus of its own."""
        client = yield from self.platforms[cpu.guest].client(cpu, GuestPages(0x10_0000, 0x20_0000))
        start, found = MMIO[cpu.guest.name], []
        mmio = GuestPages(start, start + MMIO_BYTES)
        for channel in client.channels.values():
            bus = VpciBus(client, channel, mmio)
            yield from bus.init()
            found += bus.functions
        return found

    def bring_up(self, cpu: VCpu, vector: int | None = None, entries: int = ENTRIES) -> Steps:
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
        if guest is self.neighbour:
            self.watch_state("neighbour's registers", lambda: bytes(self.theirs_device.registers[CC:END]))
        return Translated(driver)

    def drive(self, cpu: VCpu, **options: Any) -> Steps:
        """The attacker's driver, and the attack begun."""
        disk = yield from self.bring_up(cpu, **options)
        yield from self.begin(cpu)
        return disk.driver

    @contextmanager
    def without_iommu(self) -> Iterator[None]:
        """Neither DMA nor interrupts are remapped: a device's addresses and messages are the host's."""
        self.iommu.disable()
        with without(self.iommu.interrupts, "enabled", False):
            yield

    def lender(self, domain: Domain, guest: Guest) -> "Strict | Known":
        """Return who lends a device the guest's buffers for a while."""
        return self.strategy(self.iommu, domain, guest) if self.iommu.enabled else Known(guest)

    def counters(self) -> dict[str, int]:
        """Return the IOMMU's refusals, of transfers and of interrupts."""
        faults = sum(count for reason, count in self.iommu.faults.counts.items() if reason < 0x20)
        return {"DMA faults": faults, "interrupts refused": self.iommu.interrupts.refused}


class Known:
    """Without an IOMMU a buffer's address is the host's, and who knows it has it for good."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def map(self, gpa: int, length: int) -> int:
        """Return the address for a device."""
        return self.guest.ram_spa(gpa)

    def unmap(self, address: int, length: int) -> None:
        """Take it back, which nothing does."""


class Translated:
    """`read` and `write` by guest-physical address."""

    def __init__(self, driver: NvmeDriver) -> None:
        self.driver = driver

    def read(self, lba: int, sectors: int, gpa: int) -> Steps:
        """To memory at `gpa`."""
        return self.driver.read(lba, sectors, self.driver.address(gpa))

    def write(self, lba: int, sectors: int, gpa: int) -> Steps:
        """From memory at `gpa`."""
        return self.driver.write(lba, sectors, self.driver.address(gpa))
