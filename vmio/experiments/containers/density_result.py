"""What a number of containers is asked for, and what it cost: parameters and counts of `density`."""

from dataclasses import asdict, dataclass

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.costs import CostModel
from vmio.machine.contracts import Json
from vmio.machine.memory import PAGE
from vmio.table import table

ISOLATION = ("process", "hyperv")
LAYERS = ("scsi", "vpmem")
MAX_CONTAINERS = 64


@dataclass(frozen=True)
class DensityParams:
    """What `density.run` starts; `costs` is the name of a preset, or a `CostModel` with prices of your own."""

    containers: int = param(8, "containers that start", low=1, high=MAX_CONTAINERS, scale="log2")
    isolation: str = param("hyperv", "one kernel for all of them, or one for each", choices=ISOLATION)
    layer: str = param("vpmem", "how the base layer comes to a kernel of a container's own", choices=LAYERS)
    private_kib: int = param(64, "memory that each container writes", unit="KiB", low=4, high=256, multiple=4, scale="log2")
    memory_kib: int = param(256, "memory that each container may have", unit="KiB", low=4, high=256, multiple=4, scale="log2")
    quota_kib: int = param(1024, "what each container may write to its scratch disk", unit="KiB", low=4, high=1 << 20, multiple=4, scale="log2")
    host_cores: int = param(2, "processor cores of the host", low=1, high=256)
    costs: str | CostModel = param("server-2022", "cost preset")

    def check(self) -> "DensityParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        CostModel.preset(self.costs)
        return self


@dataclass(frozen=True)
class DensityResult:
    """What was counted: `pages` of the host by what is in them, each frame once; `exits` by reason, first touches by what was touched.

    `boot_exits` are those until the kernels' drivers were up.  `requests` went through rings, `disk_bytes` came from the host's disk,
    `scratch_bytes` lie on scratch disks; `refused` says which containers asked for more than they may have.  `ns` is the time of each start, with its kernel's boot if it has one of its own; `all_ns` the
    time until the last one was over.  `digests` are the different ones of what was read: one, if all have read the same.
    """

    params: DensityParams
    guests: int
    started: int
    pages: dict[str, int]
    exits: dict[str, int]
    boot_exits: int
    requests: int
    disk_bytes: int
    scratch_bytes: int
    ns: list[int]
    all_ns: int
    digests: list[str]
    refused: list[str]

    @property
    def memory_bytes(self) -> int:
        """The host's memory that is in use for them."""
        return sum(self.pages.values()) * PAGE

    @property
    def exits_total(self) -> int:
        """All exits, boot and start."""
        return sum(self.exits.values())

    def table(self) -> str:
        """Return all of it as rows."""
        rows: list[tuple] = [("kernels", self.guests), ("pages of the host", sum(self.pages.values()))]
        rows += [(f"  {what}", count) for what, count in self.pages.items()]
        rows += [("exits", self.exits_total)] + [(f"  {what}", count) for what, count in self.exits.items()]
        rows += [("requests through rings", self.requests), ("KiB from the host's disk", self.disk_bytes >> 10),
                 ("KiB on scratch disks", self.scratch_bytes >> 10), ("us until all have started", round(self.all_ns / 1000))]
        how = self.params.isolation + (f", {self.params.layer}" if self.params.isolation == "hyperv" else "")
        return "\n".join([table(rows, (f"{self.started} containers, {how}", "")), *self.refused])

    def to_dict(self) -> Json:
        """Return plain data for JSON."""
        return {"schema": "vmio.density/1", **asdict(self), "memory_bytes": self.memory_bytes, "exits_total": self.exits_total}
