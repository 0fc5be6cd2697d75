"""The byte-accurate machine, asked at a few points: so many guests on one host, each with so many reads a second, in a mode.

    measure("split", [2000] * 8)       core time and mean time of a read, of a run with real rings, exits and bytes

The points of `POINTS` are kept in data/fleet.csv, for a host with thousands of reads takes seconds of a processor;
`vmio fleet --calibrate` measures them again, and a test holds the file against the machine.
"""

import csv
import io
from collections.abc import Callable
from functools import cache
from random import Random
from typing import NamedTuple

from vmio import data, progress
from vmio.experiments import disk
from vmio.experiments.disk_params import DiskParams
from vmio.experiments.disk_result import result
from vmio.experiments.ledger import Ledger
from vmio.experiments.pattern import pattern
from vmio.experiments.traces.request import Request
from vmio.machine.contracts import Options

FILE = "fleet.csv"
CORES = 2                  # of a host: vCPUs and the host's workers share them
READS = 24                 # of each guest, on average
SECTORS, DISK_MIB = 8, 1   # of a read; of a guest's disk
NS, US = 1_000_000_000, 1000
FIT, HELD = "fit", "held out"
MODES: dict[str, Options] = {"emulated": {"transfer": "dma"}, "split": {"queue_depth": 32}, "passthrough": {"queue_depth": 32}}
FULL = 0.85                # of the cores: points that would need more are left out, for they have no steady state

Mix = tuple[tuple[int, int], ...]      # (guests, reads a second of each)
POINTS: tuple[tuple[str, Mix], ...] = (
    *((FIT, (point,)) for point in ((1, 1000), (4, 4000), (8, 2000), (8, 5000), (16, 3000), (24, 1500), (32, 1000), (24, 2500), (32, 2000), (24, 4000))),
    *((HELD, (point,)) for point in ((2, 3000), (12, 4000), (20, 1500), (20, 3000), (28, 2000))),
    (HELD, ((4, 1000), (3, 2000), (2, 3000), (1, 4000))), (HELD, ((8, 600), (6, 1200), (4, 1800), (2, 2400))))


class Measured(NamedTuple):
    """What one run counted: core time and mean time of a read, in ns and in us."""

    mode: str
    use: str
    mix: Mix
    reads: int
    core_ns: float
    latency_us: float

    @property
    def rates(self) -> list[int]:
        """Reads a second of each guest."""
        return [rate for guests, rate in self.mix for _ in range(guests)]


def measure(mode: str, rates: list[int], seed: int = 1) -> tuple[int, float, float]:
    """Run one host with a guest for each of `rates`; (reads, core ns of a read, its mean time in us).

    Reads come when they come (an open loop, with exponential gaps), each from a place of its own on the guest's own disk.
    """
    span = READS * NS * len(rates) // sum(rates)
    counts = [max(1, rate * span // NS) for rate in rates]
    random = Random(f"{mode} {rates} {seed}")
    last = (DISK_MIB << 20) // 512 - SECTORS
    reads = [Request("R", random.randrange(0, last, SECTORS), SECTORS) for _ in range(max(counts))]
    params = DiskParams(mode, guests=len(rates), host_cores=CORES, **MODES[mode])
    params, _, _, runs = disk.machine(params, reads, pattern(DISK_MIB))
    for run, rate, count in zip(runs, rates, counts):
        run.requests, run.times_ns = reads[:count], _arrivals(random, NS / rate, count)
        run.ledger = Ledger(run.requests)
    disk.start(runs).to_the_end()
    found = result(params, reads, runs)
    return sum(counts), (found.guest_ns + found.host_cpu_ns) / sum(counts), sum(found.latencies) / sum(counts) / US


def _arrivals(random: Random, gap_ns: float, count: int) -> list[int]:
    at, found = 0.0, []
    for _ in range(count):
        at += random.expovariate(1) * gap_ns
        found.append(int(at))
    return found


def points(mode: str, idle_core_ns: float) -> list[tuple[str, Mix]]:
    """Return the points that a host can bear in this mode, where a read on an idle host takes so much core time."""
    return [(use, mix) for use, mix in POINTS if sum(guests * rate for guests, rate in mix) * idle_core_ns <= FULL * CORES * NS]


def measure_all(modes: tuple[str, ...] = tuple(MODES), chosen: Callable[[Mix], bool] = lambda mix: True) -> list[Measured]:
    """Run the machine at all points of these modes that are `chosen`."""
    found = []
    with progress.bar(len(modes) * len(POINTS), "hosts") as step:
        for mode in modes:
            _, idle, _ = measure(mode, [POINTS[0][1][0][1]])
            for use, mix in points(mode, idle):
                if chosen(mix):
                    one = Measured(mode, use, mix, 0, 0.0, 0.0)
                    reads, core_ns, latency_us = measure(mode, one.rates)
                    found.append(one._replace(reads=reads, core_ns=round(core_ns, 3), latency_us=round(latency_us, 3)))
                step()
    return found


@cache
def recorded(mode: str) -> tuple[Measured, ...]:
    """Return the points of a mode as data/fleet.csv has them.  ValueError for a mode that there is not."""
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}: choose one of {', '.join(MODES)}")
    with data.path(FILE).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["mode"] == mode]
    return tuple(Measured(mode, row["use"], _mix(row["guests*reads/s"]), int(row["reads"]), float(row["core_ns"]), float(row["latency_us"])) for row in rows)


def to_csv(found: list[Measured]) -> str:
    """Return the text of data/fleet.csv."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("mode", "use", "guests*reads/s", "reads", "core_ns", "latency_us"))
    rows.writerows((one.mode, one.use, words(one.mix), one.reads, one.core_ns, one.latency_us) for one in found)
    return out.getvalue()


def words(mix: Mix) -> str:
    """Return a mix as text: 8*2000 2*4000."""
    return " ".join(f"{guests}*{rate}" for guests, rate in mix)


def _mix(text: str) -> Mix:
    return tuple((int(guests), int(rate)) for guests, rate in (part.split("*") for part in text.split()))
