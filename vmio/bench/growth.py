"""What a request costs as requests, guests and requests in flight grow, over what it costs with few of them.

Machines that are up and read 4 KiB after 4 KiB take turns.  What a run does at its
end, too, is in the rows of whole runs, less a run of a few requests.
"""

import gc
from collections.abc import Callable
from typing import Any

from vmio.bench import Row, cost, ratios, row, sampler, turns
from vmio.bench.steady import Steady
from vmio.experiments import disk, trace

Settings = dict[str, Any]     # of `DiskParams`
MODES: dict[str, Settings] = {"ATA DMA": dict(transfer="dma"), "split": dict(mode="split", queue_depth=8),
                              "passthrough": dict(mode="passthrough", queue_depth=8)}
TARGET = "at most 1.3"
MANY, FEW, LEAST = 50_000, 1000, 4


def _whole(count: int, params: Settings) -> Callable[[], float]:
    """A run's cost in ns, as a function."""
    requests, image = trace.mixed(count, 4096, 70, random=True), disk.pattern(32)
    run = cost(lambda: disk.run(disk.DiskParams(**params), requests, image))

    def clean() -> float:
        gc.collect()
        return run()
    return clean


def _long(params: Settings) -> list[float]:
    """Ratios of a request's cost in a long run over that in a short one."""
    ns = turns({count: _whole(count, params) for count in (LEAST, FEW, LEAST + MANY)}, rounds=3)
    many, few = ([(one - least) / count for one, least in zip(ns[size], ns[LEAST], strict=True)]
                 for size, count in ((LEAST + MANY, MANY), (FEW, FEW - LEAST)))
    return ratios(many, few)


def _over(many: Settings, few: Settings) -> list[float]:
    """Ratios of what a read costs in two machines."""
    ns = turns({"many": sampler(Steady(**many)), "few": sampler(Steady(**few))})
    return ratios(ns["many"], ns["few"])


def measure() -> list[Row]:
    """Ratios for each mode, with 8 requests in flight unless the row says otherwise; an ATA disk takes one."""
    rows = []
    for mode, params in MODES.items():
        rows.append(row(f"{mode}: cost of a request, {MANY:,} requests over {FEW:,}", _long(params), TARGET))
        guests = 64 if mode == "passthrough" else 256
        many = dict(params, guests=guests, reads=200)
        rows.append(row(f"{mode}: cost of a request, {guests} guests over 1", _over(many, params), TARGET))
        if mode != "ATA DMA":
            deep = dict(params, queue_depth=1024)
            rows.append(row(f"{mode}: cost of a request, 1,024 in flight over 8", _over(deep, params), TARGET))
    return rows
