"""The world of split drivers: both guests have a bus and a disk on it, which the host's NVMe disk holds side by side."""

from vmio.attacks.talker import Talker
from vmio.attacks.world import World
from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.vmbus import VmBusClient
from vmio.host.drr import DeficitRoundRobin
from vmio.host.physical import PhysicalDisk
from vmio.modes.disk_split import SplitDisk
from vmio.modes.platform import Platform
from vmio.vmbus.bus.gpadl import MOST_PAGES

MOST_HELD = 1000                     # messages or completions that a host should keep for one guest


class SplitWorld(World):
    """`server`, `vsp` and `talker` are the attacker's; its disk ends where the neighbour's begins."""

    def __init__(self):
        super().__init__()
        self.physical = PhysicalDisk(self.host, [self.own, self.theirs], scheduler=DeficitRoundRobin(), depth=2)
        sides = [self._side(guest, image, backend) for guest, image, backend in zip(
            (self.attacker, self.neighbour), (self.own, self.theirs), self.physical.slices)]
        (self.server, self.vsp), _ = sides
        self.peak = 0

    def _side(self, guest, image, backend):
        disk, platform = SplitDisk(), Platform(guest)
        disk.plug(platform, backend)
        return platform.bus, disk.vsp

    def bring_up(self, cpu):
        """StorVSC on the neighbour's bus."""
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x20_0000))
        yield from client.connect()
        channel, = yield from client.request_offers()
        disk = StorVsc(client, channel, ring_kib=16)
        yield from disk.init()
        return disk

    def talk(self, cpu, **options):
        """A `Talker` of the attacker's, connected, with the attack begun: `t = yield from world.talk(cpu)`."""
        talker = Talker(self, cpu, **options)
        yield from talker.open()
        yield from self.begin(cpu)
        return talker

    def counters(self):
        """The bus, the requests, the channel."""
        return {"messages refused": sum(self.server.refused.values()), "requests refused": self.vsp.failures,
                "channel closed": self.vsp.corrupt}

    def sample(self):
        """Look how much the host keeps at this moment."""
        worker = self.vsp.worker
        self.peak = max(self.peak, len(self.server._port.queue) + len(self.server._outgoing)
                        + (len(worker._backlog) if worker is not None else 0))

    def held(self):
        """Messages and completions at their worst, and what the GPADLs claim."""
        self.sample()
        return {"messages and answers": (self.peak, MOST_HELD), "GPADL pages": (self.server.gpadls.pages, MOST_PAGES)}
