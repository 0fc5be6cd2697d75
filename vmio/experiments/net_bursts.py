"""Frames that a guest sends in bursts: how many exits, signals and interrupts does a frame cost when more follow at once?

One guest is switched on and sends `FRAMES` frames for each size of a burst.  It waits until a burst has left, and then so
long that all who worked for it fall asleep.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmio.drivers.contracts import NetDriver
from vmio.drivers.netvsc_queue import NetQueue
from vmio.experiments.net_params import MOST_FRAMES
from vmio.experiments.net_ping import GUEST, STATION, rest
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.net.cable import Cable
from vmio.machine.net.headers import ETHERNET
from vmio.modes import Machine, attachment

FRAMES, BYTES = 32, 300               # so short that eight fit into a section of the split card's buffer
SIZES = (1, 2, 4, 8, 16, 32)        # of a burst
LOCAL = 0x88B5                      # an EtherType for experiments: IEEE 802, 9.2.4
FRAME = ETHERNET.pack(destination=STATION, source=GUEST, type=LOCAL).ljust(BYTES, b"\0")


@dataclass(frozen=True)
class Burst:
    """What `FRAMES` frames in bursts of `size` counted: `arrived` at the other end, exits by instruction, interrupts of the guest.

    `records` is what the driver handed to the card: a descriptor for each frame, or records in a ring, with up to `batch` frames each.
    """

    size: int
    arrived: int
    records: int
    exits: dict[str, int]
    interrupts: int

    @property
    def exits_total(self) -> int:
        """Return all exits."""
        return sum(self.exits.values())


class Listener:
    """The station at the other end: it counts."""

    def __init__(self) -> None:
        self.heard = 0

    def receive(self, frame: bytes) -> bool:
        """Hear a frame."""
        self.heard += 1
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""


def run(mode: str = "emulated", batch: int = MOST_FRAMES, sizes: Sequence[int] = SIZES) -> list[Burst]:
    """Return what was counted for each size of a burst; `batch` frames at most go into one record of the split card's ring."""
    machine, cable, listener = Machine(), Cable(), Listener()
    options = {"batch": batch} if mode == "split" else {}
    guest = machine.guest().attach(attachment("net", mode, address=GUEST, **options), backend=cable.ends[0])
    machine.power_on()
    cable.ends[1].connect(listener)
    found: list[Burst] = []

    def program(cpu: VCpu, driver: NetDriver) -> Steps[None]:
        for size in sizes:
            exits, interrupts, heard, records = Counter[str](), 0, listener.heard, _records(driver)
            for _ in range(FRAMES // size):
                yield from rest(cpu, driver)
                before, answered = cpu.exits.by_instruction(), cpu.interrupts
                yield from _send(driver, size)
                exits += cpu.exits.by_instruction() - before
                interrupts += cpu.interrupts - answered
            found.append(Burst(size, listener.heard - heard, _records(driver) - records, dict(exits), interrupts))
    guest.run(program)
    return found


def _send(driver: NetDriver, frames: int) -> Steps[None]:
    """Send so many, and wait until the last has left."""
    for left in range(frames - 1, -1, -1):
        while not driver.send(FRAME, more=left > 0):
            yield from driver.wait()
    while driver.pending:
        yield from driver.wait()


def _records(driver: Any) -> int:
    """What a driver has handed to its card so far."""
    return driver.records if isinstance(driver, NetQueue) else driver.sent
