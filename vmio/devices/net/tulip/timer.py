"""CSR11, the general-purpose timer: it counts down from what is written to it, and raises GTE at 0, once or again and again.

It counts cycles of the wire's clock, 2,048 at a time.
Source: 21140A manual, 3.2.2.11 "General-Purpose Timer Register (CSR11)".
"""

from collections.abc import Callable

from vmio.devices.net.tulip import bits as b
from vmio.machine.checkpoint import Form, State
from vmio.machine.contracts import Pending, Timers

TIMER = Form("Tulip timer", 1, "value", "tick", "due")
CYCLES = 2048              # in one of its counts
CYCLE_10_SERIAL, CYCLE_10, CYCLE_100 = 100, 400, 40        # ns: of 10, 2.5 and 25 MHz


def cycle_ns(mode: int) -> int:
    """Return how long a cycle of the wire's clock is, as CSR6 says which wire it is."""
    return (CYCLE_10 if mode & b.TTM else CYCLE_100) if mode & b.PS else CYCLE_10_SERIAL


class GeneralTimer:
    """`expired()` is called at each end; `csr` says, in number 6, how fast the wire is."""

    def __init__(self, clock: Timers, csr: list[int], expired: Callable[[], None]) -> None:
        self.clock, self.csr, self.expired = clock, csr, expired
        self.timer: Pending | None = None
        self.reset(0)

    def reset(self, value: int) -> None:
        """It stands still; CSR11 reads `value`."""
        self._stop()
        self.value, self._tick = value, CYCLES * CYCLE_100

    def write(self, value: int) -> None:
        """Begin anew; a count of 0 stops it."""
        self._stop()
        self.value = value
        self._tick = CYCLES * cycle_ns(self.csr[6])
        self._start(self.clock.now)

    def read(self) -> int:
        """Return the register, in which the count is what is left of it."""
        left = -(-(self.timer.when - self.clock.now) // self._tick) if self.timer is not None else 0
        return self.value & ~b.TIMER_MASK | left

    def _start(self, at: int) -> None:
        count = self.value & b.TIMER_MASK
        if count:
            self.timer = self.clock.call_at(at + count * self._tick, self._end)

    def _end(self) -> None:
        ended, self.timer = self.timer, None
        if ended is not None and self.value & b.TIMER_CONTINUOUS:
            self._start(ended.when)
        self.expired()

    def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def save(self) -> State:
        """Return the register, and when it ends."""
        return TIMER.state(value=self.value, tick=self._tick, due=self.timer and self.timer.when)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = TIMER.take(state)
        self._stop()
        self.value, self._tick = saved["value"], saved["tick"]
        if saved["due"] is not None:
            self.timer = self.clock.call_at(saved["due"], self._end)
