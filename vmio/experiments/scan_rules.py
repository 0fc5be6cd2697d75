"""Five rules for the number of reads in flight.  Each sees how long reads took on average, and says how many there may be from now on.

    rule = made("PID")
    depth = rule(depth, took, target)       times in us, reads in flight before and after

AIMD: D.-M. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989.
PID in its standard form: K. J. Astrom, R. M. Murray, "Feedback Systems", Princeton 2008, chapter 10 ("PID Control"), with windup in
section 10.4.
"""

from collections.abc import Callable

Rule = Callable[[int, float, float], int]      # (reads in flight, us that they took, us that they should take) -> reads in flight
PERIOD_US, TARGET_US, MOST = 150, 300, 16
GAIN = 0.008            # reads in flight for each us that a read is too fast;
RESET_US = 600          # in this time the integral adds as much again as the gain alone;
RATE_US = 150           # and so far ahead looks the slope.  All three were found by trying, with numbers 600 us old


def static(depth: int, took: float, target: float) -> int:
    """Return what it was: nobody looks."""
    return depth


def threshold(depth: int, took: float, target: float) -> int:
    """Return one more below half the target, and one fewer above it: in between nothing happens (hysteresis)."""
    return depth + 1 if took < target / 2 else depth - 1 if took > target else depth


def aimd(depth: int, took: float, target: float) -> int:
    """Return one more while the target is kept, and half if it is not: additive increase, multiplicative decrease, as TCP does."""
    return depth + 1 if took <= target else depth // 2


def hasty(depth: int, took: float, target: float) -> int:
    """Return all or nothing.  The bad one."""
    return MOST if took <= target else 1


class Pid:
    """Proportional, integral, derivative: what is wrong now, what has been wrong so far, and where it goes.  Asked each `PERIOD_US`."""

    def __init__(self) -> None:
        self.total: float | None = None         # the integral, in reads in flight
        self.error = 0.0                        # of the last look, in us

    def __call__(self, depth: int, took: float, target: float) -> int:
        """Return the sum of the three."""
        error = target - took
        if self.total is None:
            self.total, self.error = depth - GAIN * error, error        # it begins with what there is
        # Anti-windup: the integral never is what nobody may have, or it would first have to come back from there.
        self.total = min(max(self.total + GAIN * error * PERIOD_US / RESET_US, 1), MOST)
        slope, self.error = (error - self.error) / PERIOD_US, error
        return round(min(max(GAIN * error + self.total + GAIN * RATE_US * slope, 1), MOST))


RULES: dict[str, Rule | type[Pid]] = {"static": static, "threshold": threshold, "AIMD": aimd, "PID": Pid, "hasty": hasty}


def made(name: str) -> Rule:
    """Return the rule of that name, for one scan: who remembers something begins anew.  KeyError for another name."""
    rule = RULES[name]
    return rule() if isinstance(rule, type) else rule
