"""The moment in which a program's set-up ends: what its vCPU has counted by then, so that what comes later can be told apart.

What is counted is read from outside, past the program's instructions.  A program that is begun anew, because a checkpoint is
restored, must find what it found when it ran first; so where its answers are kept (`RecordedCpu`), this is one of them.
"""

from collections.abc import Callable
from typing import Any

from vmio.hypervisor.exits import Intercept
from vmio.hypervisor.recorded import kept
from vmio.hypervisor.vcpu import VCpu

COUNTS = "now", "exits", "compute_ns", "idle_ns", "interrupts"


class Mark:
    """What `vcpu` has counted until now; `cpu` is it, or what its program has in its place.

    `now` (ns), `exits`, `compute_ns`, `idle_ns`, `interrupts`, and `more`: whole numbers by name, as its functions say.
    """

    now: int
    exits: int
    compute_ns: int
    idle_ns: int
    interrupts: int

    def __init__(self, vcpu: VCpu, cpu: Any, **more: Callable[[], int]) -> None:
        self.vcpu, self._more = vcpu, more
        counts, extra, rows = kept(cpu, self, "counted_so_far").counted_so_far()
        for name, value in zip(COUNTS, counts, strict=True):
            setattr(self, name, value)
        self.more: dict[str, int] = dict(zip(more, extra, strict=True))
        self._rows = {tuple(key): (count, total_ns) for key, count, total_ns in rows}

    def counted_so_far(self) -> list:
        """Return all of it as plain data: the answer that a checkpoint keeps."""
        cpu = self.vcpu
        return [[cpu.now, cpu.exits.total, cpu.compute_ns, cpu.idle_ns, cpu.interrupts], [count() for count in self._more.values()],
                [[[*key], row.count, row.total_ns] for key, row in cpu.table.rows.items() if row.count]]

    def by(self, key: Callable[[Intercept], Any]) -> dict[str, int]:
        """Return the exits since then, by `key(row)`."""
        counts: dict[str, int] = {}
        for name, row in self.vcpu.table.rows.items():
            count = row.count - self._rows.get(name, (0, 0))[0]
            if count:
                counts[key(row)] = counts.get(key(row), 0) + count
        return counts

    def before(self, key: Callable[[Intercept], Any]) -> dict[str, int]:
        """Return the exits until then, by `key(row)`."""
        counts: dict[str, int] = {}
        for name, row in self.vcpu.table.rows.items():
            if name in self._rows:
                counts[key(row)] = counts.get(key(row), 0) + self._rows[name][0]
        return counts

    @property
    def exit_ns(self) -> int:
        """The time in exits since then, in ns."""
        return sum(row.total_ns - self._rows.get(name, (0, 0))[1] for name, row in self.vcpu.table.rows.items())
