"""What an attack by virtio is, where its wall stands, and all of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

from vmio.attacks.checks import Check
from vmio.attacks.verdict import WEDGED, Outcome
from vmio.attacks.virtqueue.parts import Case
from vmio.attacks.virtqueue.world import QueueWorld

ROOMS = {"guest": ("chains", "rings", "requests", "registers", "storm"), "host": ("answers",)}       # by who is hostile
RINGS, DEVICES, TRANSPORTS = ("split", "packed"), ("blk", "net"), ("pci", "mmio")


class World(Protocol):
    """Where an attack takes place: a `QueueWorld`, or a `DriverWorld`."""

    def run(self, act: Callable[..., object], /) -> Outcome:
        """Return the `Outcome` of an attack."""

    def comes_back(self) -> bool:
        """Return whether all goes on for who is honest, afterwards."""


@dataclass(frozen=True)
class QueueAttack:
    """`act(world)` is what the hostile guest, or host, does; it breaks `rule`, which `source` says (VIRTIO 1.2).

    `walls` are {form of queue, device or transport, or "" for all: "module:function"}; `off(world)` takes the defence away, which
    `defence` names.  `on_verdict`, `off_verdict`: what must come out, in each of the `cases`.
    """

    id: str
    title: str
    rule: str
    source: str
    act: Callable[..., object]
    walls: dict[str, str]
    defence: str
    off: Callable[..., AbstractContextManager[None]]
    on_verdict: str
    off_verdict: str
    rings: tuple[str, ...] = RINGS
    devices: tuple[str, ...] = DEVICES
    transports: tuple[str, ...] = field(default=("pci",))
    world: Callable[[Case], World] = QueueWorld

    @property
    def cases(self) -> list[Case]:
        """Each form of queue with each device and transport that it is for; the first is the one to show."""
        return [Case(ring, device, transport) for transport in self.transports for device in self.devices for ring in self.rings]

    def run(self, case: Case, defended: bool = True) -> Outcome:
        """Return the `Outcome`, measured in a world made for it; a device that no longer serves after a reset is WEDGED."""
        world = self.world(case)
        with nullcontext() if defended else self.off(world):
            outcome = world.run(self.act)
        if defended and outcome.verdict != WEDGED and not world.comes_back():
            return outcome._replace(verdict=WEDGED, evidence="afterwards nothing goes on")
        return outcome

    def check(self, case: Case) -> Check:
        """Return where the wall stands: function and file."""
        module, _, function = next(self.walls[key] for key in (*case, "") if key in self.walls).partition(":")
        return Check(function, f"vmio/{module.replace('.', '/')}.py")


def attacks(hostile: str = "guest") -> dict[str, QueueAttack]:
    """Return all attacks of a hostile "guest" or "host", {id: QueueAttack}."""
    return {attack.id: attack for room in ROOMS[hostile] for attack in import_module(f"vmio.attacks.virtqueue.{room}").ATTACKS}


def find(id: str, hostile: str = "guest") -> QueueAttack:
    """Return one attack by its id; ValueError names the command that lists them."""
    found = attacks(hostile).get(id)
    if found is None:
        raise ValueError(f"attack {id!r}: no such attack of a {hostile} by virtio; "
                         f"`python -m vmio attack --mode virtio --hostile {hostile} --list` shows them")
    return found
