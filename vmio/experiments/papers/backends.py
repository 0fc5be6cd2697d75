"""Who runs the backend: more queues, more workers, more flows."""

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.papers.result import Result, Row, figure
from vmio.hypervisor.costs import CostModel

SEGMENT = 65_536            # bytes that the worker moves for one request
REQUESTS = 24


def gbits(flows: int, workers: int) -> float:
    """Gbit/s of so many guests, each with a ring and its worker, when `workers` cores are all there are to run these."""
    free = {name: 0 for name in ("hypercall_ns", "lookup_ns", "emulate_ns", "user_space_ns", "wakeup_ns",
                                 "worker_wakeup_ns", "guest_request_ns", "disk_read_ns")}
    work = round(SEGMENT * 8 / figure("P08.1a"))      # of one worker, as one was measured
    costs = CostModel.preset().with_(**free, host_request_ns=work, disk_read_rate=1 << 50)
    params = DiskParams(mode="split", bytes=512 * REQUESTS, block=512, queue_depth=8, guests=flows, batch=1,
                        host_cores=workers, costs=costs)
    result = disk.run(params)
    return result.requests * SEGMENT * 8 / result.virtual_ns


def run() -> Result:
    """Two flows and one, on one worker and on two."""
    one = gbits(1, 1)
    rows = (
        Row("two flows, one worker, Gbit/s", figure("P08.1a"), gbits(2, 1), "fit"),
        Row("one flow, two workers / one", figure("P08.2b") / figure("P08.2a"), gbits(1, 2) / one),
        Row("two flows, two workers / one", figure("P08.1b") / figure("P08.1a"), gbits(2, 2) / gbits(2, 1),
            why="Here nothing but the workers needs the cores. On that desktop the clients and both network stacks "
                "need them too; the commit names neither their number nor their load."),
        Row("QEMU, more queues and one worker / one queue", figure("P01.2") / figure("P01.1"), gbits(2, 1) / one),
    )
    return Result("Who runs the backend",
                  "a guest for each flow, with a ring and a worker; nothing costs anything but the worker, 82 us for "
                  "64 KiB (fitted). Data are sectors, not packets.", ("P08.1a", "P01.1"), rows)
