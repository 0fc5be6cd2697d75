"""What a request costs as requests, guests and requests in flight grow, over what it costs with few of them.

Processor time, set-up left out: a run less one of a few requests.  The two sides of a
ratio take turns, and the median of the ratios counts.
"""

import gc
from statistics import median
from time import process_time

from vmio.experiments import disk, trace

ROUNDS = 3
MODES = {"ATA DMA": dict(transfer="dma"), "split": dict(mode="split"), "passthrough": dict(mode="passthrough")}
TARGET = "at most 1.3"


def _seconds(count, **params):
    requests = trace.mixed(count, 4096, 70, random=True)
    gc.collect()
    start = process_time()
    disk.run(disk.DiskParams(**params), requests, disk.pattern(32))
    return process_time() - start


def _each(count, guests=1, **params):
    """Seconds a request, of `count` in each guest."""
    few = _seconds(4, guests=guests, **params)
    return (_seconds(4 + count, guests=guests, **params) - few) / (count * guests)


def _ratio(many, few):
    return median(many() / few() for _ in range(ROUNDS))


def measure():
    """Ratios for each mode; all have 8 requests in flight unless the row says otherwise."""
    rows = []
    for mode, params in MODES.items():
        deep = dict(params, queue_depth=8)
        ratio = _ratio(lambda: _each(50_000, **deep), lambda: _each(1000, **deep))
        rows.append((f"{mode}: cost of a request, 50,000 requests over 1,000", ratio, TARGET))
        guests = 64 if mode == "passthrough" else 256
        ratio = _ratio(lambda: _each(64, guests, **deep), lambda: _each(64 * guests, **deep))
        rows.append((f"{mode}: cost of a request, {guests} guests over 1", ratio, TARGET))
        if mode == "ATA DMA":      # takes one at a time
            continue
        ratio = _ratio(lambda: _each(4096, **dict(params, queue_depth=1024)), lambda: _each(4096, **deep))
        rows.append((f"{mode}: cost of a request, 1,024 in flight over 8", ratio, TARGET))
    return rows
