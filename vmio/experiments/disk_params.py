"""What a disk workload is told: mode, sizes, depth, and the options of each mode."""

from dataclasses import dataclass

from vmio.experiments import trace
from vmio.hypervisor.costs import CostModel

MODES = ("emulated", "split", "passthrough")
IOMMU = ("off", "strict", "lazy", "static")
DELIVERY = ("injected", "posted")
SIGNALS = ("always", "each", "batch")


@dataclass(frozen=True)
class DiskParams:
    """What `run` does.  Sizes in bytes; `requests` wins over `bytes` and `block`.

    Emulated mode: `transfer` "pio", "multiple" or "dma"; `string` REP INS/OUTS or
    single accesses of `width` bytes; `interrupts` or polling.

    Split mode: `queue_depth` requests in flight (an ATA disk takes one), rings of
    `ring_kib` each, completions published `batch` at a time, and `signals`: the
    guest publishes requests in a "batch" before it waits, "each" at once, or signals
    "always", even if the host is awake.  `host_cores` are shared by vCPUs and workers.
    `interrupts` or polling; `delivery` "posted": the processor virtualizes the guest's APIC.

    Passthrough mode: `queue_depth`; `interrupts` or polling; `delivery` of interrupts
    "injected" by the host or "posted" by the hardware; `iommu` "off" (the device
    reaches all of the host's memory), "strict" (a buffer is mapped for one request and
    the IOTLB told at once), "lazy" (told later) or "static" (all of the guest's RAM, once).

    `timed`: requests come when their trace says, whether the disk is ready or not (an open
    loop), and wait in the guest if they must; else the next follows as soon as it may.

    `costs` is the name of a preset, or a `CostModel` with prices of your own.
    """

    mode: str = "emulated"
    bytes: int = 1 << 20
    block: int = 4096
    transfer: str = "pio"
    string: bool = True
    width: int = 2
    interrupts: bool = True
    guests: int = 1
    queue_depth: int = 1
    costs: str | CostModel = "server-2022"
    ring_kib: int = 128
    batch: int = 16
    signals: str = "batch"
    host_cores: int = 2
    iommu: str = "static"
    delivery: str = "injected"
    timed: bool = False

    def check(self):
        """ValueError names the parameter, its value and what is allowed."""
        for name, choices in (("mode", MODES), ("signals", SIGNALS), ("iommu", IOMMU), ("delivery", DELIVERY)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        if self.ring_kib % 4:
            raise ValueError(f"ring_kib {self.ring_kib}: a multiple of 4")
        for name, low, high in (("guests", 1, 256), ("queue_depth", 1, 1024), ("ring_kib", 8, 4096),
                                ("batch", 1, 1024), ("host_cores", 1, 256)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name)}: {low} to {high}")
        CostModel.preset(self.costs)
        trace.sequential(self.bytes, self.block)
        return self
