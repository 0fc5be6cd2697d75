"""Guests with a split disk each: both halves, and the disk that they share."""

from tests.guests import on_a_bus
from tests.storage_rig import Backend
from vmio import modes
from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.vmbus import VmBusClient
from vmio.experiments.disk import pattern
from vmio.host.physical import PhysicalDisk
from vmio.machine.overlay import Overlay
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp

LIMIT = 60 * 10**9
DATA = 0x60_0000


class Machine:
    """Guests with a disk each: slices of one NVMe disk, or, with `fake`, a backend of the test's."""

    def __init__(self, guests=1, fake=False, cores=2, **options):
        self.host = modes.Machine(memory_mib=64, cores=cores).host
        self.images = [Overlay(pattern(4)) for _ in range(guests)]
        if fake:
            backends = [Backend(self.host, image, hold=fake == "hold") for image in self.images]
        else:
            self.disk = PhysicalDisk(self.host, self.images)
            backends = self.disk.slices
        self.backends, self.guests, self.servers, self.vsps = backends, [], [], []
        for image, backend in zip(self.images, backends):
            guest, server = on_a_bus(self.host, ram_mib=10)
            vsp = StorVsp(self.host, guest, {0: (ScsiTarget(image.sectors), backend)}, **options)
            vsp.offer(server)
            self.guests.append(guest)
            self.servers.append(server)
            self.vsps.append(vsp)

    def run(self, *programs, **options):
        """Run `program(cpu, disk)` in the guests, with the disk up."""
        def started(program):
            def whole(cpu):
                disk = yield from bring_up(cpu, **options)
                return (yield from program(cpu, disk))
            return whole
        return self.host.run(*[(guest.cpu, started(program)) for guest, program in zip(self.guests, programs)],
                             limit_ns=LIMIT)


def bring_up(cpu, **options):
    client = VmBusClient(cpu, GuestPages(0x10_0000, DATA))
    yield from client.connect()
    channel, = yield from client.request_offers()
    disk = StorVsc(client, channel, **options)
    yield from disk.init()
    return disk
