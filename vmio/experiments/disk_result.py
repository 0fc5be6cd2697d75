"""What a disk workload counted: exits, time, bytes, latencies, of its requests alone."""

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vmio.experiments import times
from vmio.experiments.disk_params import DiskParams
from vmio.experiments.traces.request import Requests
from vmio.machine.contracts import Json
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
    doorbells: int = 0      # the guest's own stores to doorbells of a device in its hands
    worker_exits: int = 0   # those that the host's device models answered
    ring_requests: int = 0  # records that guests have put into rings to the host
    commands: int = 0       # what the host has asked of the disk; 0 where it is the guest's own
    signals_by_channel: dict = field(default_factory=dict)  # summed over guests, as all others
    exits_by_vcpu: dict = field(default_factory=dict)
    interrupts_by_vcpu: dict = field(default_factory=dict)
    rings: dict = field(default_factory=dict, repr=False)   # name: [(ns, used bytes), ...] of the first guest's rings
    canaries: dict = field(default_factory=dict)            # guest: is what it left in its memory still there?
    parts: dict = field(default_factory=dict)
    host_cpu_ns: int = 0
    bounced: dict = field(default_factory=dict)             # confidential guests: what went by their bounce pools
    not_issued: int = 0     # discards that no command was sent for: the disk doesn't announce that it takes any
    latencies: list = field(default_factory=list, repr=False)
    images: list = field(default_factory=list, repr=False, compare=False)

    @property
    def exits_total(self) -> int:
        """All exits of the requests."""
        return sum(self.exits.values())

    @property
    def parts_us(self) -> dict[str, float]:
        """Where the guests' time went, in us: {part: sum over all vCPUs}."""
        return {part: ns / 1000 for part, ns in self.parts.items()}

    def latency(self, percent: int) -> int | None:
        """Return the smallest latency in ns that `percent` of the requests do not exceed; None without requests."""
        return quantile(self.latencies, percent) if self.latencies else None

    def table(self) -> str:
        """Exits by reason and by device, and where the time went, as fixed-width text."""
        each = max(self.requests, 1)
        rows = [(kind, name, count, count / each) for kind, counts in (
            ("reason", self.exits), ("device", self.exits_by_device), ("instruction", self.exits_by_instruction))
            for name, count in counts.items()]
        rows.append(("all", "", self.exits_total, self.exits_total / each))
        times = [(name, ns // 1000, ns // 10 / each / 100) for name, ns in (
            ("guest", self.guest_ns), ("exit", self.exit_ns), ("device", self.device_ns), ("all", self.virtual_ns))]
        by = f" (virtio, {self.params.virtqueue} virtqueue)" if self.params.mode == "split" and self.params.dialect == "virtio" else ""
        title = f"{self.params.mode} disk{by}: {self.requests:,} requests, {self.bytes:,} bytes, sha256 {self.sha256[:16]}"
        tables = [table(rows, ("exits by", "", "count", "per request"), title=title),
                  table(times, ("virtual time", "us", "us per request"))]
        if self.rings:
            counts = [(name, count, count / each) for name, count in (
                ("signals to the host", self.signals), ("interrupts of the guest", self.interrupts))]
            if len(self.signals_by_channel) > 1:
                counts += [(f"signals by {name}", count, count / each) for name, count in self.signals_by_channel.items()]
            used = [(f"{name} ring, most bytes used", max(used for _, used in steps), None) for name, steps in self.rings.items()]
            tables.append(table([*counts, *used], ("rings", "count", "per request")))
        if self.params.mode == "split" and self.params.dialect == "virtio":
            tables.append(table([(name, count, count / each) for name, count in (
                ("chains in the virtqueue", self.ring_requests), ("kicks", self.signals), ("interrupts of the guest", self.interrupts))],
                ("virtio", "count", "per request")))
        if self.bounced:
            tables.append(table([(name, count, count / each) for name, count in self.bounced.items()], ("bounce pool", "count", "per request")))
        if len(self.exits_by_vcpu) > 1:
            tables.append(table([(name, count, self.interrupts_by_vcpu[name]) for name, count in self.exits_by_vcpu.items()],
                                ("vCPU", "exits", "interrupts")))
        if self.params.timed and self.latencies:
            took = [(name, quantile(self.latencies, percent) / 1000) for name, percent in
                    (("p50", 50), ("p90", 90), ("p99", 99), ("largest", 100))]
            tables.append(table(took, ("latency since a request came", "us")))
        if self.not_issued:
            tables.append(f"{self.not_issued:,} discards were not issued: this disk announces no such command")
        return "\n\n".join(tables)

    def to_csv(self) -> str:
        """Return every count as CSV text: section (or ""), name, value; one line each, with a header."""
        lines = [("section", "name", "value")]
        for name, value in self.to_dict().items():
            lines += [(name, key, one) for key, one in value.items()] if isinstance(value, dict) else [("", name, value)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        return text.getvalue()

    def to_dict(self) -> Json:
        """Return plain data for JSON; the rings' history and the single latencies stay here."""
        left_out = ("params", "images", "rings", "latencies")
        plain = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return {"schema": SCHEMA, **plain, "latency_p50_ns": self.latency(50), "latency_p99_ns": self.latency(99),
                "latency_max_ns": self.latency(100), "exits_total": self.exits_total, "params": asdict(self.params)}


def quantile(latencies: Sequence[int], percent: int) -> int:
    """Return the smallest of the latencies, at least one, that `percent` of them do not exceed."""
    return sorted(latencies)[max(0, -(-len(latencies) * percent // 100) - 1)]


def _merge(dicts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in dicts:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _host_cpu_ns(runs: Sequence[Any]) -> int:
    workers = runs[0].host.busy_ns - min(run.setup_busy for run in runs)
    return workers + sum(sum(lane.exit_ns for lane in run.lanes) + times.length(run.copies) for run in runs)


def result(params: DiskParams, requests: Requests, runs: Sequence[Any]) -> DiskResult:
    """Return the `DiskResult` of guests that have run."""
    lanes = [lane for run in runs for lane in run.lanes]       # all vCPUs
    digest, parts = runs[0].ledger.digest.hexdigest(), [lane.parts() for lane in lanes]
    if len(runs) > 1:   # each guest read its own disk: the digest of the digests, in order
        digest = hashlib.sha256(b"".join(run.ledger.digest.digest() for run in runs)).hexdigest()
    not_issued = sum(run.ledger.not_issued for run in runs)
    return DiskResult(
        params,
        exits=_merge(lane.counted(lambda row: row.reason.value) for lane in lanes),
        exits_by_device=_merge(lane.counted(lambda row: row.device) for lane in lanes),
        exits_by_instruction=_merge(lane.counted(lambda row: row.instruction) for lane in lanes),
        requests=len(requests) * len(runs) - not_issued,
        not_issued=not_issued,
        bytes=sum(run.ledger.bytes for run in runs),
        bytes_read=sum(run.ledger.bytes_read for run in runs),
        sha256=digest,
        virtual_ns=max(max(lane.cpu.now for lane in run.lanes) - min(lane.started for lane in run.lanes) for run in runs),
        exit_ns=sum(lane.exit_ns for lane in lanes),
        guest_ns=sum(lane.cpu.compute_ns - lane.setup_compute for lane in lanes),
        device_ns=sum(lane.cpu.idle_ns - lane.setup_idle for lane in lanes),
        interrupts=sum(lane.cpu.interrupts - lane.setup_interrupts for lane in lanes),
        setup_exits=sum(lane.setup_exits for lane in lanes),
        signals=sum(run.signals for run in runs),
        doorbells=sum(run.doorbells for run in runs),
        worker_exits=sum(lane.counted(lambda row: row.handler).get("worker", 0) for lane in lanes),
        ring_requests=sum(run.ring_requests for run in runs),
        commands=sum(run.commands for run in runs),
        signals_by_channel=_by_number("channel", (run.signals_by_channel for run in runs)),
        exits_by_vcpu=_by_number("vCPU", ({n: sum(lane.counted(lambda row: 0).values()) for n, lane in enumerate(run.lanes)} for run in runs)),
        interrupts_by_vcpu=_by_number("vCPU", ({n: lane.cpu.interrupts - lane.setup_interrupts for n, lane in enumerate(run.lanes)}
                                               for run in runs)),
        rings=runs[0].rings,
        canaries={run.guest.name: run.canary_lives for run in runs},
        parts={part: sum(one[part] for one in parts) for part in times.PARTS},
        host_cpu_ns=_host_cpu_ns(runs),
        bounced=_merge(run.bounced for run in runs),
        latencies=[ns for lane in lanes for ns in lane.latencies],
        images=[run.image for run in runs],
    )


def _by_number(what: str, dicts: Iterable[dict[int, int]]) -> dict[str, int]:
    """Counts by a number in each guest, as {"what number": the sum over the guests}."""
    total: dict[int, int] = {}
    for one in dicts:
        for number, count in one.items():
            total[number] = total.get(number, 0) + count
    return {f"{what} {number}": total[number] for number in sorted(total)}
