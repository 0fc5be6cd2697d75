"""A guest of several vCPUs with a split disk: what tests of sub-channels need."""

from tests import guests
from tests.storage_rig import Backend
from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.vmbus import VmBusClient
from vmio.experiments.disk import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import Machine
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp

LIMIT = 60 * 10**9
DATA = 0xC0_0000


class Smp:
    """A guest with `vcpus`; `run(work)` brings the disk up on the first and runs `work(cpu, disk)` on each."""

    def __init__(self, vcpus, online=None, ring_kib=32, **options):
        self.host = Machine(memory_mib=64, cores=4).host
        self.guest, self.server = guests.on_a_bus(self.host, ram_mib=16, vcpus=vcpus)
        self.image = Overlay(pattern(4))
        self.vsp = StorVsp(self.host, self.guest, {0: (ScsiTarget(self.image.sectors), Backend(self.host, self.image))}, **options)
        self.vsp.offer(self.server)
        self.online = vcpus if online is None else online
        self.disk = self.client = None
        self.ring_kib = ring_kib

    def run(self, work, after=None):
        first, *others = self.guest.vcpus[:self.online]
        left = set(range(self.online))

        def boot(cpu):
            self.client = client = VmBusClient(cpu, GuestPages(0x10_0000, DATA))
            yield from client.connect()
            channel, = yield from client.request_offers()
            disk = StorVsc(client, channel, self.ring_kib)
            yield from disk.init()
            self.disk = disk
            result = yield from work(cpu, disk)
            left.discard(cpu.index)
            while left:
                yield from cpu.hlt(watchdog_ns=10_000)
            if after is not None:
                yield from after(cpu, disk)
            return result

        def join(cpu):
            self.client.add_cpu(cpu)
            while self.disk is None:
                yield from cpu.hlt(watchdog_ns=100_000)
            result = yield from work(cpu, self.disk)
            left.discard(cpu.index)
            return result

        return self.host.run((first, boot), *((cpu, join) for cpu in others), limit_ns=LIMIT)

    def open_channels(self):
        """[(index, target VP)] of the device's open channels."""
        return [(c.subchannel, c.target_vp) for c in self.server.channels.values() if c.state is State.OPEN]
