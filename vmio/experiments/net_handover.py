"""A virtual function that comes and goes beside a split card while the guest sends frames: which way each goes, and what it costs.

The guest sends a frame every `GAP_NS`.  The host gives it the function at `GIVEN_NS` and asks for it back at `ASKED_NS`.
"""

from dataclasses import dataclass

from vmio.drivers.accelerated import Accelerated
from vmio.experiments.net_bursts import FRAME, Listener
from vmio.experiments.net_ping import GUEST
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.net.cable import Cable
from vmio.modes import Machine
from vmio.modes.net_accelerated import AcceleratedNet

MS = 1_000_000
GAP_NS, SLICE_NS, SLICES = MS // 5, 10 * MS, 6
GIVEN_NS, ASKED_NS = 10 * MS, 40 * MS


@dataclass(frozen=True)
class Slice:
    """What happened in `SLICE_NS` that began at `ms`: frames that were sent by either way and that `arrived`, and all exits by instruction."""

    ms: int
    by_card: int
    by_function: int
    arrived: int
    exits: dict[str, int]


def run() -> list[Slice]:
    """Return what was counted, slice after slice."""
    machine, cable, listener = Machine(), Cable(), Listener()
    card = AcceleratedNet(address=GUEST)
    guest = machine.guest().attach(card, backend=cable.ends[0])
    machine.power_on()
    cable.ends[1].connect(listener)
    found: list[Slice] = []

    def program(cpu: VCpu, driver: Accelerated) -> Steps[None]:
        began, clock = cpu.now, guest.guest.clock
        clock.call_at(began + GIVEN_NS, card.give)
        clock.call_at(began + ASKED_NS, card.ask_back)
        for number in range(SLICES):
            exits, before = cpu.exits.by_instruction(), (driver.by_card, driver.by_function, listener.heard)
            for at in range(began + number * SLICE_NS, began + (number + 1) * SLICE_NS, GAP_NS):
                while cpu.now < at:
                    yield from driver.wait(at)
                while not driver.send(FRAME):
                    yield from driver.wait(at + GAP_NS)
            while driver.pending:
                yield from driver.wait(cpu.now + GAP_NS)
            now = driver.by_card, driver.by_function, listener.heard
            by_card, by_function, arrived = (after - was for after, was in zip(now, before))
            found.append(Slice(number * SLICE_NS // MS, by_card, by_function, arrived, dict((cpu.exits.by_instruction() - exits).most_common())))
    guest.run(program)
    return found
