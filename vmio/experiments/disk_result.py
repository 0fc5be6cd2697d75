"""What a disk workload counted: exits, time, bytes, latencies, of its requests alone."""

import csv
import hashlib
import io
from dataclasses import asdict, dataclass, field

from vmio.experiments import times
from vmio.experiments.disk_params import DiskParams
from vmio.table import table

SCHEMA = "vmio.disk/1"     # the number goes up when a name's meaning changes


@dataclass(frozen=True)
class DiskResult:
    """Counts of the requests alone, set-up left out.  Times in ns of virtual time.

    `parts` says where the guests' time went (`times.parts`), summed over guests.
    `latencies` has each request's time, from the guest's own work for it (timed: from when it
    came) until the guest knows that it is over.  `host_cpu_ns` is what the host's own code took of its cores:
    handling exits, workers, an emulator's copying.
    """

    params: DiskParams
    exits: dict
    exits_by_device: dict
    exits_by_instruction: dict
    requests: int
    bytes: int
    bytes_read: int
    sha256: str
    virtual_ns: int
    exit_ns: int
    guest_ns: int
    device_ns: int
    interrupts: int
    setup_exits: int
    signals: int = 0
    rings: dict = field(default_factory=dict, repr=False)   # name: [(ns, used bytes), ...] of the first guest's rings
    canaries: dict = field(default_factory=dict)            # guest: is what it left in its memory still there?
    parts: dict = field(default_factory=dict)
    host_cpu_ns: int = 0
    not_issued: int = 0     # discards that no command was sent for: the disk doesn't announce that it takes any
    latencies: list = field(default_factory=list, repr=False)
    images: list = field(default_factory=list, repr=False, compare=False)

    @property
    def exits_total(self):
        """All exits of the requests."""
        return sum(self.exits.values())

    def latency(self, percent):
        """The smallest latency in ns that `percent` of the requests do not exceed; None without requests."""
        ordered = sorted(self.latencies)
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None

    def table(self):
        """Exits by reason and by device, and where the time went, as fixed-width text."""
        each = max(self.requests, 1)
        rows = [(kind, name, count, count / each) for kind, counts in (
            ("reason", self.exits), ("device", self.exits_by_device), ("instruction", self.exits_by_instruction))
            for name, count in counts.items()]
        rows.append(("all", "", self.exits_total, self.exits_total / each))
        times = [(name, ns // 1000, ns // 10 / each / 100) for name, ns in (
            ("guest", self.guest_ns), ("exit", self.exit_ns), ("device", self.device_ns), ("all", self.virtual_ns))]
        title = f"{self.params.mode} disk: {self.requests:,} requests, {self.bytes:,} bytes, sha256 {self.sha256[:16]}"
        tables = [table(rows, ("exits by", "", "count", "per request"), title=title),
                  table(times, ("virtual time", "us", "us per request"))]
        if self.rings:
            counts = [(name, count, count / each) for name, count in (
                ("signals to the host", self.signals), ("interrupts of the guest", self.interrupts))]
            counts += [(f"{name} ring, most bytes used", max(used for _, used in steps), None)
                       for name, steps in self.rings.items()]
            tables.append(table(counts, ("rings", "count", "per request")))
        if self.params.timed and self.latencies:
            rows = [(name, self.latency(percent) / 1000) for name, percent in
                    (("p50", 50), ("p90", 90), ("p99", 99), ("largest", 100))]
            tables.append(table(rows, ("latency since a request came", "us")))
        if self.not_issued:
            tables.append(f"{self.not_issued:,} discards were not issued: this disk announces no such command")
        return "\n\n".join(tables)

    def to_csv(self):
        """Return every count as CSV text: section (or ""), name, value; one line each, with a header."""
        lines = [("section", "name", "value")]
        for name, value in self.to_dict().items():
            lines += [(name, key, one) for key, one in value.items()] if isinstance(value, dict) else [("", name, value)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        return text.getvalue()

    def to_dict(self):
        """Plain data for JSON; the rings' history and the single latencies stay here."""
        left_out = ("params", "images", "rings", "latencies")
        plain = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return {"schema": SCHEMA, **plain, "latency_p50_ns": self.latency(50), "latency_p99_ns": self.latency(99),
                "latency_max_ns": self.latency(100), "exits_total": self.exits_total, "params": asdict(self.params)}


def _merge(dicts):
    total = {}
    for one in dicts:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _host_cpu_ns(runs):
    workers = runs[0].host.busy_ns - min(run.setup_busy for run in runs)
    return workers + sum(run.exit_ns + times.length(run.copies) for run in runs)


def result(params, requests, runs):
    """The `DiskResult` of guests that have run."""
    digest, parts = runs[0].digest.hexdigest(), [run.parts() for run in runs]
    if len(runs) > 1:   # each guest read its own disk: the digest of the digests, in order
        digest = hashlib.sha256(b"".join(run.digest.digest() for run in runs)).hexdigest()
    return DiskResult(
        params,
        exits=_merge(run.counted(lambda row: row.reason.value) for run in runs),
        exits_by_device=_merge(run.counted(lambda row: row.device) for run in runs),
        exits_by_instruction=_merge(run.counted(lambda row: row.instruction) for run in runs),
        requests=len(requests) * len(runs) - sum(run.not_issued for run in runs),
        not_issued=sum(run.not_issued for run in runs),
        bytes=sum(run.bytes for run in runs),
        bytes_read=sum(run.bytes_read for run in runs),
        sha256=digest,
        virtual_ns=max(run.cpu.now - run.started for run in runs),
        exit_ns=sum(run.exit_ns for run in runs),
        guest_ns=sum(run.cpu.compute_ns - run.setup_compute for run in runs),
        device_ns=sum(run.cpu.idle_ns - run.setup_idle for run in runs),
        interrupts=sum(run.cpu.interrupts - run.setup_interrupts for run in runs),
        setup_exits=sum(run.setup_exits for run in runs),
        signals=sum(run.signals for run in runs),
        rings=runs[0].rings,
        canaries={run.guest.name: run.canary_lives for run in runs},
        parts={part: sum(one[part] for one in parts) for part in times.PARTS},
        host_cpu_ns=_host_cpu_ns(runs),
        latencies=[ns for run in runs for ns in run.latencies],
        images=[run.image for run in runs],
    )
