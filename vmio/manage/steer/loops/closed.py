"""The one shape of all closed loops: observe, decide, act, each time a window of the monitor's is over.

    managed = run(LOOPS["function"], seed=3)
    managed.kept, managed.changes, managed.off

What a loop observes comes out of the monitor's samples and from nowhere else.  Its controller is somebody's code behind a `Guard`: one
that raises, answers nonsense or never settles is switched off, what is safe is set, and the guests run on.  What it acts by is one method
of the host's or an order to the guest's administrator; it may say that this can't be done yet, and is asked again in the next window.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vmio.manage.diagnose.faults import fault
from vmio.manage.diagnose.scene import WINDOWS, Plan, Scene
from vmio.manage.monitor.metrics import Sample
from vmio.manage.steer.guard import Bounds, Decide, Guard

MOST_TURNS = 12         # in a run; a controller that turns more often never settles


@dataclass(frozen=True)
class Loop:
    """What a loop is: `figure(window)` is the number that is to be at most `target`, `observe(window)` what its controller is told.

    It begins with `start`; `fault` is what it is a cure for; `controller` and `bad` make one that works and one that does not.
    `act(scene, setting)` returns False if that can't be done now; `read(scene)` is what is set, which others may have changed.
    """

    name: str
    fault: str
    watches: str
    figure: Callable[[Sample], float]
    target: float
    observe: Callable[[Sample], Any]
    bounds: Bounds
    start: float
    act: Callable[[Scene, float], bool]
    read: Callable[[Scene], float] | None        # None: nobody else sets it
    form: str
    controller: Callable[[], Decide]
    bad: Callable[[], Decide]


class Look(NamedTuple):
    """One window: the figure in it, and what is set from its end on."""

    window: int
    figure: float
    setting: float


@dataclass(frozen=True)
class Managed:
    """A run: its looks, when the fault began, what was changed, how often back, and why the controller was switched off ("" if it was not)."""

    loop: Loop = field(repr=False)
    looks: list[Look] = field(repr=False)
    onset: int
    changes: int
    turns: int
    off: str
    scene: Scene = field(repr=False, compare=False)

    @property
    def after(self) -> list[Look]:
        """The looks from the onset on."""
        return [look for look in self.looks if look.window >= self.onset]

    @property
    def kept(self) -> float:
        """Percent of those in which the figure was at most the target."""
        return 100 * sum(look.figure <= self.loop.target for look in self.after) / len(self.after)

    @property
    def settled(self) -> int | None:
        """After how many windows of the fault the target was kept for the rest of the run; None if it never was."""
        late = [look.window for look in self.after if look.figure > self.loop.target]
        if not late:
            return 0
        return None if late[-1] == self.after[-1].window else late[-1] + 1 - self.onset


def nothing(setting: float, seen: object, target: float) -> float:
    """Return what is set: the controller of a host that nobody steers."""
    return setting


class _Hand:
    """Looks at each window of a scene, asks, and sets."""

    def __init__(self, loop: Loop, guard: Guard) -> None:
        self.loop, self.guard, self.setting = loop, guard, float(loop.start)
        self.wanted: float | None = None         # decided, and not done yet
        self.looks: list[Look] = []

    def look(self, scene: Scene) -> None:
        """Do all three, at the end of a window."""
        if len(scene.samples) < 2:
            return
        window = scene.samples[-1].since(scene.samples[-2])
        if self.loop.read is not None:
            self.setting = self.loop.read(scene)
        if self.wanted is None and (wanted := self.guard(self.setting, self.loop.observe(window), self.loop.target)) != self.setting:
            self.wanted = wanted
        if self.wanted is not None and self.loop.act(scene, self.wanted):
            self.setting, self.wanted = self.wanted, None
        self.looks.append(Look(len(self.looks), self.loop.figure(window), self.setting))


def run(loop: Loop, seed: int = 1, controller: Decide | None = None, windows: int = WINDOWS, budget: int | None = None, broken: bool = True) -> Managed:
    """Return a run with the loop's own controller, or with another one; with its fault, or (not `broken`) with none."""
    hand = _Hand(loop, Guard(controller or loop.controller(), budget, MOST_TURNS, loop.bounds))
    plan = Plan.of(seed, windows)
    scene = Scene(plan, fault(loop.fault if broken else None), on_window=hand.look, scheduler="limits").run()
    return Managed(loop, hand.looks, plan.onset, hand.guard.changes, hand.guard.turns, hand.guard.off, scene)
