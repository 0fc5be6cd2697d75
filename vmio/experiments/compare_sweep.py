"""Where a mode stops paying: one price or size is changed step by step, and at each step all three modes run."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vmio.experiments import compare, trace
from vmio.experiments.compare import TIMES_AND_SAVINGS, Comparison, params_of
from vmio.experiments.disk import MODES
from vmio.hypervisor.costs import CostModel
from vmio.machine.contracts import Options
from vmio.table import table

MATTERS = 10      # %: less than that is called not worth the trouble
REQUESTS = 16
EXIT_TERMS = ("hypercall_ns", "lookup_ns", "emulate_ns", "user_space_ns")
UNITS = {"size": "KiB per read", "device": "us per read", "exits": "times their price", "cores": "cores of the host"}
STEPS = {"size": (0.5, *(1 << n for n in range(9))), "device": tuple(4 << n for n in range(11)),
         "exits": tuple(2.0 ** n for n in range(-4, 5)), "cores": (1, 2, 4, 8)}
CROWD = dict(guests=4, queue_depth=8)      # one guest alone never waits for a core


@dataclass(frozen=True)
class Sweep:
    """`points` is {x: Comparison}, x in `unit`."""

    against: str
    points: dict

    @property
    def unit(self) -> str:
        """Of x."""
        return UNITS[self.against]

    def us(self, mode: str) -> list[float]:
        """[us per request at each x]"""
        return [point.us(mode) for point in self.points.values()]

    def saved(self, mode: str) -> list[float]:
        """[% of the time that `mode` saves over the mode before it]"""
        return [point.saved(mode) for point in self.points.values()]

    def table(self) -> str:
        """Times and savings as fixed-width text."""
        rows = [(x, *one.times_and_savings()) for x, one in self.points.items()]
        return table(rows, (self.unit, *TIMES_AND_SAVINGS), title="us per request, and % saved over the mode before")

    def words(self) -> list[str]:
        """Two sentences: where each step from mode to mode matters."""
        return [f"{name} {_where(list(self.points), self.saved(mode), self.unit)}"
                for name, mode in (("Splitting", "split"), ("Passing through", "passthrough"))]


def _where(xs: list[float], savings: list[float], unit: str) -> str:
    """Where savings are at least `MATTERS`, in words."""
    inside = [x for x, percent in zip(xs, savings) if percent >= MATTERS]
    if not inside:
        return f"saves less than {MATTERS} % everywhere"
    if len(inside) == len(xs):
        return f"saves {MATTERS} % or more everywhere"
    low, high = xs.index(inside[0]), xs.index(inside[-1])
    if high - low + 1 != len(inside):
        return f"saves {MATTERS} % or more at {', '.join(f'{x:g}' for x in inside)} {unit}"
    if low == 0:
        return f"saves {MATTERS} % or more up to {xs[high]:,g} {unit}"
    return f"saves {MATTERS} % or more from {xs[low]:,g} {unit}" + (f" to {xs[high]:,g}" if high < len(xs) - 1 else "")


@lru_cache(maxsize=256)
def sweep(against: str = "size", transfer: str = "DMA", queue_depth: int = 1, iommu: str = "static", delivery: str = "injected",
          costs: str | CostModel = "server-2022") -> Sweep:
    """Return a `Sweep` of 4 KiB reads (but for "size") against one of `STEPS`.

    "cores" has four guests with eight requests in flight each, whatever `queue_depth` is.
    ValueError for another `against`.
    """
    *_, whole = growing(against, transfer, queue_depth, iommu, delivery, costs)
    return whole


def growing(against: str = "size", transfer: str = "DMA", queue_depth: int = 1, iommu: str = "static", delivery: str = "injected",
            costs: str | CostModel = "server-2022") -> Iterator[Sweep]:
    """Yield what `sweep` returns, step by step: a `Sweep` of some of the steps, then of one more each time; the last is whole."""
    if against not in STEPS:
        raise ValueError(f"against {against!r}: choose one of {', '.join(STEPS)}")
    steps = STEPS[against]
    points: dict[float, Comparison] = {}
    settings = dict(transfer=transfer, queue_depth=queue_depth, iommu=iommu, delivery=delivery)
    rough = [*dict.fromkeys((0, len(steps) // 2, len(steps) // 4))]
    for at in (*rough, *(at for at in range(len(steps)) if at not in rough)):
        points[steps[at]] = _point(against, steps[at], CostModel.preset(costs), settings)
        if len(points) >= (1 if against == "cores" else len(rough)):
            yield Sweep(against, {x: points[x] for x in steps if x in points})


def _point(against: str, x: Any, costs: CostModel, settings: Options) -> Comparison:
    block = 4096
    if against == "size":
        block = int(x * 1024)
    elif against == "device":
        costs = costs.with_(disk_read_ns=x * 1000)
    elif against == "exits":
        costs = costs.with_(**{term: round(getattr(costs, term) * x) for term in EXIT_TERMS})
    else:
        settings = {**settings, **CROWD, "host_cores": x}
    most = compare.MAX_BYTES[settings["transfer"]]
    count = max(1, min(max(REQUESTS, 2 * settings["queue_depth"]), most // block))
    same = tuple(trace.mixed(count, block))
    return Comparison({mode: compare.run(params_of(mode, costs=costs, **settings), same) for mode in MODES})
