"""Where a mode stops paying: one price or size is changed step by step, and at each step all three modes run."""

from dataclasses import dataclass
from functools import lru_cache

from vmio.experiments import compare, trace
from vmio.experiments.compare import TIMES_AND_SAVINGS, Comparison, params_of
from vmio.experiments.disk import MODES
from vmio.hypervisor.costs import CostModel
from vmio.table import table

MATTERS = 10      # %: less than that is called not worth the trouble
REQUESTS = 16
EXIT_TERMS = ("hypercall_ns", "lookup_ns", "emulate_ns", "user_space_ns")
UNITS = {"size": "KiB a read", "device": "us a read", "exits": "times their price", "cores": "cores of the host"}
STEPS = {"size": (0.5, *(1 << n for n in range(9))), "device": tuple(4 << n for n in range(11)),
         "exits": tuple(2.0 ** n for n in range(-4, 5)), "cores": (1, 2, 4, 8)}
CROWD = dict(guests=4, queue_depth=8)      # one guest alone never waits for a core


@dataclass(frozen=True)
class Sweep:
    """`points` is {x: Comparison}, x in `unit`."""

    against: str
    points: dict

    @property
    def unit(self):
        """Of x."""
        return UNITS[self.against]

    def us(self, mode):
        """[us a request at each x]"""
        return [point.us(mode) for point in self.points.values()]

    def saved(self, mode):
        """[% of the time that `mode` saves over the mode before it]"""
        return [point.saved(mode) for point in self.points.values()]

    def table(self):
        """Times and savings as fixed-width text."""
        rows = [(x, *one.times_and_savings()) for x, one in self.points.items()]
        return table(rows, (self.unit, *TIMES_AND_SAVINGS), title="us a request, and % saved over the mode before")

    def words(self):
        """Two sentences: where each step from mode to mode matters."""
        return [f"{name} {_where(list(self.points), self.saved(mode), self.unit)}"
                for name, mode in (("Splitting", "split"), ("Passing through", "passthrough"))]


def _where(xs, savings, unit):
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
def sweep(against="size", transfer="DMA", queue_depth=1, iommu="static", delivery="injected", costs="server-2022"):
    """A `Sweep` of 4 KiB reads (but for "size") against one of `STEPS`.

    "cores" has four guests with eight requests in flight each, whatever `queue_depth` is.
    ValueError for another `against`.
    """
    if against not in STEPS:
        raise ValueError(f"against {against!r}: choose one of {', '.join(STEPS)}")
    settings = dict(transfer=transfer, queue_depth=queue_depth, iommu=iommu, delivery=delivery)
    return Sweep(against, {x: _point(against, x, CostModel.preset(costs), settings) for x in STEPS[against]})


def _point(against, x, costs, settings):
    block = 4096
    if against == "size":
        block = int(x * 1024)
    elif against == "device":
        costs = costs.with_(disk_read_ns=x * 1000)
    elif against == "exits":
        costs = costs.with_(**{term: round(getattr(costs, term) * x) for term in EXIT_TERMS})
    else:
        settings = {**settings, **CROWD, "host_cores": x}
    most = compare.MOST_BYTES[settings["transfer"]]
    count = max(1, min(max(REQUESTS, 2 * settings["queue_depth"]), most // block))
    same = tuple(trace.mixed(count, block))
    return Comparison({mode: compare.run(params_of(mode, costs=costs, **settings), same) for mode in MODES})
