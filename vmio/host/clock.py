"""The time of a device in the host: the simulation's, while a board's `Clock` is moved by its vCPU."""

from collections.abc import Callable

from vmio.hypervisor.simulation import Simulation
from vmio.machine.clock import NEVER, Timer


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
            self.env.timeout(timer.when - self.env.now).callbacks.append(lambda _: timer.callback and timer.callback())
        return timer

    def call_later(self, delay: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` after `delay` ns."""
        return self.call_at(self.now + delay, callback)
