"""Detectors: has this number changed?  Each is told one value after another, and says True as long as it finds something wrong.

    Threshold(90)         above a limit that somebody knows
    Ewma()                the moving average has left the band in which it began
    Cusum()               what was too much each time adds up

The last two learn in their first `LEARNS` values what is usual, and judge in units of its spread.
Sources: S. W. Roberts, Technometrics 1, 1959 (EWMA); E. S. Page, Biometrika 41, 1954 (CUSUM: S = max(0, S + x - k), alarm at S > h).
"""

from math import sqrt
from typing import Protocol

LEARNS = 6
LEAST_SPREAD = 0.1        # of the mean: a few values may happen to lie close together


class Detector(Protocol):
    """What is told one value after another."""

    def step(self, value: float) -> bool:
        """Take a value; returns whether something is wrong now."""


class Threshold:
    """Alarm at `limit` and above, when `times` values in a row were."""

    def __init__(self, limit: float, times: int = 1) -> None:
        self.limit, self.times, self._row = limit, times, 0

    def step(self, value: float) -> bool:
        """Take a value."""
        self._row = self._row + 1 if value >= self.limit else 0
        return self._row >= self.times


class _Learning:
    """What is usual: mean and spread of the first values."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self.mean = self.spread = 0.0

    def deviation(self, value: float) -> float | None:
        """Return how far a value is from the usual, in spreads; None while that is being learned."""
        if len(self._first) < LEARNS:
            self._first.append(value)
            if len(self._first) == LEARNS:
                self.mean = sum(self._first) / LEARNS
                spread = sqrt(sum((one - self.mean) ** 2 for one in self._first) / (LEARNS - 1))
                self.spread = max(spread, LEAST_SPREAD * abs(self.mean), 1e-9)
            return None
        return (value - self.mean) / self.spread


class Ewma:
    """The average forgets: a new value counts `weight`.  Alarm above `limit` of its own standard deviations."""

    def __init__(self, weight: float = 0.3, limit: float = 4.0) -> None:
        self.weight, self.limit = weight, limit
        self.average, self._usual = 0.0, _Learning()

    def step(self, value: float) -> bool:
        """Take a value."""
        deviation = self._usual.deviation(value)
        if deviation is None:
            return False
        self.average += self.weight * (deviation - self.average)
        return self.average > self.limit * sqrt(self.weight / (2 - self.weight))


class Cusum:
    """What a value is more than `slack` spreads above the usual is added up.  Alarm above `limit`."""

    def __init__(self, slack: float = 1.0, limit: float = 6.0) -> None:
        self.slack, self.limit = slack, limit
        self.sum, self._usual = 0.0, _Learning()

    def step(self, value: float) -> bool:
        """Take a value."""
        deviation = self._usual.deviation(value)
        if deviation is None:
            return False
        self.sum = max(0.0, self.sum + deviation - self.slack)
        return self.sum > self.limit


CHANGE: dict[str, type[Ewma] | type[Cusum]] = {"cusum": Cusum, "ewma": Ewma}
