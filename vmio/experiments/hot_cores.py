"""Host cores that come and go under running guests: a split-driver workload, and what it gets done with each number.

    result = run_hot_cores(DiskParams(mode="split", guests=8, queue_depth=32, host_cores=1), (1, 4, 2))
    print(result.table())

The guests' vCPUs and the host's workers share the cores (`Host.set_cores`); the
disk could do more than they ask of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmio.experiments import disk
from vmio.experiments.disk import DiskResult
from vmio.experiments.disk_params import DiskParams
from vmio.experiments.disk_run import DiskRun
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.host import Host
from vmio.table import table

WARM_UP_NS = 1_000_000     # until every guest has all its requests on the way


@dataclass(frozen=True)
class HotCores:
    """The whole run, and for each stretch of time (cores, ns, bytes that the guests read in it)."""

    result: DiskResult
    stretches: tuple

    def rates(self) -> list[float]:
        """MiB/s of all guests together in each stretch."""
        return [size / (1 << 20) * 1e9 / ns for _, ns, size in self.stretches]

    def table(self) -> str:
        """Return one line a stretch, as fixed-width text."""
        rows, since = [], 0
        for (cores, ns, size), rate in zip(self.stretches, self.rates()):
            rows.append((f"{since / 1e6:g} to {(since + ns) / 1e6:g} ms", cores, size // self.result.params.block, rate))
            since += ns
        return table(rows, ("when", "host cores", "requests", "MiB/s"))


def run_hot_cores(params: DiskParams, cores: Sequence[int], ns: int = 1_000_000) -> HotCores:
    """Sequential reads by `params`, with each number of `cores` for `ns`, after a time to warm up with the first.

    A `HotCores`; the guests read until they have done all, and a stretch that they don't
    live to see the end of is left out.  ValueError as `disk.run`, and for a number of
    cores that no host has.
    """
    params = replace(params, mode="split", host_cores=cores[0]).check()
    for number in cores:
        replace(params, host_cores=number).check()
    stretches = []

    def change(host: Host, runs: Sequence[DiskRun]) -> Steps:
        while not all(hasattr(run, "started") for run in runs):
            yield host.env.timeout(1000)
        yield host.env.timeout(WARM_UP_NS)
        for number in cores:
            host.set_cores(number)
            before = sum(run.ledger.bytes_read for run in runs)
            yield host.env.timeout(ns)
            stretches.append((number, ns, sum(run.ledger.bytes_read for run in runs) - before))
    result = disk.run(params, meanwhile=change)
    return HotCores(result, tuple(stretches))
