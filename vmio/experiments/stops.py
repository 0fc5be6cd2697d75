"""What stops a guest that has not asked its hypervisor for anything, and how often, on each kind of host."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.kinds import KINDS
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.modes import Machine

PAGES, COMPUTE_NS, SLEEP_NS = 64, 10_000_000, 1_000_000
FIRST = 0x20_0000      # guest-physical: RAM that no driver has


class Situation(NamedTuple):
    """What each of `guests` executes on a host with so many `cores`."""

    program: Callable[[VCpu], Any]
    guests: int = 1
    cores: int = 2


def _touch(cpu: VCpu) -> None:
    for page in range(PAGES):
        cpu.store(FIRST + page * PAGE, 4, 1)


SITUATIONS = {
    f"the first store to each of {PAGES} pages of RAM": Situation(_touch),
    "10 ms of computing": Situation(lambda cpu: cpu.compute(COMPUTE_NS)),
    "the same, beside another guest on one core": Situation(lambda cpu: cpu.compute(COMPUTE_NS), guests=2, cores=1),
    "a sleep of 1 ms": Situation(lambda cpu: cpu.hlt(SLEEP_NS)),
}


@dataclass(frozen=True)
class StopParams:
    """A situation on a host."""

    situation: str = param(next(iter(SITUATIONS)), "what the guest does", choices=tuple(SITUATIONS))
    host: str = param("hyper-v", "kind of host that is modelled", choices=tuple(KINDS))


def run(told: StopParams) -> Counter:
    """Return the first guest's exits by (reason, whose they are, ns each), of `told`; ValueError for what there is not."""
    params.check(told)
    situation = SITUATIONS[told.situation]
    machine = Machine(cores=situation.cores, kind=told.host)
    guests = [machine.guest(ram_mib=4) for _ in range(situation.guests)]
    machine.power_on()
    machine.run(*[(guest, situation.program) for guest in guests])
    return guests[0].cpu.exits.by(lambda row: (row.reason.value, row.device, row.cost))
