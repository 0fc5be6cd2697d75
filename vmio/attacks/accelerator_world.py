"""Worlds with a matrix engine: each guest has a virtual function, or both share it as a service, or the attacker's is emulated.

The neighbour's work is to have images looked at, again and again; what its network says of them must be right.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from vmio.attacks.world import RAM_MIB, World, pages_of
from vmio.drivers.accelerator import AcceleratorDriver, RingDriver
from vmio.drivers.accelerator_plan import Layer, Network
from vmio.drivers.accelerator_vsc import AcceleratorVsc
from vmio.drivers.pages import GuestPages
from vmio.drivers.vpci import VpciBus
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.host.accelerator.service import AcceleratorService
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes.accelerator_assigned import AssignedAccelerator
from vmio.modes.accelerator_emulated import EmulatedAccelerator
from vmio.modes.accelerator_split import SplitAccelerator
from vmio.passthrough.assignment import Assignment, assign

SECRET = b"neighbour's SRAM"                     # 16 bytes, in its weights
NETWORK = Network([Layer(64, 64, pages_of(SECRET, 4096), bytes(256))], "the neighbour's network")
IMAGES = bytes(range(64)) * 300
SUMS = [sum((i if i < 128 else i - 256) * SECRET[n % 16] for i in range(64)) for n in range(64)]      # of one image: all rows are alike
WANTED = b"".join(each.to_bytes(4, "little", signed=True) for each in SUMS) * 300
DRIVER, SIZE, VECTOR = 0x1C_0000, 0xC_0000, 0x70       # memory of a guest's driver, and its interrupt


class EngineDisk:
    """`read` and `write` of the neighbour's: one call of its network, and when its sums are right the bytes are as they should be."""

    def __init__(self, world: World, driver: AcceleratorDriver) -> None:
        self.world, self.driver = world, driver

    def read(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Have all images looked at."""
        if (yield from self.driver.infer(IMAGES)) == WANTED:
            self.driver.cpu.write(gpa, pages_of(self.world.answers, sectors * 512))

    def write(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """The same with a few."""
        if (yield from self.driver.infer(IMAGES[:640])) != WANTED[:2560]:
            self.world.effects.append("neighbour's requests")


class EngineWorld(World):
    """What they have in common: the secret on the chip, the neighbour's network."""

    limit_ns = 40_000_000               # every microsecond of an endless job is jobs that this computer does, too

    def __init__(self) -> None:
        super().__init__()
        self.secrets.append(("neighbour's registers", SECRET))

    def driver(self, cpu: VCpu) -> Steps[RingDriver | AcceleratorVsc]:
        """Generator: the guest's driver, initialised."""
        raise NotImplementedError

    def bring_up(self, cpu: VCpu) -> Steps[EngineDisk]:
        """The neighbour's driver, and its network on the chip."""
        driver = yield from self.driver(cpu)
        yield from driver.load(NETWORK)
        return EngineDisk(self, driver)


class FunctionWorld(EngineWorld):
    """Each guest has a virtual function; `spare` was the neighbour's once, and still has its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.device = HostAccelerator(self.host, 3)
        self.iommu, self.router, self.engine = self.device.iommu, self.device.router, self.device.engine
        self._ways: dict[Partition, AssignedAccelerator] = {}
        mine, theirs, spare = self.device.places
        for each, place in zip(self.machine.guests, (mine, theirs)):
            way = self._ways[each.guest] = AssignedAccelerator(virtual=True)
            way.plug(each.platform, place)
        self.lent, self.spare = self._ways[self.attacker].lent, spare.function
        self.spare.device.sram[:] = pages_of(SECRET, len(self.spare.device.sram))
        self.spare.last_guest = self.neighbour

    @contextmanager
    def without_iommu(self) -> Iterator[None]:
        """DMA is not translated: a device's addresses are the host's."""
        self.iommu.disable()
        yield

    def lend_spare(self) -> Assignment:
        """Give the attacker what was the neighbour's, in place of what it has."""
        self.lent.take_back()
        platform = self.machine.guests[0].platform
        return assign(self.spare, self.attacker, platform.bus, self.router, number=platform.number())

    def function(self, cpu: VCpu, lent: Assignment) -> Steps[int]:
        """Generator: where the registers of a function are that the guest was given."""
        platform = self._ways[cpu.guest].platform
        client, channel = yield from platform.channel(cpu, GuestPages(0x10_0000, DRIVER), lent.vsp)
        bus = VpciBus(client, channel, platform.mmio)
        yield from bus.init()
        function, = bus.functions
        function.enable()
        self._connect = function.connect
        return function.bar(0)

    def driver(self, cpu: VCpu) -> Steps[RingDriver]:
        """See `EngineWorld`.  Without an IOMMU it must know the host's addresses."""
        bar = yield from self.function(cpu, self._ways[cpu.guest].lent)
        offset = 0 if self.iommu.enabled else cpu.guest.ram_spa(0)
        driver = RingDriver(cpu, bar, DRIVER, offset, SIZE)
        yield from self._connect(0, VECTOR, driver.interrupt)
        yield from driver.init()
        return driver

    def counters(self) -> dict[str, int]:
        """Return the IOMMU's refusals, and how often the attacker's function has halted."""
        return {"DMA faults": sum(self.iommu.faults.counts.values()), "function halted": sum(self.lent.function.device.halts.values())}


class ServiceWorld(EngineWorld):
    """Both guests share the engine as a service."""

    def __init__(self) -> None:
        super().__init__()
        self.service = AcceleratorService(self.host)
        self._ways: dict[Partition, SplitAccelerator] = {}
        for each in self.machine.guests:
            way = self._ways[each.guest] = SplitAccelerator()
            way.plug(each.platform, self.service)
        self.vsp = self._ways[self.attacker].vsp

    def driver(self, cpu: VCpu) -> Steps[AcceleratorVsc]:
        """See `EngineWorld`."""
        way = self._ways[cpu.guest]
        client, channel = yield from way.platform.channel(cpu, GuestPages(0x10_0000, DRIVER), way.vsp)
        driver = AcceleratorVsc(client, channel, DRIVER, SIZE)
        yield from driver.init()
        return driver

    def counters(self) -> dict[str, int]:
        """Return how many command buffers were refused, and how often the device has halted."""
        return {"commands refused": self.vsp.refused, "jobs ended": sum(self.service.function.halts.values())}


class EmulatedEngineWorld(World):
    """The attacker's engine is emulated; the neighbour's work is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.way = EmulatedAccelerator()
        self.machine.guests[0].attach(self.way)
        self.machine.power_on()

    def driver(self, cpu: VCpu) -> Steps[AcceleratorDriver]:
        """Generator: the attacker's driver, initialised, and the attack begun."""
        driver = yield from self.way.boot(cpu, GuestPages(0x10_0000, RAM_MIB << 20), SIZE)
        yield from self.begin(cpu)
        return driver

    def counters(self) -> dict[str, int]:
        """Return how often the device has halted."""
        return {"function halted": sum(self.way.function.halts.values())}
