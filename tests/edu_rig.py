"""`edu` as a device of the host behind the IOMMU, guests with a bus each, and a guest's driver for it."""

from tests.guests import on_a_bus
from tests.passthrough_rig import LIMIT, bus_of
from vmio.drivers.pages import GuestPages
from vmio.hardware import edu
from vmio.hardware.edu_pci import EduFunction
from vmio.host.clock import HostClock
from vmio.modes import Machine
from vmio.passthrough.assignment import assign
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.function import HostFunction
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id

LOW = 0xE000_0000
VECTOR = 0x60


class EduRig:
    """`function` is edu's, unless another `pci` function is given to be the host's."""

    def __init__(self, pci=None, guests=2):
        self.host = Machine(memory_mib=32).host
        self.iommu = Iommu(self.host.memory)
        self.router = InterruptRouter(self.host, self.iommu)
        self.iommu.enable()
        clock = HostClock(self.host.env)
        pci = pci or EduFunction(edu.Edu(clock, self.host.memory))
        self.function = HostFunction("edu", requester_id(0, 4), pci, self.iommu, arrived=clock.arrived)
        self.device = self.function.device
        self.guests, self.servers = zip(*(on_a_bus(self.host) for _ in range(guests)))

    def assign(self, to=0, **options):
        """Give the device to guest number `to`."""
        return assign(self.function, self.guests[to], self.servers[to], self.router, **options)

    def run(self, program, number=0):
        """One program on a guest's first vCPU."""
        def late(cpu):
            cpu.compute(max(self.host.env.now - cpu.now, 0))
            return (yield from program(cpu))
        return self.host.run((self.guests[number].cpu, late), limit_ns=LIMIT)[0]


def find(cpu):
    """The guest's one function, with its BARs placed and enabled."""
    bus = yield from bus_of(cpu, low=GuestPages(LOW, LOW + (1 << 24)))
    bus.functions[0].enable()
    return bus.functions[0]


class EduDriver:
    """The guest's driver: `yield from driver.init()`, then `factorial`, `transfer`, each until the interrupt."""

    def __init__(self, cpu, function):
        self.cpu, self.function, self.bar = cpu, function, function.bar(0)
        self.seen = []                      # interrupt status, at each interrupt
        self.awaited = 0                    # of those

    def init(self):
        """One MSI."""
        yield from self.function.connect_msi(VECTOR, self._interrupt)
        return self

    def _interrupt(self, cpu):
        self.seen.append(cpu.load(self.bar + edu.INTERRUPTS, 4))
        cpu.store(self.bar + edu.ACKNOWLEDGE, 4, self.seen[-1])

    def wait(self):
        """Sleep until one more interrupt."""
        while self.awaited == len(self.seen):
            assert (yield from self.cpu.hlt(watchdog_ns=10**9)), "no interrupt in a second"
        self.awaited += 1

    def factorial(self, n):
        """n! modulo 2^32."""
        self.cpu.store(self.bar + edu.STATUS, 4, edu.INTERRUPT_WHEN_DONE)
        self.cpu.store(self.bar + edu.FACTORIAL, 4, n)
        yield from self.wait()
        return self.cpu.load(self.bar + edu.FACTORIAL, 4)

    def transfer(self, source, destination, count, command):
        """A DMA transfer; `command` is 0 to the device, `edu.TO_MEMORY` from it."""
        for register, value in ((edu.SOURCE, source), (edu.DESTINATION, destination), (edu.COUNT, count),
                                (edu.COMMAND, command | edu.RUN | edu.INTERRUPT)):
            self.cpu.store(self.bar + register, 8, value)
        yield from self.wait()


def driver_of(cpu):
    """All that a guest does before it can use the device."""
    return (yield from EduDriver(cpu, (yield from find(cpu))).init())
