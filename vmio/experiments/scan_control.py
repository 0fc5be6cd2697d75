"""Who decides how many reads are under way: a host that asks a rule again and again while a scan runs.

What a rule sees is old: the reads ended some time ago.  One that answers at once and in full to an old number sees what it has done
only when the delay is over, and a read's own time is part of that.  So it swings: in that time from one end to the other, and in as
much time back.
"""

from dataclasses import dataclass, field
from functools import partial

from simpy.events import Event

from vmio.experiments import scan
from vmio.experiments.scan import ScanParams, ScanResult
from vmio.experiments.scan_rules import MOST, PERIOD_US, RULES, TARGET_US, Rule, made
from vmio.experiments.scan_job import START_NS
from vmio.experiments.scan_worker import Team
from vmio.hypervisor.costs import CostModel
from vmio.modes import Machine

# Two workers that ask a disk for more than it can give: each would search 4 GB/s, the disk gives 1.
SLOW_DISK = CostModel.preset("server-2022").with_(disk_read_rate=1_000_000_000)
LOADED = ScanParams(workers=2, kib=6784, piece_kib=16, rate=4000, merge_ns=0, depth=2, cores=16, costs=SLOW_DISK)
DELAY = 4
__all__ = ["DELAY", "LOADED", "MOST", "PERIOD_US", "RULES", "TARGET_US", "Governed", "run"]


@dataclass(frozen=True)
class Governed:
    """A scan under a rule: `steps` are (us since the start, us that reads took, reads in flight from then on), one for each look."""

    rule: str
    result: ScanResult
    steps: list[tuple[int, float, int]] = field(repr=False)

    @property
    def swings(self) -> list[int]:
        """The times in us at which the depth turned from falling, or resting, to rising."""
        found, falling = [], True
        for (_, _, before), (when, _, after) in zip(self.steps, self.steps[1:]):
            if after > before and falling:
                found.append(when)
            falling = after < before if after != before else falling
        return found

    @property
    def period_us(self) -> float | None:
        """The mean time between two such turns; None if there are fewer than three."""
        turns = self.swings
        return (turns[-1] - turns[0]) / (len(turns) - 1) if len(turns) > 2 else None

    @property
    def slowest_us(self) -> float:
        """The most that reads took on average in a period."""
        return max(took for _, took, _ in self.steps)

    @property
    def kept(self) -> float:
        """Percent of the reads that took no longer than the target."""
        return 100 * sum(ns <= TARGET_US * 1000 for _, ns in self.result.latencies) / len(self.result.latencies)


def run(rule: str = "AIMD", delay: int = DELAY, params: ScanParams = LOADED, own: Rule | None = None) -> Governed:
    """Return a scan whose depth is set by the rule of that name, or by one of your `own`, each `PERIOD_US`, from what was measured
    `delay` periods before.

    ValueError for another rule, a delay below 0, or a rule's answer that is no whole number.
    """
    if own is None and rule not in RULES:
        raise ValueError(f"rule {rule!r}: choose one of {', '.join(RULES)}")
    if delay < 0:
        raise ValueError(f"delay {delay}: 0 periods or more")
    look = _Look(own or made(rule), delay)
    result = scan.run(params, look.begin)
    return Governed(rule if own is None else own.__name__, result, look.steps)


class _Look:
    """The host's looks at a scan that runs, one in each period."""

    def __init__(self, rule: Rule, delay: int) -> None:
        self.rule, self.delay = rule, delay
        self.steps: list[tuple[int, float, int]] = []
        self._seen: list[float] = []        # us that reads took, in each period
        self._counted = 0                   # reads of the periods before

    def begin(self, machine: Machine, team: Team) -> None:
        """Look when the workers have begun, and so on."""
        machine.host.at(START_NS + PERIOD_US * 1000, partial(self._look, machine, team))

    def _look(self, machine: Machine, team: Team, _: Event) -> None:
        if team.over:
            return
        took = [ns / 1000 for _, ns in team.job.latencies[self._counted:]]
        self._counted += len(took)
        self._seen.append(sum(took) / len(took) if took else self._seen[-1] if self._seen else 0.0)
        if len(self._seen) > self.delay:
            wanted = self.rule(team.depth, self._seen[-1 - self.delay], TARGET_US)
            if not isinstance(wanted, int):
                raise ValueError(f"the rule has answered {wanted!r}; a whole number of reads is needed")
            team.depth = min(max(wanted, 1), MOST)
        now = machine.host.env.now
        self.steps.append(((now - START_NS) // 1000, self._seen[-1], team.depth))
        machine.host.at(now + PERIOD_US * 1000, partial(self._look, machine, team))
