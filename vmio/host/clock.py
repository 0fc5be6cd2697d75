"""The time of a device in the host: the simulation's, while a board's `Clock` is moved by its vCPU."""

from collections.abc import Callable

from simpy.events import Event

from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.simulation import Simulation
from vmio.machine.checkpoint import CheckpointRefused, Form, State
from vmio.machine.clock import NEVER, Timer, Timers

HOST_CLOCK = Form("clock of a device in the host", 1, "asked", "timers")


class Due:
    """Fires a timer of `clock` when an event happens, unless it was cancelled."""

    __slots__ = ("clock", "timer")

    def __init__(self, clock: "HostClock", timer: Timer) -> None:
        self.clock, self.timer = clock, timer

    def __call__(self, event: Event) -> None:
        if self.timer.callback is not None:
            self.timer.callback()


class HostClock:
    """`now` and timers as `Clock` has them, in ns of the simulation `env`.

    A guest's vCPU may be ahead of the simulation when it stores into a device that it
    was given: `arrived(ns)` says so, and the device is then as far (`asked`).
    """

    def __init__(self, env: Simulation) -> None:
        self.env, self.asked = env, 0

    @property
    def now(self) -> int:
        """The time, in ns."""
        return max(self.env.now, self.asked)

    def arrived(self, ns: int) -> None:
        """Note that what comes now was asked for at `ns`."""
        self.asked = max(self.asked, ns)

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` at `when` (ns); a time past means at once, `NEVER` or later no time."""
        timer = Timer(max(when, self.now), callback)
        if when < NEVER:
            self.env.timeout(timer.when - self.env.now).callbacks.append(Due(self, timer))
        return timer

    def call_later(self, delay: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` after `delay` ns."""
        return self.call_at(self.now + delay, callback)

    def save(self, saving: Saving, owners: Timers) -> State:
        """Return how far the device is, and its timers; `owners` are the live ones by name, (name, `Timer`) pairs.

        `CheckpointRefused` for a timer that nobody owns.
        """
        names = {id(timer): name for name, timer in owners if timer is not None}
        timers = []
        for due, at in saving.matching(Due, lambda due: due.clock is self):
            if due.timer.callback is not None and id(due.timer) not in names:
                raise CheckpointRefused(f"checkpoint at {saving.now} ns: a device's timer of {due.timer.when} ns is nobody's who can be saved")
            timers.append([at, names[id(due.timer)] if due.timer.callback is not None else None])
        return HOST_CLOCK.state(asked=self.asked, timers=timers)

    def restore(self, state: State, restoring: Restoring, owners: Timers) -> None:
        """Take back what `save` gave; `owners` have made their timers anew, and each is to come when it was."""
        saved, own = HOST_CLOCK.take(state), dict(owners)
        self.asked = saved["asked"]
        for at, name in saved["timers"]:
            timer = Timer(at[0], None) if name is None else own.pop(name, None)
            if timer is None or timer.when != at[0]:
                raise CheckpointRefused(f"checkpoint: the timer {name!r} of {at[0]} ns was not set again")
            restoring.call(at, Due(self, timer))
        if own:
            raise CheckpointRefused(f"checkpoint: nothing lets the timers {', '.join(own)} of a device come")


def of_host(clock: object) -> HostClock:
    """Return a device's clock, which in the host is one of these; TypeError for a board's."""
    if not isinstance(clock, HostClock):
        raise TypeError(f"{type(clock).__name__}: a device of the host's has a HostClock")
    return clock
