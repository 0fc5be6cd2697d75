"""The attack whose only wrong is its number: kicks.  It takes time, so it has a whole machine with a worker of the host's for each disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simpy.events import Event

from vmio.attacks.defence import without
from vmio.attacks.verdict import PASS, WEDGED, Outcome
from vmio.attacks.virtqueue.catalogue import QueueAttack
from vmio.attacks.virtqueue.parts import Case
from vmio.attacks.world import BUFFER, World
from vmio.drivers.pages import GuestPages
from vmio.drivers.virtio_disk import VirtioDisk
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes.disk_virtio import VirtioSplitDisk
from vmio.virtio.worker import QueueWorker

ROUNDS, KICKS = 100, 40            # between two pauses
MOST_EVENTS = 32                   # that the host should have before it for two guests with a disk each


class OneAtATime:
    """A virtio disk for who wants one request, and waits for it."""

    def __init__(self, disk: VirtioDisk) -> None:
        self.disk = disk

    def read(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Read so many sectors to an address."""
        yield from self._ask("read", lba, sectors, gpa)

    def write(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Write so many sectors from an address."""
        yield from self._ask("write", lba, sectors, gpa)

    def _ask(self, op: str, lba: int, sectors: int, gpa: int) -> Steps[None]:
        self.disk.submit(op, lba, sectors, gpa, op)
        self.disk.flush_ring()
        yield from self.disk.wait()
        for _, error in self.disk.reap():
            if error is not None:
                raise error


class StormWorld(World):
    """Attacker and neighbour have a virtio disk each; `peak` is how many events the host had before it at the worst."""

    def __init__(self, case: Case = Case("split", "blk")) -> None:
        super().__init__()
        self.peak = 0
        self.disks = [VirtioSplitDisk(virtqueue=case.ring, entries=16) for _ in self.machine.guests]
        for guest, disk, image in zip(self.machine.guests, self.disks, (self.own, self.theirs)):
            guest.attach(disk, image)
        self.machine.power_on()

    def bring_up(self, cpu: VCpu) -> Steps:
        """Linux's driver, at its disk."""
        disk = yield from self.disks[cpu.guest is self.neighbour].boot(cpu, GuestPages(0x10_0000, BUFFER))
        return OneAtATime(disk)

    def counters(self) -> dict[str, int]:
        """Return how often a device of theirs was broken."""
        return {"devices broken": sum(disk.device.broken is not None for disk in self.disks)}

    def held(self) -> dict[str, tuple[int, int]]:
        """Return what lies before the host, at the worst."""
        return {"events": (self.peak, MOST_EVENTS)}

    def run(self, act: Callable[..., object]) -> Outcome:
        """Return the `Outcome` of an attack, a generator."""
        return self.attacked_by(act)

    def comes_back(self) -> bool:
        """Return whether the neighbour has had all of its answers."""
        return not self.down


def world(case: Case) -> StormWorld:
    """Return a world; how long the neighbour takes beside a guest at rest is known before."""
    StormWorld.at_rest()
    return StormWorld(case)


def storm(world: StormWorld, cpu: VCpu) -> Steps[None]:
    """Kick, and kick again, with nothing in the ring."""
    one = yield from world.bring_up(cpu)
    yield from world.begin(cpu)
    for _ in range(ROUNDS):
        for _ in range(KICKS):
            one.disk.transport.kick(0)
        world.peak = max(world.peak, len(world.host.env._queue))
        yield from cpu.pay()


@contextmanager
def every_kick_works(_world: StormWorld) -> Iterator[None]:
    """Each kick makes a worker of the host's run."""
    def kicked(self: QueueWorker) -> None:
        host = self.host

        def run(_: Event) -> None:
            host.env.process(host.cores.work(host.costs.worker_wakeup_ns))
        host.at(self.guest.clock.now, run)
        real(self)
    with without(QueueWorker, "kicked", kicked) as real:
        yield


ATTACKS = [
    QueueAttack("kick-storm", "Kick all the time", "a kick says that there may be something, no more", "2.9", storm,
                {"": "virtio.worker:QueueWorker.kicked"}, "a kick that was not noticed yet swallows the next", every_kick_works, PASS, WEDGED,
                devices=("blk",), world=world),
]
