"""The catalogue: what an attack is, and all of them by surface.

Who attacks is a guest.  A migration's stream that is cut or changed, and a checkpoint's file that was tampered with, come from somebody
else, between hosts: they have no row here, docs/migration.md and docs/checkpoint.md say what refuses them.
"""

import ast
import inspect
import re
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Callable

from vmio.attacks.verdict import Outcome

SURFACES = ("memory", "rings", "gpadl", "floods", "scsi", "ata", "dma", "interrupts", "handover", "ports", "frames", "netcard", "tulip", "nic", "accelerator", "balloon", "balancer", "sockets", "bridge")
DOORS = ("memory access", "registers", "rings", "messages", "device's DMA", "device's interrupts", "processor time", "change of owner")
OF_THE_IOMMU = ("IOMMU domain", "IOTLB invalidation", "interrupt remapping", "remapping: owner", "remapping: size")    # walls
MODES = ("emulated", "split", "passthrough", "hypervisor")


@dataclass(frozen=True)
class Attack:
    """`program(world, cpu)` is what the hostile guest runs, a generator.

    `rule` is what it breaks, `source` who says so; `world()` makes the machine.
    `off(world)` is a context manager without the defence, and `defence` its name in
    words, `wall` in two or three.  The guest goes by its `door`, one of DOORS.
    `on_verdict`, `off_verdict`: what must come out.  `long`: one of the two runs costs
    more than most, so a page shows something else first.
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
    surface: str
    wall: str
    door: str
    long: bool

    def run(self, defended: bool = True, iommu: bool = True) -> Outcome:
        """Return the `Outcome`, measured in a machine made for it; with `iommu` False this is one that has none."""
        world = self.world()
        world.at_rest()                      # measured with the defence on
        with nullcontext() if defended else self.off(world), nullcontext() if iommu else world.without_iommu():
            return world.attacked_by(self.program)


def attacks() -> dict[str, Attack]:
    """Return all of them, {id: Attack}, by surface."""
    return {attack.id: attack for surface in SURFACES
            for attack in import_module(f"vmio.attacks.{surface}").ATTACKS}


def lines(attack: Attack, wide: int = 56, max_rows: int = 14) -> list[str]:
    """Return the lines of an attack's program, one a statement, and above it those functions of its file that it calls.

    These only if all goes into `max_rows` rows of `wide` letters.
    """
    def rows(text: list[str]) -> int:
        return sum(max(1, -(-len(line) // wide)) for line in text)
    program = attack.program
    own = _body(program)
    for name in program.__code__.co_names:
        helper = program.__globals__.get(name)
        if inspect.isgeneratorfunction(helper) and helper.__module__ == program.__module__:
            more = [*_body(helper), "", *own]
            own = more if rows(more) <= max_rows else own
    return own


def _body(function: Callable[..., Any]) -> list[str]:
    """The function's source without what stands before its `def`, without types and without what it says of itself."""
    text = inspect.getsource(function)
    define = ast.parse(text).body[0]
    assert isinstance(define, ast.FunctionDef)
    source = text.splitlines()
    for statement in ast.walk(define):      # what was broken is one line again: whoever shows it knows how wide it may be
        if isinstance(statement, ast.stmt) and not hasattr(statement, "body") and statement.end_lineno is not None:
            first = statement.lineno - 1
            source[first] = " ".join([source[first], *(one.strip() for one in source[first + 1:statement.end_lineno])])
            source[first + 1:statement.end_lineno] = [""] * (statement.end_lineno - first - 1)
    begin = (define.body[1] if ast.get_docstring(define) else define.body[0]).lineno - 1
    while source[begin - 1].lstrip().startswith("#"):
        begin -= 1
    kept = [re.sub(r"(?<=\S) {3,}#", "  #", line) for line in source[begin:] if line.strip()]
    return [f"def {define.name}({', '.join(one.arg for one in define.args.args)}):", *kept]


def find(id: str) -> Attack:
    """Return one attack by its id; ValueError names the command that lists them."""
    found = attacks().get(id)
    if found is None:
        raise ValueError(f"attack {id!r}: no such attack; `python -m vmio attack --list` shows them")
    return found


def collection(surface: str, mode: str, world: Any, door: str) -> Any:
    """(list, decorator) for a file of attacks: the decorated program becomes an `Attack` of the list."""
    found = []

    def attack(id: str, title: str, rule: str, source: str, defence: str, off: Callable[..., Any], on: str, off_verdict: str,
               wall: str, mode: str = mode, world: Any = world, door: str = door,
               long: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def add(program: Callable[..., Any]) -> Callable[..., Any]:
            found.append(Attack(id, title, rule, source, mode, world, program, defence, off, on, off_verdict, surface, wall, door, long))
            return program
        return add
    return found, attack
