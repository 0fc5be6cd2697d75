"""Completion by interrupt or by polling, and the size from which on it does not matter."""

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.papers.result import Result, Row, figure
from vmio.experiments.trace import Request
from vmio.hypervisor.costs import CostModel

JOBS, EACH = 4, 8           # guests, and requests of each
KIB = 1024


def iops(costs: CostModel, kib: int, kind: str = "R", polled: bool = False) -> float:
    """Requests/s of four guests that have one of `kib` KiB each in flight; all on one disk."""
    if polled:
        costs = costs.with_(wakeup_ns=0)
    params = DiskParams(mode="split", guests=JOBS, host_cores=2 * JOBS, costs=costs)
    result = disk.run(params, [Request(kind, 2 * kib * n, 2 * kib) for n in range(EACH)], disk.pattern(1))
    return result.requests * 1e9 / result.virtual_ns


def fitted() -> CostModel:
    """Return the paper's disk: rates from its largest requests, latencies from those of 4 KiB by interrupt."""
    costs = CostModel.preset().with_(disk_read_rate=round(figure("N07.4a") * 128 * KIB),
                                     disk_write_rate=round(figure("N07.7a") * 64 * KIB))
    for name, kind, row_id in (("disk_read_ns", "R", "N07.1a"), ("disk_write_ns", "W", "N07.5a")):
        off = JOBS * 1e9 / figure(row_id) - JOBS * 1e9 / iops(costs, 4, kind)
        costs = costs.with_(**{name: round(getattr(costs, name) + off)})
    return costs


def run() -> Result:
    """Reads and writes by both ways."""
    costs, rows = fitted(), []
    for row_id, kib, kind in (("N07.1a", 4, "R"), ("N07.1b", 4, "R"), ("N07.4a", 128, "R"), ("N07.5a", 4, "W"),
                              ("N07.2a", 16, "R"), ("N07.2b", 16, "R"), ("N07.3a", 64, "R"), ("N07.3b", 64, "R"),
                              ("N07.5b", 4, "W"), ("N07.6a", 16, "W"), ("N07.6b", 16, "W")):
        polled = row_id.endswith("b")
        rows.append(Row(f"{kib} KiB {'read' if kind == 'R' else 'write'}, {'polling' if polled else 'interrupt'}, IOPS",
                        figure(row_id), iops(costs, kib, kind, polled),
                        "fit" if row_id in ("N07.1a", "N07.1b", "N07.4a", "N07.5a") else "test"))
    return Result("Interrupt or poll: four jobs on one disk",
                  "four guests, StorVSC to StorVSP to NVMe, one request each. Fitted: the disk's two rates and two "
                  "latencies, and what a sleeping guest pays to wake up, which one that polls does not (StorVSC has no "
                  "polling of its own). From 64 KiB on the disk's rate decides, and polling gains nothing.",
                  ("N07.1a",), tuple(rows))
