"""What watching costs: reads with the monitor on, which takes a sample now and then, over the same with nobody looking."""

from typing import Any

from vmio.bench import Row, ratios, row, sampler, turns
from vmio.bench.steady import Steady
from vmio.manage.monitor.monitor import Monitor

MODES: dict[str, dict[str, Any]] = {"ATA DMA": dict(transfer="dma"), "split, 1 in flight": dict(mode="split"), "split, 32 in flight": dict(mode="split", queue_depth=32),
         "passthrough, 32 in flight": dict(mode="passthrough", queue_depth=32)}
ROUNDS = 75
EACH = 200       # reads between two samples: a millisecond or more of what a disk can do


class Watched(Steady):
    """A disk's reads with the monitor on."""

    def __init__(self, **params: Any) -> None:
        self._monitor: Monitor | None = None
        self._since = 0
        super().__init__(**params)
        self._monitor = Monitor(self.guests[0].machine.machine)
        self._monitor.on()

    def __call__(self, count: int) -> int:
        """Go on as `Steady`, and take a sample when it is time."""
        done = super().__call__(count)
        self._since += done
        if self._monitor is not None and self._since >= EACH:
            self._since = 0
            self._monitor.sample()
        return done


def measure() -> list[Row]:
    """Return the ratio of each mode."""
    subjects = {("off", what): sampler(Steady(**params)) for what, params in MODES.items()}
    subjects |= {("on", what): sampler(Watched(**params)) for what, params in MODES.items()}
    ns = turns(subjects, rounds=ROUNDS)
    return [row(f"{what}: a read while the monitor looks, over one while nobody does", ratios(ns["on", what], ns["off", what]), "at most 1.05")
            for what in MODES]
