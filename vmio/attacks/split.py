"""The world of split drivers: both guests have a bus and a disk on it, which the host's NVMe disk holds side by side."""

from typing import Any

from vmio.attacks.talker import Talker
from vmio.attacks.world import World
from vmio.drivers.pages import GuestPages
from vmio.host.drr import DeficitRoundRobin
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.modes.disk_split import SplitDisk
from vmio.modes.platform import Platform
from vmio.vmbus.bus.gpadl import MAX_PAGES
from vmio.vmbus.bus.ring import CONTROL

UNUSED = CONTROL.by_name["reserved2"].offset      # of a ring's control page: from here on nobody writes
MAX_HELD = 1000                     # messages or completions that a host should keep for one guest


class SplitWorld(World):
    """`server`, `vsp` and `talker` are the attacker's; its disk ends where the neighbour's begins."""

    doorbell = "hypercall"

    def __init__(self) -> None:
        super().__init__()
        self.physical = PhysicalDisk(self.host, [self.own, self.theirs], scheduler=DeficitRoundRobin(), depth=2)
        self._disks: dict[Partition, SplitDisk] = {}
        self.talker: Talker | None = None
        (self.server, self.vsp), _ = [self.side(guest.platform, backend) for guest, backend in zip(
            self.machine.guests, self.physical.slices)]
        self.peak = 0

    def side(self, platform: Platform, backend: Any) -> Any:
        """Give the guest of this `Platform` a disk on its bus, and return the host's ends of both."""
        disk = self._disks[platform.guest] = SplitDisk(ring_kib=16, doorbell=self.doorbell)
        disk.plug(platform, backend)
        return platform.bus, disk.vsp

    def bring_up(self, cpu: VCpu) -> Steps:
        """StorVSC on the guest's bus."""
        disk = yield from self._disks[cpu.guest].boot(cpu, GuestPages(0x10_0000, 0x20_0000))
        if cpu.guest is self.neighbour:
            rings = self.neighbours_rings = disk.end.outgoing.memory, disk.end.incoming.memory
            self.watch_state("neighbour's rings", lambda: [ring.read(UNUSED, PAGE - UNUSED) for ring in rings])
        return disk

    def talk(self, cpu: VCpu, **options: Any) -> Steps:
        """A `Talker` of the attacker's, connected, with the attack begun: `t = yield from world.talk(cpu)`.

        A second attack in the same machine goes on with the connection that is there.
        """
        if self.talker is None:
            self.talker = Talker(self, cpu, **options)
            yield from self.talker.open()
        yield from self.begin(cpu)
        return self.talker

    def counters(self) -> dict[str, int]:
        """Return the refusals of the bus, of requests and of the channel so far."""
        return {"messages refused": sum(self.server.refused.values()), "requests refused": self.vsp.failures,
                "channel closed": self.vsp.corrupt}

    def sample(self) -> None:
        """Look how much the host keeps at this moment."""
        worker = self.vsp.worker
        self.peak = max(self.peak, len(self.server._port.queue) + len(self.server._outgoing)
                        + (len(worker._backlog) if worker is not None else 0))

    def held(self) -> dict[str, tuple[int, int]]:
        """Messages and completions at their worst, and what the GPADLs claim."""
        self.sample()
        return {"messages and answers": (self.peak, MAX_HELD), "GPADL pages": (self.server.gpadls.pages, MAX_PAGES)}
