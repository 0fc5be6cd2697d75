"""One attack after the other in one machine, with a host that stops a guest at its first refusal: what a refusal is worth.

The last attack meets a host in which the defence against it is missing, and nobody
knows that yet.  Whether it is ever tried depends on whether an attempt before it was noticed.
"""

from typing import NamedTuple

from vmio.attacks.catalogue import find
from vmio.attacks.split import SplitWorld
from vmio.attacks.verdict import Outcome
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu


class Series(NamedTuple):
    """`noticed` {who said no: how often} after the first attack; `tried`: did the guest come to the second; what came of all."""

    first: str
    noticed: dict[str, int]
    tried: bool
    outcome: Outcome


def series(first: str, second: str, guarded: bool = True) -> Series:
    """Run two attacks on the split disk, by their ids, in a machine without the defence against the second.

    `guarded`: the host stops the guest when anything was refused to it.  ValueError for an
    attack that is not on this machine.
    """
    one, other = find(first), find(second)
    for attack in (one, other):
        if attack.world is not SplitWorld:
            raise ValueError(f"attack {attack.id}: it needs a machine of its own; a series has attacks of mode split")
    seen: dict[str, dict[str, int]] = {}

    def program(world: SplitWorld, cpu: VCpu) -> Steps[None]:
        yield from one.program(world, cpu)
        seen[first] = world.refused()
        if not (guarded and seen[first]):
            seen[second] = {}
            yield from other.program(world, cpu)
    world = SplitWorld()
    world.at_rest()
    with other.off(world):
        outcome = world.attacked_by(program)
    return Series(first, seen[first], second in seen, outcome)
