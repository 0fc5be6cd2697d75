"""A guest at work with the virtio drivers of `vmio/drivers`, and a host that answers what it likes.

The guest keeps a secret right behind the memory that its driver lends.  It reads a disk and looks at what came, or sends back
the end of each frame that came.  Whatever it sends, and whatever lies where the device may write, the host has seen.
"""

from collections.abc import Callable

from simpy.events import Event

from vmio.attacks.defence import Stuck
from vmio.attacks.verdict import FAIL, Outcome, judge
from vmio.attacks.virtqueue.parts import Case
from vmio.attacks.world import pages_of
from vmio.drivers.errors import DriverError
from vmio.drivers.virtio_disk import VirtioDisk
from vmio.drivers.virtio_net import VirtioNet
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.faults import GuestFault, GuestTimeout
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.machine.net.cable import Cable
from vmio.machine.storage import SECTOR, Image
from vmio.modes import Machine
from vmio.modes.disk_virtio import VirtioSplitDisk
from vmio.modes.net_virtio import VirtioSplitNet
from vmio.virtio.device import VirtioDevice
from vmio.virtio.net import RECEIVE
from vmio.virtio.queue.base import DeviceQueue

SECRET, ON_DISK = b"the guest's own.", b"what disks hold."
MAC, FAR = bytes.fromhex("525400123456"), bytes.fromhex("525400123457")
ROUNDS, ACTS_AT, AT_ONCE, BLOCK = 6, 2, 4, 4096
UNDER_WAY = 8_000           # ns after the guest's kick: its requests are on their way
LIMIT = 200_000_000_000


class DriverWorld:
    """`device` is the host's half of the guest's disk or card, `queue` the one that brings the guest what it asks for."""

    def __init__(self, case: Case) -> None:
        self.case, self.cable, self.loot = case, Cable(), bytearray()
        self.image = Image(bytearray(pages_of(ON_DISK, ROUNDS * AT_ONCE * BLOCK)))
        self.attached = VirtioSplitDisk(virtqueue=case.ring, entries=16) if case.device == "blk" else VirtioSplitNet(MAC)
        machine = Machine(memory_mib=16)
        self.planned = machine.guest("victim", ram_mib=4)
        if isinstance(self.attached, VirtioSplitDisk):
            self.planned.attach(self.attached, self.image)
        else:
            self.planned.attach(self.attached, backend=self.cable.ends[0])
            self.cable.ends[1].connect(self)
        self.guest, self.host, self.machine = self.planned.make().guest, machine.host, machine
        machine.power_on()
        self.secret = self.attached.driver_memory        # of a card's driver it is full
        self.told: dict[str, int] = {}      # what the driver noticed
        self.effects: list[str] = []
        self.act: Callable[[DriverWorld], object] = lambda world: None
        self.finished = False
        self.driver: VirtioDisk | VirtioNet

    @property
    def device(self) -> VirtioDevice:
        """The host's half."""
        return self.attached.device if isinstance(self.attached, VirtioSplitDisk) else self.attached.card

    @property
    def queue(self) -> DeviceQueue:
        """The queue that answers."""
        return self.device.queues[0 if self.case.device == "blk" else RECEIVE]

    def interrupt(self) -> None:
        """Let the guest look."""
        self.device.interrupt(0 if self.case.device == "blk" else RECEIVE)

    # The cable's other end.

    def receive(self, frame: bytes) -> bool:
        """See `Station`."""
        self.loot += frame
        return True

    def link_changed(self, up: bool) -> None:
        """See `Station`."""

    # The guest.

    def _program(self, cpu: VCpu, driver: VirtioDisk | VirtioNet) -> Steps[None]:
        cpu.write(self.secret, pages_of(SECRET, PAGE))
        self.driver = driver
        for number in range(ROUNDS):
            if number == ACTS_AT:
                self.host.at(cpu.now + UNDER_WAY, self._attack)
            try:
                yield from self._read(cpu, driver, number) if isinstance(driver, VirtioDisk) else self._echo(cpu, driver, number)
            except DriverError as error:
                self.told[f"given up: {error}"] = 1
                break
        yield from cpu.hlt(100_000)
        self.finished = True

    def _attack(self, _event: Event) -> None:
        self.act(self)

    def _read(self, cpu: VCpu, disk: VirtioDisk, number: int) -> Steps[None]:
        """Some requests at once; each that is over must have brought what is on the disk."""
        room, over = self.secret + PAGE, 0
        cpu.write(room, bytes(AT_ONCE * BLOCK))
        for n in range(AT_ONCE):
            disk.submit("read", (number * AT_ONCE + n) * BLOCK // SECTOR, BLOCK // SECTOR, room + n * BLOCK, n)
        disk.flush_ring()
        while over < AT_ONCE:
            yield from disk.wait()
            for tag, error in disk.reap():
                assert isinstance(tag, int)
                over += 1
                if error is not None:
                    raise error
                if cpu.read(room + tag * BLOCK, BLOCK) != pages_of(ON_DISK, BLOCK):
                    self.effects.append("a request was over that the disk had not done")

    def _echo(self, cpu: VCpu, card: VirtioNet, number: int) -> Steps[None]:
        """A frame comes, and its end goes back."""
        self.cable.ends[1].send(MAC + FAR + b"\x08\0" + number.to_bytes(2, "big") * 25)
        yield from cpu.hlt(1_000_000, watchdog_ns=1_000_000)
        yield from card.wait(cpu.now)
        for frame in card.reap():
            card.send(FAR + MAC + frame[12:][-1400:])
        yield from cpu.hlt(200_000, watchdog_ns=200_000)

    # Running and judging.

    def comes_back(self) -> bool:
        """Return whether the guest's program came to its end, with the device or without."""
        return self.finished

    def run(self, act: "Callable[[DriverWorld], object]") -> Outcome:
        """Return the `Outcome` of the guest's work while the host attacks it, once."""
        self.act, stopped = act, None
        try:
            self.machine.run((self.planned, self._program), limit_ns=LIMIT)
        except (DriverError, GuestFault) as error:
            self.told[f"given up: {error}"] = 1
            self.finished = True
        except (GuestTimeout, Stuck) as error:
            stopped = f"the guest makes no progress: {error}"
        except Exception as error:  # noqa: BLE001  whatever it is: it has left the guest's driver
            stopped = f"{type(error).__name__} left the guest's driver"
        slots = getattr(getattr(self, "driver", None), "_slots", [])
        if len(set(slots)) != len(slots):
            self.effects.append("a request has ended twice")
        outcome = judge(stopped, {}, None, [], ["guest's RAM"] if SECRET in self.loot else [], self.told)
        if self.effects and stopped is None:
            harm = tuple(dict.fromkeys((*outcome.crossed, *self.effects)))
            return outcome._replace(verdict=FAIL, evidence="; ".join(harm), crossed=harm)
        return outcome._replace(evidence="; ".join(self.told) if stopped is None and not outcome.crossed and self.told else outcome.evidence,
                                refused=dict(self.told))
