"""A guest with a virtual function of a network card moves to another host: its frames go by the split card meanwhile.

The guest has the function, and so can't be moved.  The host asks for it back, the guest's frames go by the split card, the guest
moves, and at the destination the host gives it a function of its own card.  The guest sends a frame every `GAP_NS` all the time.
"""

from dataclasses import dataclass
from typing import Any

from vmio.drivers.accelerated import Accelerated
from vmio.experiments.net_bursts import FRAME, Listener
from vmio.experiments.net_ping import GUEST
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.runs import Run
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.net.cable import Cable
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link
from vmio.manage.migration.migration import Migration
from vmio.manage.migration.report import COMPLETED, Report
from vmio.manage.migration.rules import rule
from vmio.modes import Machine
from vmio.modes.net_accelerated import AcceleratedNet

MS = 1_000_000
GAP_NS, FRAMES, SLICE_NS = MS // 5, 500, 10 * MS
GIVEN_NS, ASKED_NS, AGAIN_NS = 10 * MS, 30 * MS, 5 * MS     # by the guest's clock; the last one after it has moved
BANDWIDTH, LATENCY_NS = 1_250_000_000, 50_000               # 10 Gb/s


@dataclass(frozen=True)
class Slice:
    """What happened in `SLICE_NS` that began at `ms` of the guest's clock, at the host `where`: frames sent by either way, and `arrived`."""

    ms: int
    where: str
    by_card: int
    by_function: int
    arrived: int


@dataclass(frozen=True)
class Moved:
    """The slices; what was said of a guest that still had the function; the migration's report; frames sent by each way in all."""

    slices: list[Slice]
    refused: str
    report: Report
    sent: tuple[int, int]
    arrived: int


class _Place:
    """A host with the guest planned on it; what leaves its card is heard by `listener`, wherever the guest is."""

    def __init__(self, listener: Listener) -> None:
        self.machine, cable = Machine(checkpoints=True), Cable()
        self.card = AcceleratedNet(address=GUEST)
        guest = self.machine.guest("guest").attach(self.card, backend=cable.ends[0])
        self.machine.power_on()
        cable.ends[1].connect(listener)
        self.drivers: list[Accelerated] = []
        self.pairs: list[tuple[Any, Any]] = [(guest, self._program)]

    def _program(self, cpu: VCpu, driver: Accelerated) -> Steps[tuple[int, int]]:
        self.drivers.append(driver)
        for number in range(FRAMES):
            while not driver.send(FRAME):
                yield from driver.wait(cpu.now + GAP_NS)
            at = (number + 1) * GAP_NS
            while cpu.now < at:
                yield from driver.wait(at)
        while driver.pending:
            yield from driver.wait(cpu.now + GAP_NS)
        return driver.by_card, driver.by_function

    @property
    def counts(self) -> tuple[int, int]:
        """Frames that the guest's driver has sent by the card and by the function."""
        return (self.drivers[0].by_card, self.drivers[0].by_function) if self.drivers else (0, 0)


class _Story:
    """Slices, one after the other: what was counted since the last one."""

    def __init__(self, listener: Listener) -> None:
        self.listener, self.slices = listener, list[Slice]()
        self._last = (0, 0, 0)

    def until(self, place: _Place, run: Run, end: int, where: str) -> None:
        """Let a guest run until `end` by its clock, or its program's, and note a slice whenever one is over."""
        env = place.machine.host.env
        while env.now < end:
            began, stop = env.now, min(end, (env.now // SLICE_NS + 1) * SLICE_NS)
            while env.now < stop and (goes_on := run.step(stop - env.now)):
                pass
            now = (*place.counts, self.listener.heard)
            self.slices.append(Slice(began // MS, where, *(after - was for after, was in zip(now, self._last))))
            self._last = now
            if not goes_on:
                return


def run() -> Moved:
    """Return what was counted."""
    listener = Listener()
    here, there, story = _Place(listener), _Place(listener), _Story(listener)
    going = here.machine.start(*here.pairs)

    def move() -> Migration:
        return Migration(here.machine, going, Destination(there.machine, *there.pairs), Link(BANDWIDTH, LATENCY_NS), rule("qemu", 1))
    story.until(here, going, GIVEN_NS, "source")
    here.card.give()
    story.until(here, going, ASKED_NS, "source")
    refused = move().go().reason
    here.card.ask_back()
    while here.card.lent is not None and not here.card.lent.ended and going.step(GAP_NS):
        pass
    story.until(here, going, ASKED_NS + SLICE_NS, "source")
    migration = move()
    report = migration.go()
    if report.status == COMPLETED:
        story.until(there, migration.run, there.machine.host.env.now + AGAIN_NS, "destination")
        there.card.give()
        story.until(there, migration.run, FRAMES * GAP_NS, "destination")
    (sent,) = migration.run.to_the_end()
    return Moved(story.slices, refused, report, sent, listener.heard)
