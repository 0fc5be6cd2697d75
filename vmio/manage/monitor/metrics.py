"""What can be watched, each thing declared once: its name, what kind of number it is, and by which labels it is told apart.

Names and units are those of Prometheus: base units, and `_total` behind what only grows.  Values are whole numbers all the way - times
in ns - and become seconds where they are printed.  Source: prometheus.io, "Metric and label naming".
"""

from dataclasses import dataclass
from typing import NamedTuple

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
# Upper edges of a request's time, in ns.  50 ms is one of them: Microsoft calls a disk slow from there on.
EDGES = tuple(us * 1000 for us in (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000))
SECONDS = 1_000_000_000        # what a value is divided by that is printed in seconds

Key = tuple[str, tuple[str, ...]]      # a metric's name, and the values of its labels


class Metric(NamedTuple):
    """One family of numbers; a value is printed as value / `scale`."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    scale: int = 1


_VCPU, _CHANNEL, _DEVICE = ("guest", "vcpu"), ("guest", "channel", "device"), ("guest", "device", "mode")
CHANNEL_COUNTERS = ("events", "interrupts", "intr_in_full", "intr_out_empty", "out_full_first", "out_full_total")
DECLARED = (
    Metric("vmio_exits_total", COUNTER, "VM exits.", (*_VCPU, "reason", "device")),
    Metric("vmio_exit_seconds_total", COUNTER, "Time that the hypervisor took for them.", (*_VCPU, "reason", "device"), SECONDS),
    Metric("vmio_vcpu_seconds_total", COUNTER, "Time of a vCPU: in guest code, in the hypervisor, asleep.", (*_VCPU, "mode"), SECONDS),
    Metric("vmio_vcpu_interrupts_total", COUNTER, "Interrupts that a vCPU has taken.", _VCPU),
    Metric("vmio_halts_total", COUNTER, "HLTs that have ended.", _VCPU),
    Metric("vmio_halt_polls_total", COUNTER, "HLTs before which the host looked for a while, by whether something came.", (*_VCPU, "outcome")),
    Metric("vmio_halt_poll_seconds_total", COUNTER, "Core time that it looked.", (*_VCPU, "outcome"), SECONDS),
    *(Metric(f"vmio_channel_{name.removesuffix('_total')}_total", COUNTER, f"What Linux calls {name} of a VMBus channel.", _CHANNEL) for name in CHANNEL_COUNTERS),
    Metric("vmio_channel_vcpu", GAUGE, "The vCPU that takes a channel's interrupts.", _CHANNEL),
    Metric("vmio_channel_requests_total", COUNTER, "Records that a guest has written into a channel's ring.", _CHANNEL),
    Metric("vmio_disk_request_seconds", HISTOGRAM, "Time of a request at the host, from taken to answered.", _DEVICE, SECONDS),
    Metric("vmio_user_request_seconds", HISTOGRAM, "Time of a request as a guest's program feels it, from when it was due.", ("guest",), SECONDS),
    Metric("vmio_disk_bytes_total", COUNTER, "Bytes that the host's block layer has moved for a guest.", ("guest",)),
    Metric("vmio_disk_waiting_seconds_total", COUNTER, "Time that requests waited before the host's disk.", ("guest",), SECONDS),
    Metric("vmio_net_frames_total", COUNTER, "Frames of a split network card.", ("guest", "device", "direction")),
    Metric("vmio_net_way_frames_total", COUNTER, "Frames that a guest with a function beside its card sent, by the way they took.", ("guest", "device", "way")),
    Metric("vmio_net_way_bytes_total", COUNTER, "Bytes of those frames.", ("guest", "device", "way")),
    Metric("vmio_iommu_events_total", COUNTER, "What the IOMMU before an assigned device has counted.", (*_DEVICE, "event")),
    Metric("vmio_memory_pages", GAUGE, "Pages of a guest with a balloon.", ("guest", "state")),
    Metric("vmio_bounce_slots", GAUGE, "Slots of a confidential guest's bounce pool: in use, and all (Linux: io_tlb_used, io_tlb_nslabs).", ("guest", "state")),
    Metric("vmio_bounce_refused_total", COUNTER, "Mappings that found no room in it (Linux: swiotlb buffer is full).", ("guest",)),
    Metric("vmio_bounce_bytes_total", COUNTER, "Bytes that were copied into it and out of it.", ("guest",)),
    Metric("vmio_pressure_waiting_seconds_total", COUNTER, "Time in which some of a guest's requests, or all, waited for memory.", ("guest", "resource", "who"), SECONDS),
    Metric("vmio_host_cores", GAUGE, "Cores of the host.", ()),
    Metric("vmio_host_worker_seconds_total", COUNTER, "Core time of the host's own workers.", (), SECONDS),
)
METRICS = {metric.name: metric for metric in DECLARED}


@dataclass(frozen=True)
class Histogram:
    """How many took no longer than each of `EDGES`, and at last all; the sum of their times in ns."""

    buckets: tuple[int, ...]
    total_ns: int

    @property
    def count(self) -> int:
        """All of them."""
        return self.buckets[-1]

    def since(self, before: "Histogram | None") -> "Histogram":
        """Return what has come since `before`."""
        if before is None:
            return self
        return Histogram(tuple(now - was for now, was in zip(self.buckets, before.buckets)), self.total_ns - before.total_ns)

    def quantile(self, part: float) -> int | None:
        """Return the upper edge in ns of the bucket in which this part of all lies; None beyond the last edge, and for no requests."""
        return next((edge for edge, count in zip(EDGES, self.buckets) if self.count and count >= part * self.count), None)


class Sample(NamedTuple):
    """All numbers at one time, `ns` of the host's clock."""

    ns: int
    values: dict[Key, int]
    histograms: dict[Key, Histogram]

    def get(self, name: str, **labels: str) -> int:
        """Return the sum over all numbers of a metric that have these labels; ValueError for a metric or a label that there is not."""
        if name not in METRICS:
            raise ValueError(f"metric {name!r}: there is no such; choose one of {', '.join(METRICS)}")
        declared = METRICS[name].labels
        for label in labels:
            if label not in declared:
                raise ValueError(f"metric {name}: no label {label!r}; it has {', '.join(declared) or 'none'}")
        wanted = [(declared.index(label), value) for label, value in labels.items()]
        return sum(value for (metric, given), value in self.values.items()
                   if metric == name and all(given[at] == value for at, value in wanted))

    def labels(self, name: str, label: str) -> list[str]:
        """Return the different values of one label of a metric, in order."""
        at = METRICS[name].labels.index(label)
        return sorted({given[at] for metric, given in (*self.values, *self.histograms) if metric == name})

    def since(self, before: "Sample | None") -> "Sample":
        """Return what was counted since `before`; gauges are as they are now, and `ns` is how long that was."""
        if before is None:
            return self
        values = {key: value - before.values.get(key, 0) if METRICS[key[0]].kind == COUNTER else value for key, value in self.values.items()}
        return Sample(self.ns - before.ns, values, {key: each.since(before.histograms.get(key)) for key, each in self.histograms.items()})
