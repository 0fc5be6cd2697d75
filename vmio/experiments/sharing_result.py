"""What many guests got of one disk: per guest and bucket of time, and how fair that was."""

from dataclasses import asdict, dataclass

import numpy as np

from vmio.table import table

MIB = 1 << 20


def jain(values):
    """Jain's fairness index, (sum x)^2 / (n * sum x^2): 1 if all get the same, 1/n if one gets all.

    1.0 for nothing at all.  Source: R. Jain, D. Chiu, W. Hawe, DEC TR-301, 1984.
    """
    values = np.asarray(values, dtype=float)
    squares = float((values ** 2).sum())
    return float(values.sum()) ** 2 / (len(values) * squares) if squares else 1.0


@dataclass(frozen=True, eq=False)
class SharingResult:
    """Arrays with a row for each guest and a column for each bucket, times in ns.

    `latency` is the mean of the requests that ended in the bucket, NaN if none did;
    `active` is the part of the bucket in which the guest was there; `weights` its
    weight when the bucket began.
    """

    params: object
    policy: str
    edges: np.ndarray          # where buckets begin and end
    requests: np.ndarray
    bytes: np.ndarray
    latency: np.ndarray
    active: np.ndarray
    weights: np.ndarray
    percentiles: np.ndarray    # a row for each guest: p50, p99 and greatest latency
    waiting: np.ndarray        # for each guest, mean time in the scheduler
    device: np.ndarray         # and at the device

    @classmethod
    def of(cls, params, policy, began, ends, services):
        """From each guest's (times of ends, latencies), and what the block layer has noted of it."""
        guests, buckets = params.guests, params.buckets
        edges = np.linspace(0, params.duration_ns, buckets + 1).round().astype(np.int64)
        requests = np.zeros((len(guests), buckets), dtype=np.int64)
        latency = np.full((len(guests), buckets), np.nan)
        percentiles = np.full((len(guests), 3), np.nan)
        for n, (times, latencies) in enumerate(ends):
            if times:
                at = np.searchsorted(edges, np.array(times) - began, side="right").clip(1, buckets) - 1
                requests[n] = np.bincount(at, minlength=buckets)
                sums = np.bincount(at, weights=latencies, minlength=buckets)
                latency[n] = np.divide(sums, requests[n], where=requests[n] > 0, out=latency[n])
                latencies = sorted(latencies)
                percentiles[n] = [latencies[-(-len(latencies) * part // 100) - 1] for part in (50, 99, 100)]
        stops = [params.duration_ns if guest.stop_ns is None else guest.stop_ns for guest in guests]
        starts = np.array([guest.start_ns for guest in guests])[:, None]
        overlap = np.minimum(np.array(stops)[:, None], edges[1:]) - np.maximum(starts, edges[:-1])
        means = [[getattr(service, name) / service.requests if service and service.requests else np.nan
                  for service in services] for name in ("waiting_ns", "device_ns")]
        return cls(params, policy, edges, requests, requests * np.array([[guest.request_bytes] for guest in guests]),
                   latency, np.maximum(overlap, 0) / np.diff(edges), _weights(params, edges), percentiles,
                   np.array(means[0]), np.array(means[1]))

    @property
    def rates(self):
        """Bytes/s of each guest in each bucket."""
        return self.bytes * 1e9 / np.diff(self.edges)

    @property
    def shares(self):
        """Each guest's part of all bytes of a bucket; NaN where there were none."""
        total = self.bytes.sum(axis=0)
        return np.divide(self.bytes, total, where=total > 0, out=np.full(self.bytes.shape, np.nan))

    @property
    def fairness(self):
        """Jain's index in each bucket: of bytes by weight, over the guests that were there all the time."""
        whole, per_weight = self.active == 1, self.bytes / self.weights
        return np.array([jain(per_weight[whole[:, n], n]) if whole[:, n].any() else np.nan
                         for n in range(self.params.buckets)])

    @property
    def jain(self):
        """Jain's index over the whole time: of bytes by weight and time that the guest was there."""
        return jain(self.bytes.sum(axis=1) / (self.weights * self.active).sum(axis=1))

    def table(self):
        """One line a guest, as fixed-width text."""
        seconds = self.active.sum(axis=1) * np.diff(self.edges).mean() / 1e9
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

    def to_dict(self):
        """Plain data for JSON; NaN is None."""
        names = ("edges", "requests", "bytes", "latency", "active", "weights", "percentiles", "waiting", "device",
                 "rates", "fairness")
        return {"policy": self.policy, "params": asdict(self.params), "jain": self.jain,
                **{name: _plain(getattr(self, name)) for name in names}}


def _weights(params, edges):
    """Each guest's weight when each bucket began."""
    weights = np.repeat([[guest.weight] for guest in params.guests], len(edges) - 1, axis=1)
    rows = {guest.name: n for n, guest in enumerate(params.guests)}
    for when, name, what in sorted(params.changes, key=lambda change: change[0]):
        if "weight" in what:
            weights[rows[name], edges[:-1] >= when] = what["weight"]
    return weights


def _us(ns):
    return None if np.isnan(ns) else float(ns / 1000)


def _plain(array):
    if array.ndim > 1:
        return [_plain(row) for row in array]
    return [None if value != value else value for value in array.tolist()]
