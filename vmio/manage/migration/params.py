"""What a migration is told."""

from dataclasses import dataclass

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.dirty import WAYS
from vmio.manage.migration.rules import RULES, Rule, Throttle, rule

DEVICES = {"none": None, "pio": ("emulated", {}), "dma": ("emulated", {"transfer": "dma"}), "split": ("split", {}), "passthrough": ("passthrough", {})}


@dataclass(frozen=True)
class MigrateParams:
    """What `experiment.run` does: which guest, over which link, by which rule."""

    disk: str = param("none", "the guest's disk: none (it writes into its pages in a circle), or it reads and writes one: emulated, by its "
                              "port or by DMA, split, or passed through", choices=tuple(DEVICES))
    ram: int = param(64, "the guest's RAM, without a disk", unit="MiB", low=2, high=1024)
    pages: int = param(4096, "pages of 4 KiB that it writes in a circle, without a disk", low=1, high=1 << 18, scale="log2")
    rate: int = param(5000, "pages that it writes a second, without a disk", low=1, high=10_000_000, scale="log2")
    seconds: int = param(3, "how long it would do that, without a disk", unit="s", low=1, high=60)
    requests: int = param(2000, "requests, with a disk", low=1, high=100_000)
    after_ms: int = param(100, "when the migration begins, after power-on", unit="ms", low=0, high=60_000)
    bandwidth: int = param(128, "the link's bandwidth", unit="MB/s", low=1, high=100_000, scale="log2")
    latency_us: int = param(100, "the link's latency, each way", unit="us", low=0, high=1_000_000)
    rule: str = param("qemu", "when the guest is stopped: when the rest fits into the downtime limit, or after so many rounds", choices=RULES)
    downtime_ms: int = param(300, "the downtime limit, of qemu's rule", unit="ms", low=1, high=60_000)
    patience: int = param(60, "rounds after which it is cancelled", low=1, high=1000)
    throttle: bool = param(False, "hold the vCPUs back while it does not converge", flag=True)
    throttle_first: int = param(20, "by how much at first", unit="%", low=1, high=99)
    throttle_step: int = param(10, "by how much more each further time", unit="%", low=1, high=99)
    throttle_most: int = param(99, "by how much at most", unit="%", low=1, high=99)
    postcopy_after: int | None = param(None, "rounds after which the guest is moved, and its pages follow", low=1, high=1000, optional=True)
    without: str = param("nothing", "what the dirty log leaves out, to see what is lost", choices=("nothing", *WAYS))
    cut_after: int | None = param(None, "bytes after which the link goes down", unit="bytes", low=0, optional=True)

    def check(self) -> "MigrateParams":
        """Return these parameters; ValueError names what is not allowed, or which limits contradict each other."""
        params.check(self)
        for name in ("requests",) if self.disk == "none" else ("ram", "pages", "rate", "seconds"):
            self._heeded(name, f"disk {self.disk}")
        if not self.throttle:
            for name in ("throttle_first", "throttle_step", "throttle_most"):
                self._heeded(name, "no throttle")
        if self.disk == "none" and self.pages * 4096 > (self.ram - 1) << 20:
            raise ValueError(f"pages {self.pages:,}: a guest of {self.ram} MiB has {(self.ram - 1) << 8:,} behind its first MiB")
        if self.throttle_first > self.throttle_most:
            raise ValueError(f"throttle_first {self.throttle_first}: above throttle_most {self.throttle_most}; it begins at most there")
        if self.postcopy_after is not None and self.postcopy_after > self.patience:
            raise ValueError(f"postcopy_after {self.postcopy_after}: it is cancelled after {self.patience} rounds (patience)")
        if self.rule != "qemu" and self.downtime_ms != params.default(MigrateParams, "downtime_ms"):
            raise ValueError(f"downtime_ms {self.downtime_ms}: rule {self.rule} counts rounds and has no limit of downtime")
        return self

    def _heeded(self, name: str, beside: str) -> None:
        """Raise ValueError if the user has set what nothing looks at."""
        value = getattr(self, name)
        if value != params.default(MigrateParams, name):
            raise ValueError(f"{name} {value:,}: no effect with {beside}")

    @property
    def stop_rule(self) -> Rule:
        """The rule."""
        return rule(self.rule, self.downtime_ms)

    @property
    def held_back(self) -> Throttle | None:
        """The throttle, if there is one."""
        return Throttle(self.throttle_first, self.throttle_step, self.throttle_most) if self.throttle else None
