"""What the dirty log of a guest's RAM costs: reads with it on, emptied now and then, over the same with it off."""

from typing import Any

from vmio.bench import Row, ratios, row, sampler, turns
from vmio.bench.steady import Steady
from vmio.hypervisor.dirty import DirtyLog

MODES: dict[str, dict[str, Any]] = {"ATA PIO by string I/O": {}, "ATA DMA": dict(transfer="dma"), "split, 1 in flight": dict(mode="split"),
         "split, 32 in flight": dict(mode="split", queue_depth=32), "passthrough, 32 in flight": dict(mode="passthrough", queue_depth=32)}
ROUNDS = 75


class Logged(Steady):
    """A disk's reads with the log of each guest on; each sample is a round of a migration."""

    def __init__(self, **params: Any) -> None:
        self._logs: list[DirtyLog] = []
        super().__init__(**params)
        self._logs += [DirtyLog(lane.guest) for lane in self.guests]

    def __call__(self, count: int) -> int:
        """Go on as `Steady`, and empty the logs."""
        done = super().__call__(count)
        for log in self._logs:
            log.take()
        return done


def measure() -> list[Row]:
    """Return the ratio of each mode."""
    subjects = {("off", what): sampler(Steady(**params)) for what, params in MODES.items()}
    subjects |= {("on", what): sampler(Logged(**params)) for what, params in MODES.items()}
    ns = turns(subjects, rounds=ROUNDS)
    return [row(f"{what}: a read with the dirty log on, over one with it off", ratios(ns["on", what], ns["off", what]), "at most 1.1")
            for what in MODES]
