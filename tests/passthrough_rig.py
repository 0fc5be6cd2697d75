"""A host with an IOMMU and an NVMe disk, guests with a bus each, and both halves of vPCI."""

import pytest

from tests.guests import on_a_bus
from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.nvme_disk import NvmeDisk
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.drivers.vpci import VpciBus
from vmio.host.nvme import AssignableNvme
from vmio.machine.pagetable import TranslationFault
from vmio.machine.storage import Image
from vmio.modes import Machine
from vmio.passthrough.assignment import assign
from vmio.passthrough.strategies import Static

MMIO = 1 << 36
LIMIT = 300 * 10**9
DISK = b"".join(n.to_bytes(8, "little") * 64 for n in range(4096))
BUFFER = 0x30_0000


class Rig:
    """`guests` guests with `ram_mib` MiB; the disk is the host's own if `used`."""

    def __init__(self, guests=2, used=False, ram_mib=4, vcpus=1, enabled=True, image=None):
        self.host = Machine(memory_mib=32).host
        self.image = image or Image.open(DISK)
        self.machine = AssignableNvme(self.host, [self.image], used)
        self.iommu, self.router = self.machine.iommu, self.machine.router
        self.disk, self.function = self.machine.disk, self.machine.disk.function
        if enabled:
            self.iommu.enable()
        self.guests, self.servers = zip(*(on_a_bus(self.host, None, ram_mib, vcpus) for _ in range(guests)))

    def assign(self, to=0, function=None, **options):
        """Give the disk to guest number `to`."""
        return assign(function or self.function, self.guests[to], self.servers[to], self.router, **options)

    def parts(self, cut):
        """How virtual functions share the medium: `cut(image, count)`."""
        self.function.pci._parts = cut

    def run(self, program, number=0):
        """One program on a guest's first vCPU."""
        def late(cpu):
            cpu.compute(max(self.host.env.now - cpu.now, 0))    # it was not there while the others ran
            return (yield from program(cpu))
        return self.host.run((self.guests[number].cpu, late), limit_ns=LIMIT)[0]


def bus_of(cpu, **options):
    """The guest's vPCI bus, initialised: `bus = yield from bus_of(cpu)`."""
    client = VmBusClient(cpu, GuestPages(0x10_0000, 0x20_0000))
    yield from client.connect()
    channel, *_ = yield from client.request_offers()
    bus = VpciBus(client, channel, GuestPages(MMIO, MMIO + (1 << 24)), **options)
    yield from bus.init()
    return bus


def disk_of(cpu, bus, polled=False, entries=16):
    """An `NvmeDisk` on the bus's function."""
    function = bus.functions[0]
    function.enable()
    box = []
    if not polled:
        yield from function.connect(0, 0x40, lambda cpu: None)
        yield from function.connect(1, 0x50, lambda cpu: box[0].interrupt(cpu))
    driver = NvmeDriver(cpu, function.bar(0), 0x20_0000, memory_needed(entries), entries,
                        vectors=None if polled else [1])
    box.append(NvmeDisk(cpu, driver, Static("static"), polled))
    yield from driver.init()
    return box[0]


def one(disk, op, lba, sectors, gpa=BUFFER):
    """One request to its end; raises what it ended with."""
    yield from disk.cpu.pay()
    disk.submit(op, lba, sectors, gpa, f"{op} {lba}")
    disk.flush_ring()
    yield from disk.wait()
    for _, error in disk.reap():
        if error is not None:
            raise error


def refused(call, reason=None):
    """A call that must end in a `TranslationFault`, for `reason` if one is given; returns the fault."""
    with pytest.raises(TranslationFault) as caught:
        call()
    assert reason is None or caught.value.reason is reason
    return caught.value
