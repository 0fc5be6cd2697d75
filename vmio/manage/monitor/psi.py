"""Pressure stall information: which part of the time somebody could not go on, for want of a resource.

    some avg10=9.05 avg60=1.63 avg300=0.33 total=1000000
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0

*some*: at least one task waited; *full*: all of them did, and nothing was done.  The averages are the kernel's own, to the bit: about every
two seconds the part that was stalled is mixed into an average that forgets, in fixed point with 11 bits behind the point.
Source: Linux 6.1, kernel/sched/psi.c (psi_show, calc_avgs), include/linux/sched/loadavg.h (calc_load, EXP_*), Documentation/accounting/psi.rst.
"""

from dataclasses import dataclass, field

PERIOD_US = 2_000_000
ONE = 1 << 11                          # 1.0 in this fixed point
FORGETS = (1677, 1981, 2034)           # of 2,048: what is kept of an average of 10, 60 and 300 s after two seconds
WINDOWS = (10, 60, 300)


def mixed(average: int, keeps: int, now: int) -> int:
    """Return the average with `now` mixed in, both in 11-bit fixed point; it rises up to what it is told, not to just below it."""
    new = average * keeps + now * (ONE - keeps)
    return (new + (ONE - 1 if now >= average else 0)) // ONE


def shown(value: int) -> str:
    """Return a number in fixed point as the kernel prints it: two digits, cut off."""
    return f"{value >> 11}.{((value & ONE - 1) * 100) >> 11:02d}"


@dataclass
class Stalled:
    """One line: the three averages, and the time in us in all that somebody was stalled."""

    averages: list[int] = field(default_factory=lambda: [0, 0, 0])
    total_us: int = 0
    _mixed_us: int = 0                 # as much of it is in the averages

    def stall(self, us: int) -> None:
        """Note that somebody was stalled for so long."""
        self.total_us += us

    def period(self, us: int = PERIOD_US) -> None:
        """End a period of `us`: mix in what was stalled since the last one.  More than a whole period waits for the next."""
        stalled = min(self.total_us - self._mixed_us, us)
        self._mixed_us += stalled
        percent = stalled * 100 // us * ONE
        self.averages = [mixed(average, keeps, percent) for average, keeps in zip(self.averages, FORGETS)]

    def line(self, name: str) -> str:
        """Return the line of /proc/pressure."""
        averages = " ".join(f"avg{window}={shown(value)}" for window, value in zip(WINDOWS, self.averages))
        return f"{name} {averages} total={self.total_us}"


@dataclass
class Pressure:
    """A resource's file: `some` and `full`."""

    some: Stalled = field(default_factory=Stalled)
    full: Stalled = field(default_factory=Stalled)

    def period(self, us: int = PERIOD_US) -> None:
        """End a period of both."""
        self.some.period(us)
        self.full.period(us)

    def text(self) -> str:
        """Return the file."""
        return f"{self.some.line('some')}\n{self.full.line('full')}\n"
