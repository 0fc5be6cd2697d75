"""What a run of network frames counted: frames and bytes that were received, exits, time."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from vmio.experiments.mark import Mark
from vmio.experiments.net_params import NetParams
from vmio.hypervisor.exits import Intercept
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Json
from vmio.machine.net.pcap import Captured
from vmio.table import table

SCHEMA = "vmio.net/1"     # the number goes up when a name's meaning changes


@dataclass(frozen=True)
class NetResult:
    """Counts of the frames alone, set-up left out.  Times in ns of virtual time.

    `packets` and `bytes` are what was received, by the guest (`received_by_guest`) and from it, `sha256` that of all these
    frames in the order in which they came; `drops` were sent and not received.  A latency is the time from a frame's arrival at the
    guest's card until the guest's program has it, of 50 and of 99 percent of those that it received at most so long.
    """

    params: NetParams
    packets: int
    bytes: int
    sha256: str
    drops: int
    received_by_guest: int
    sent_by_guest: int
    exits: dict
    exits_by_device: dict
    exits_by_instruction: dict
    interrupts: int
    setup_exits: int
    virtual_ns: int
    exit_ns: int
    signals: int = 0
    latency_p50_ns: int = 0
    latency_p99_ns: int = 0
    frames: list = field(default_factory=list, repr=False, compare=False)
    times_ns: list = field(default_factory=list, repr=False, compare=False)     # when each was received, since power-on
    latencies_ns: list = field(default_factory=list, repr=False, compare=False)     # of each that the guest received

    @property
    def exits_total(self) -> int:
        """Return all exits of the frames."""
        return sum(self.exits.values())

    @property
    def interrupts_per_packet(self) -> float:
        """Return how many interrupts of the guest there were for each frame."""
        return self.interrupts / max(self.packets, 1)

    def captured(self) -> list[Captured]:
        """Return what was received as a capture."""
        return [Captured(ns, frame) for ns, frame in zip(self.times_ns, self.frames)]

    def table(self) -> str:
        """Return the same as fixed-width text."""
        each = max(self.packets, 1)
        rows = [(kind, name, count, count / each) for kind, counts in (
            ("reason", self.exits), ("device", self.exits_by_device), ("instruction", self.exits_by_instruction))
            for name, count in counts.items()]
        rows.append(("all", "", self.exits_total, self.exits_total / each))
        by = " (virtio)" if self.params.mode == "split" and self.params.dialect == "virtio" else ""
        title = (f"{self.params.mode} network card{by}: {self.packets:,} frames ({self.sent_by_guest:,} of the guest's), {self.bytes:,} bytes, "
                 f"{self.drops:,} lost, sha256 {self.sha256[:16]}")
        late = [("half of the guest's frames", self.latency_p50_ns / 1000), ("99 percent", self.latency_p99_ns / 1000)]
        more = [("interrupts of the guest", self.interrupts, self.interrupts / each), ("signals to the host", self.signals, self.signals / each),
                ("us of virtual time", self.virtual_ns // 1000, self.virtual_ns // 10 / each / 100),
                ("us of it in exits", self.exit_ns // 1000, self.exit_ns // 10 / each / 100),
                ("exits of the set-up", self.setup_exits, None)]
        return "\n\n".join([table(rows, ("exits by", "", "count", "per frame"), title=title), table(more, ("", "count", "per frame")),
                            table(late, ("from arrival to receipt", "us at most"))])

    def to_dict(self) -> Json:
        """Return plain data for JSON; the frames themselves stay here."""
        plain = {name: value for name, value in self.__dict__.items() if name not in ("params", "frames", "times_ns", "latencies_ns")}
        return {"schema": SCHEMA, **plain, "exits_total": self.exits_total, "interrupts_per_packet": self.interrupts_per_packet,
                "params": asdict(self.params)}


def percentile(values: list[int], percent: int) -> int:
    """Return the least value that `percent` of all don't exceed; 0 of none."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else 0


class Since:
    """What a vCPU counts from now on, and `signals`, which tells how often it has told its host; `cpu` is what its program has."""

    def __init__(self, vcpu: VCpu, cpu: VCpu, signals: Callable[[], int]) -> None:
        self.cpu, self.signals = vcpu, signals
        self.mark = Mark(vcpu, cpu, signals=signals)

    def by(self, key: Callable[[Intercept], str]) -> dict[str, int]:
        """Return exits by `key(row)`, the most first."""
        return dict(sorted(self.mark.by(key).items(), key=lambda item: (-item[1], item[0])))

    def result(self, params: NetParams, run: Any) -> NetResult:
        """Return the result of a run that is over; `run` has `heard`, `frames` and `by_guest`."""
        heard, mark = run.heard, self.mark
        return NetResult(
            params, packets=len(heard.frames), bytes=heard.bytes, sha256=heard.digest.hexdigest(), drops=len(run.frames) - len(heard.frames),
            received_by_guest=sum(frame[6:12] != run.address for frame in heard.frames), sent_by_guest=run.by_guest,
            exits=self.by(lambda row: row.reason.value), exits_by_device=self.by(lambda row: row.device),
            exits_by_instruction=self.by(lambda row: row.instruction), interrupts=self.cpu.interrupts - mark.interrupts,
            signals=self.signals() - mark.more["signals"],
            setup_exits=mark.exits, virtual_ns=self.cpu.now - mark.now, exit_ns=mark.exit_ns, frames=heard.frames,
            times_ns=heard.times, latency_p50_ns=percentile(heard.waited, 50), latency_p99_ns=percentile(heard.waited, 99),
            latencies_ns=heard.waited)
