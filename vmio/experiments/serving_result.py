"""What a run of a served model counted: for each tenant, for its bully, and for the engine that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmio.experiments.serving_params import ServingParams
from vmio.experiments.sharing_result import jain
from vmio.table import table

SCHEMA = "vmio.serving/1"     # the number goes up when a name's meaning changes


def percentile(values: Sequence[int], part: float) -> int:
    """Return the value that `part` percent of `values` do not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[max(-int(-len(ordered) * part // 100), 1) - 1] if ordered else 0


@dataclass(frozen=True)
class TenantResult:
    """One tenant: the `latencies` of its answers in ns, from a request's coming to its answer in the guest's memory, in order of coming.

    `wrong` answers are other than numpy's; exits are those since requests began to come; `engine_ns` is how long the engine worked for
    it, in a service its own part of each switch, too; the last answer came `ns` after the beginning.
    """

    name: str
    latencies: tuple[int, ...]
    calls: int
    wrong: int
    exits: int
    exits_by_instruction: dict[str, int]
    engine_ns: int
    ns: int

    @property
    def images(self) -> int:
        """Return how many were answered."""
        return len(self.latencies)

    def percentile(self, part: float) -> int:
        """Return the latency in ns that `part` percent of the answers do not exceed; 0 if there are none."""
        return percentile(self.latencies, part)

    @property
    def mean_ns(self) -> float:
        """Return the mean latency; 0 if there are no answers."""
        return sum(self.latencies) / max(self.images, 1)

    @property
    def per_second(self) -> float:
        """Return answers a second."""
        return self.images * 1e9 / max(self.ns, 1)

    @property
    def exits_per_image(self) -> float:
        """Return exits for each answer."""
        return self.exits / max(self.images, 1)

    def within(self, ns: int) -> float:
        """Return how many percent of the answers took at most so long."""
        return 100 * sum(each <= ns for each in self.latencies) / max(self.images, 1)


@dataclass(frozen=True)
class BullyResult:
    """The `images` of its calls that have ended, how many of its jobs were `ended` by the engine and `refused` by the host."""

    images: int
    ended: int
    refused: int
    engine_ns: int


@dataclass(frozen=True)
class ServingResult:
    """All tenants, the `bully` or None, how many `engines` there were, and how often the service switched guests."""

    params: ServingParams
    tenants: tuple[TenantResult, ...]
    bully: BullyResult | None
    engines: int
    switches: int

    @property
    def ns(self) -> int:
        """Return how long it took from the beginning to the last answer."""
        return max(each.ns for each in self.tenants)

    @property
    def busy(self) -> float:
        """Return how many percent of that time an engine worked, on average over the engines."""
        worked = sum(each.engine_ns for each in self.tenants) + (self.bully.engine_ns if self.bully else 0)
        return 100 * worked / max(self.ns * self.engines, 1)

    @property
    def wrong(self) -> int:
        """Return answers that are other than numpy's."""
        return sum(each.wrong for each in self.tenants)

    def percentile(self, part: float) -> int:
        """Return the latency in ns that `part` percent of all tenants' answers do not exceed."""
        return percentile([ns for each in self.tenants for ns in each.latencies], part)

    @property
    def worst(self) -> TenantResult:
        """Return the tenant with the greatest p99."""
        return max(self.tenants, key=lambda each: each.percentile(99))

    @property
    def images_per_call(self) -> float:
        """Return the mean over all calls of tenants."""
        return sum(each.images for each in self.tenants) / max(sum(each.calls for each in self.tenants), 1)

    @property
    def exits_per_image(self) -> float:
        """Return exits for each answer, over all tenants."""
        return sum(each.exits for each in self.tenants) / max(sum(each.images for each in self.tenants), 1)

    @property
    def fairness(self) -> float:
        """Return Jain's index of the engine's time over all guests that it has worked for, the bully too: 1 if each had as much.

        It is just only among guests that want more than they get; who asks for little has little.
        """
        times = [each.engine_ns for each in self.tenants] + ([self.bully.engine_ns] if self.bully else [])
        return jain([each for each in times if each])

    def table(self) -> str:
        """Return one line for each guest, as fixed-width text."""
        rows: list[tuple] = [(each.name, each.images, each.per_second, each.images / max(each.calls, 1), each.percentile(50) / 1000,
                              each.percentile(99) / 1000, each.exits_per_image, 100 * each.engine_ns / self.ns, each.wrong) for each in self.tenants]
        if self.bully:
            rows.append(("bully", self.bully.images, self.bully.images * 1e9 / self.ns, None, None, None, None, 100 * self.bully.engine_ns / self.ns, None))
        title = f"{self.params.way}: engine busy {self.busy:.0f} %, Jain's index of its time {self.fairness:.2f}, {self.switches:,} switches"
        return table(rows, ("guest", "images", "images/s", "images a call", "p50 us", "p99 us", "exits/image", "% of engine", "wrong"),
                     "<" + 8 * ">", title)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: of each tenant what its line of the table has."""
        guests = [{"name": each.name, "images": each.images, "calls": each.calls, "wrong": each.wrong, "exits": each.exits,
                   "images_per_second": each.per_second, "engine_ns": each.engine_ns,
                   **{f"p{part}_ns": each.percentile(part) for part in (50, 99)}} for each in self.tenants]
        return {"schema": SCHEMA, "tenants": guests, "ns": self.ns, "busy": self.busy, "fairness": self.fairness, "switches": self.switches,
                "exits_per_image": self.exits_per_image}
