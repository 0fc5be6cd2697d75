"""One workload in all three modes: the same requests, the same prices; what differs, and why, in words.

All that is said here is computed from results of runs; nothing is a formula of the cost model.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from vmio import data
from vmio.experiments import disk, trace
from vmio.experiments.disk import MODES, DiskParams
from vmio.experiments.disk_result import DiskResult
from vmio.experiments.traces.request import Request, Requests
from vmio.hypervisor.costs import CostModel
from vmio.machine.contracts import Options
from vmio.table import number, table

TRACES = ("random_read_4k", "read_all_files", "sqlite_commits", "stream_1m", "untar")
WORKLOADS = ("mix", *TRACES)
DISK_MIB = 32
MAX_REQUESTS = 64                      # requests of a comparison
# How an emulated disk moves data, and how many bytes of that a run behind a slider has time for.
TRANSFERS: dict[str, Options] = {"PIO words": dict(transfer="pio", string=False), "PIO strings": dict(transfer="pio"),
             "DMA": dict(transfer="dma")}
MAX_BYTES = {"PIO words": 32 << 10, "PIO strings": 256 << 10, "DMA": 4 << 20}
TIMES_AND_SAVINGS = (*MODES, *(f"{mode} saves" for mode in MODES[1:]))
PARTS = {"guest": "the guest's own work", "exit": "exits", "copy": "copying", "device": "the device",
         "waiting": "waiting to be served or woken"}


@dataclass(frozen=True)
class Comparison:
    """Results of the same requests by mode; `results` is {mode: DiskResult}."""

    results: dict

    def us(self, mode: str) -> float:
        """Virtual time per request, in us."""
        return self.results[mode].virtual_ns / self.results[mode].requests / 1000

    def parts_us(self, mode: str) -> dict[str, float]:
        """{part: us per request}."""
        one = self.results[mode]
        return {part: ns / one.requests / 1000 for part, ns in one.parts.items()}

    def saved(self, mode: str) -> float:
        """% of the time that `mode` saves over the mode before it, to one decimal."""
        return round(saved(self.us(MODES[MODES.index(mode) - 1]), self.us(mode)), 1)

    def times_and_savings(self) -> list[float]:
        """us per request in each mode, then % saved by each over the one before: a row under `TIMES_AND_SAVINGS`."""
        return [*map(self.us, MODES), *map(self.saved, MODES[1:])]

    def rows(self) -> list[tuple[str, float, float, float]]:
        """[(measure, emulated, split, passthrough), ...]"""
        ones = self.results.values()
        measures = (("exits", lambda one: one.exits_total / one.requests),
                    ("interrupts", lambda one: one.interrupts / one.requests),
                    ("us", lambda one: one.virtual_ns / one.requests / 1000),
                    ("host CPU us", lambda one: one.host_cpu_ns / one.requests / 1000),
                    ("p50 us", lambda one: one.latency(50) / 1000),
                    ("p99 us", lambda one: one.latency(99) / 1000),
                    ("kIOPS", lambda one: one.requests * 1e6 / one.virtual_ns),
                    ("MiB/s", lambda one: one.bytes * 1e9 / one.virtual_ns / (1 << 20)))
        return [(name, *(measure(one) for one in ones)) for name, measure in measures]

    def table(self, title: str | None = None) -> str:
        """Return the measures a request, and rates, as fixed-width text."""
        return table(self.rows(), ("per request", *self.results), title=title)

    def same_bytes(self) -> bool:
        """Did all modes read the same?"""
        return len({one.sha256 for one in self.results.values()}) == 1

    def words(self) -> list[str]:
        """Return what dominates, and what each step from mode to mode saves: a list of sentences."""
        said = [f"{mode}: {percent:.0f} % is {PARTS[part]}" for mode in self.results
                for part, percent in (dominant(self.parts_us(mode)),)]
        modes = list(self.results)
        return said + [self._step(one, other) for one, other in zip(modes, modes[1:])]

    def _step(self, one: str, other: str) -> str:
        percent = saved(self.us(one), self.us(other))
        if abs(percent) < 0.5:
            return f"{other} takes as long as {one}"
        sign = 1 if percent > 0 else -1
        before, after = self.parts_us(one), self.parts_us(other)
        part = max(before, key=lambda name: sign * (before[name] - after[name]))
        less = "less" if percent > 0 else "more"
        return f"{other} takes {number(round(abs(percent), 1))} % {less} time than {one}; most of that is {PARTS[part]}"


def dominant(parts: dict[str, float]) -> tuple[str, float]:
    """(name of the largest part, its share in %)."""
    name = max(parts, key=parts.__getitem__)
    return name, 100 * parts[name] / sum(parts.values())


def saved(before: float, after: float) -> float:
    """Return how much less, in % of `before`; negative for more."""
    return 100 * (before - after) / before


@lru_cache
def recorded(name: str) -> Requests:
    """Return the requests of a real guest that are in data/traces under this name; ValueError names those there are."""
    if name not in TRACES:
        raise ValueError(f"trace {name!r}: choose one of {', '.join(TRACES)}")
    return tuple(trace.load(data.path("traces") / f"{name}.csv"))


@lru_cache(maxsize=64)
def requests(workload: str = "mix", transfer: str = "DMA", block: int = 4096, reads: int = 100,
             order: str = "sequential") -> tuple[Request, ...]:
    """Return the requests of a workload as a tuple: at most `MAX_REQUESTS`, and as many bytes as `transfer` has time for."""
    max_bytes = MAX_BYTES[transfer]
    if workload == "mix":
        return tuple(trace.mixed(max(1, min(MAX_REQUESTS, max_bytes // block)), block, reads, order == "random", DISK_MIB << 20))
    return tuple(trace.middle(recorded(workload), MAX_REQUESTS, max_bytes))


@lru_cache(maxsize=2048)
def run(params: DiskParams, requests: Requests) -> DiskResult:
    """`disk.run`, remembered; without the disks and the rings' history."""
    return replace(disk.run(params, requests, disk.pattern(DISK_MIB)), images=[], rings={})


def params_of(mode: str, transfer: str = "DMA", queue_depth: int = 1, iommu: str = "static", delivery: str = "injected",
              costs: str | CostModel = "server-2022", guests: int = 1, host_cores: int = 2,
              apic: str = "virtualized") -> DiskParams:
    """Return the `DiskParams`; what a mode does not heed stays at its default, so that `run` remembers it."""
    own: dict[str, Options] = {"emulated": TRANSFERS[transfer], "split": dict(queue_depth=queue_depth, apic=apic),
           "passthrough": dict(queue_depth=queue_depth, iommu=iommu, delivery=delivery, apic=apic)}
    return DiskParams(mode=mode, costs=costs, guests=guests, host_cores=host_cores, **own[mode])


def compare(workload: str = "mix", transfer: str = "DMA", block: int = 4096, reads: int = 100, order: str = "sequential",
            **settings: Any) -> Comparison:
    """Return a `Comparison` of `requests(...)`; `settings` as in `params_of`."""
    same = requests(workload, transfer, block, reads, order)
    return Comparison({mode: run(params_of(mode, transfer, **settings), same) for mode in MODES})
