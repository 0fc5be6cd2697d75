"""What many guests got of one disk: per guest and bucket of time, and how fair that was."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vmio.experiments.grid import NAN, Grid, Row, divided
from vmio.experiments.sharing_params import SharingParams
from vmio.host.service import Service
from vmio.machine.contracts import Json
from vmio.table import table

MIB = 1 << 20


def jain(values: Sequence[float]) -> float:
    """Jain's fairness index, (sum x)^2 / (n * sum x^2): 1 if all get the same, 1/n if one gets all.

    1.0 for nothing at all.  Source: R. Jain, D. Chiu, W. Hawe, DEC TR-301, 1984.
    """
    numbers = Row(map(float, values))
    squares = (numbers * numbers).sum()
    return numbers.sum() ** 2 / (len(numbers) * squares) if squares else 1.0


@dataclass(frozen=True, eq=False)
class SharingResult:
    """Grids with a row for each guest and a column for each bucket, times in ns.

    `latency` is the mean of the requests that ended in the bucket, NaN if none did;
    `active` is the part of the bucket in which the guest was there; `weights` its
    weight when the bucket began.
    """

    params: SharingParams
    policy: str
    edges: Row          # where buckets begin and end
    requests: Grid
    bytes: Grid
    latency: Grid
    active: Grid
    weights: Grid
    percentiles: Grid   # a row for each guest: p50, p99 and greatest latency
    waiting: Row        # for each guest, mean time in the scheduler
    device: Row         # and at the device

    @classmethod
    def of(cls, params: SharingParams, policy: str, began: int, ends: Sequence[tuple[list[int], list[int]]],
           services: Sequence[Service | None]) -> "SharingResult":
        """From each guest's (times of ends, latencies), and what the block layer has noted of it."""
        guests, buckets = params.guests, params.buckets
        edges = Row(round(n * params.duration_ns / buckets) for n in range(buckets + 1))
        counts, sums, percentiles = [], [], []
        for times, latencies in ends:
            count, total = [0] * buckets, [0] * buckets
            for time, latency in zip(times, latencies):
                at = min(max(bisect_right(edges, time - began), 1), buckets) - 1
                count[at] += 1
                total[at] += latency
            counts.append(count)
            sums.append(total)
            ordered = sorted(latencies)
            percentiles.append([ordered[-(-len(ordered) * part // 100) - 1] if ordered else NAN for part in (50, 99, 100)])
        requests = Grid(counts)
        stops = [params.duration_ns if guest.stop_ns is None else guest.stop_ns for guest in guests]
        active = Grid([max(min(stop, end) - max(guest.start_ns, start), 0) / (end - start) for start, end in zip(edges, edges[1:])]
                      for guest, stop in zip(guests, stops))
        means = [Row(divided(getattr(service, name), service.requests) if service else NAN for service in services)
                 for name in ("waiting_ns", "device_ns")]
        sizes = Grid(row * guest.request_bytes for row, guest in zip(requests, guests))
        return cls(params, policy, edges, requests, sizes, Grid(sums) / requests, active, _weights(params, edges),
                   Grid(percentiles), means[0], means[1])

    @property
    def widths(self) -> Row:
        """How long each bucket is, in ns."""
        return self.edges[1:] - self.edges[:-1]

    @property
    def rates(self) -> Grid:
        """Bytes/s of each guest in each bucket."""
        return Grid(row * 1e9 / self.widths for row in self.bytes)

    @property
    def shares(self) -> Grid:
        """Each guest's part of all bytes of a bucket; NaN where there were none."""
        total = self.bytes.sum(axis=0)
        return Grid(row / total for row in self.bytes)

    @property
    def fairness(self) -> Row:
        """Jain's index in each bucket: of bytes by weight, over the guests that were there all the time."""
        per_weight = (self.bytes / self.weights).columns()
        there = [[value for value, active in zip(*pair) if active == 1] for pair in zip(per_weight, self.active.columns())]
        return Row(jain(values) if values else NAN for values in there)

    @property
    def jain(self) -> float:
        """Jain's index over the whole time: of bytes by weight and time that the guest was there."""
        return jain(self.bytes.sum(axis=1) / (self.weights * self.active).sum(axis=1))

    def table(self) -> str:
        """Return one line a guest, as fixed-width text."""
        seconds = self.active.sum(axis=1) * self.widths.mean() / 1e9
        total = self.bytes.sum(axis=1)
        rows = [(guest.name, guest.weight, int(self.requests[n].sum()), float(total[n] / seconds[n] / MIB),
                 float(100 * total[n] / max(total.sum(), 1)), *(_us(ns) for ns in (
                     self.waiting[n], self.device[n], *self.percentiles[n])))
                for n, guest in enumerate(self.params.guests)]
        rate = total.sum() * 1e9 / self.params.duration_ns / MIB
        title = (f"{self.policy}, {self.params.device_depth} at the device: {rate:,.0f} MiB/s in all, "
                 f"Jain's index by weight {self.jain:.3f}")
        return table(rows, ("guest", "weight", "requests", "MiB/s", "% of bytes", "waits us", "at device us",
                            "p50 us", "p99 us", "most us"), title=title)

    def to_dict(self) -> Json:
        """Return plain data for JSON; NaN is None."""
        names = ("edges", "requests", "bytes", "latency", "active", "weights", "percentiles", "waiting", "device",
                 "rates", "fairness")
        return {"policy": self.policy, "params": asdict(self.params), "jain": self.jain,
                **{name: _plain(getattr(self, name)) for name in names}}


def _weights(params: SharingParams, edges: Row) -> Grid:
    """Each guest's weight when each bucket began."""
    weights = {guest.name: [guest.weight] * (len(edges) - 1) for guest in params.guests}
    for when, name, what in sorted(params.changes, key=lambda change: change[0]):
        if name is not None and "weight" in what:
            first = bisect_left(edges[:-1], when)
            weights[name][first:] = [what["weight"]] * (len(edges) - 1 - first)
    return Grid(weights[guest.name] for guest in params.guests)


def _us(ns: float) -> float | None:
    return ns / 1000 if ns == ns else None


def _plain(numbers: Any) -> list:
    return [_plain(one) if isinstance(one, Row) else one if one == one else None for one in numbers]
