"""The catalogue: what an attack is, and all of them by surface."""

from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Callable

SURFACES = ("memory", "rings", "gpadl", "floods", "scsi", "ata", "dma", "interrupts", "handover", "ports")
MODES = ("emulated", "split", "passthrough", "hypervisor")


@dataclass(frozen=True)
class Attack:
    """`program(world, cpu)` is what the hostile guest runs, a generator.

    `rule` is what it breaks, `source` who says so; `world()` makes the machine.
    `off(world)` is a context manager without the defence, and `defence` its name.
    `on_verdict`, `off_verdict`: what must come out.
    """

    id: str
    title: str
    rule: str
    source: str
    mode: str
    world: Callable
    program: Callable
    defence: str
    off: Callable
    on_verdict: str
    off_verdict: str
    surface: str = ""

    def run(self, defended=True):
        """The `Outcome`, measured in a machine made for it."""
        world = self.world()
        world.at_rest()                      # measured with the defence on
        with nullcontext() if defended else self.off(world):
            return world.attacked_by(self.program)


def attacks():
    """All of them, {id: Attack}, by surface."""
    return {attack.id: attack for surface in SURFACES
            for attack in import_module(f"vmio.attacks.{surface}").ATTACKS}


def find(id):
    """One attack by its id; ValueError names the command that lists them."""
    found = attacks().get(id)
    if found is None:
        raise ValueError(f"attack {id!r}: no such attack; `python -m vmio attack --list` shows them")
    return found


def collection(surface, mode, world):
    """(list, decorator) for a file of attacks: the decorated program becomes an `Attack` of the list."""
    found = []

    def attack(id, title, rule, source, defence, off, on, off_verdict, mode=mode, world=world):
        def add(program):
            found.append(Attack(id, title, rule, source, mode, world, program, defence, off, on, off_verdict, surface))
            return program
        return add
    return found, attack
