"""What came of a fleet's day."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from vmio.machine.contracts import Json
from vmio.machine.memory import PAGE
from vmio.manage.fleet.calibrate import recorded
from vmio.manage.fleet.evacuate import Evacuation
from vmio.manage.fleet.guests import HOURS
from vmio.manage.fleet.params import FleetParams
from vmio.manage.fleet.service import BUSY, curve, errors, worst
from vmio.table import table

SCHEMA = "vmio.fleet/1"
LEFT_OUT = ("left out: all resources but memory, cores and disks; how read times spread; what migrations cost beside the link; guests that come and go during the day; broken hosts")


class HalfHour(NamedTuple):
    """Half an hour of all hosts that have guests: reads a second, how busy the cores are, on how many hosts above `BUSY`, the mean time of
    a read on the others."""

    reads: float
    mean_busy: float
    most_busy: float
    overloaded: int
    latency_us: float | None


@dataclass(frozen=True)
class FleetResult:
    """`used` hosts had guests before the evacuation; `majority_lost` services would lose two replicas of three with the worst rack."""

    params: FleetParams
    placed: int
    refused: int
    used: int
    majority_lost: int
    steps: tuple[HalfHour, ...] = field(repr=False)
    evacuation: Evacuation

    @property
    def overloaded_hours(self) -> float:
        """Host-hours in which a host's cores were busier than `BUSY`."""
        return sum(step.overloaded for step in self.steps) * HOURS

    @property
    def most_busy(self) -> float:
        """The busiest host in the day's worst half hour."""
        return max(step.most_busy for step in self.steps)

    @property
    def mean_busy(self) -> float:
        """The mean host in the half hour in which that is largest."""
        return max(step.mean_busy for step in self.steps)

    @property
    def latency_us(self) -> float | None:
        """The mean time of a read in the half hour in which it was longest; None if all hosts were too busy all day."""
        return max((step.latency_us for step in self.steps if step.latency_us is not None), default=None)

    def table(self) -> str:
        """Return all of it as text, with what it leaves out and how far the curve is off."""
        mean, most = worst(errors(recorded(self.params.mode), curve(self.params.mode)))
        rows: list[tuple[str, object]] = [
            ("guests placed", self.placed), ("guests without a host", self.refused), ("hosts with guests", self.used),
            ("services that lose most replicas with the worst rack", self.majority_lost),
            ("busiest host, % of its cores", 100 * self.most_busy), ("mean host at the peak, %", 100 * self.mean_busy),
            (f"host-hours above {100 * BUSY:.0f} %", self.overloaded_hours), ("a read at the peak, us on average", self.latency_us)]
        if self.params.evacuate:
            report = self.evacuation
            rows += [("guests moved", report.moved), ("guests that found no room", len(report.no_room)), ("guests too busy to move", len(report.too_busy)),
                     ("GB moved", report.pages * PAGE / 1e9), ("minutes until the hosts were empty", report.minutes if not (report.no_room or report.too_busy) else None),
                     ("longest pause of a guest, ms", report.down_ns / 1e6)]
        return "\n".join([table(rows, (f"{self.params.hosts:,} hosts, {self.params.policy}, {self.params.mode}", ""), "<>"), "",
                          f"the curve is off by {mean:.1f} % on average, {most:.1f} % at most, at points that it was not fitted to", LEFT_OUT])

    def to_csv(self) -> str:
        """Return a line for each half hour: hour, reads a second, mean and busiest host in %, overloaded hosts, us of a read (empty: none)."""
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("hour", "reads_s", "mean_busy_percent", "most_busy_percent", "overloaded_hosts", "read_us"))
        rows.writerows((number * HOURS, round(step.reads), f"{100 * step.mean_busy:.2f}", f"{100 * step.most_busy:.2f}", step.overloaded,
                        "" if step.latency_us is None else f"{step.latency_us:.2f}") for number, step in enumerate(self.steps))
        return out.getvalue()

    def to_dict(self) -> Json:
        """Return plain data for JSON."""
        return {"schema": SCHEMA, "params": asdict(self.params), "placed": self.placed, "refused": self.refused, "used": self.used,
                "majority_lost": self.majority_lost, "overloaded_hours": self.overloaded_hours, "steps": [step._asdict() for step in self.steps],
                "evacuation": asdict(self.evacuation)}


def compared(results: Sequence[FleetResult]) -> str:
    """Return a line for each result: what its policy costs, and what it saves."""
    rows = [(one.params.policy, one.placed, one.used, one.majority_lost, 100 * one.most_busy, one.overloaded_hours, one.latency_us,
             one.evacuation.moved, len(one.evacuation.no_room), one.evacuation.minutes if one.params.evacuate else None) for one in results]
    return table(rows, ("policy", "placed", "hosts used", "services lost with a rack", "busiest %", f"host-hours over {100 * BUSY:.0f} %", "a read, us",
                        "moved", "no room", "minutes"))
