"""What a disk workload is told: mode, sizes, depth, and the options of each mode."""

from dataclasses import dataclass

from vmio.drivers.confidential.swiotlb import DEFAULT_KIB
from vmio.experiments import dialects, params, trace
from vmio.experiments.params import param
from vmio.hypervisor.apic import APICS
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.kinds import BACKINGS, DEMAND, KINDS, MAX_TICKS
from vmio.machine.storage import SECTOR
from vmio.modes.attachments import DIALECTS
from vmio.modes.disk_split import DOORBELLS
from vmio.modes.disk_virtio import MAX_ENTRIES, VIRTQUEUES

MODES = ("emulated", "split", "passthrough")
IOMMU = ("off", "strict", "lazy", "static")
DELIVERY = ("injected", "posted")
SIGNALS = ("always", "each", "batch")
TRANSFERS = ("pio", "multiple", "dma")


@dataclass(frozen=True)
class DiskParams:
    """What `disk.run` does; a list of requests wins over `bytes` and `block`.

    `iommu`: with "off" the device reaches all of the host's memory; with "strict" a
    buffer is mapped for one request and the IOTLB told at once; with "lazy" it is told
    later; with "static" all of the guest's RAM is mapped, once.

    `timed`: requests come when their trace says, whether the disk is ready or not (an open
    loop), and wait in the guest if they must; else the next follows as soon as it may.

    `costs` is the name of a preset, or a `CostModel` with prices of your own.
    """

    mode: str = param("emulated", "how the guest reaches its disk", choices=MODES)
    bytes: int = param(1 << 20, "without a trace: how much is read in all", unit="bytes", low=SECTOR, multiple=SECTOR)
    block: int = param(4096, "without a trace: the size of a request", unit="bytes", low=SECTOR,
                       high=trace.MAX_SECTORS * SECTOR, multiple=SECTOR, scale="log2")
    transfer: str = param("pio", "bus-master DMA in place of PIO", choices=TRANSFERS, modes=("emulated",), option="dma", flag="dma")
    string: bool = param(True, "single accesses of the data port in place of REP INS and OUTS", modes=("emulated",),
                         option="no-string", flag=False)
    width: int = param(2, "size of an access of the data port, bytes", choices=(2, 4), modes=("emulated",))
    polled: bool = param(False, "poll in place of waiting for interrupts", flag=True)
    dialect: str = param("vmbus", "what split drivers speak: Hyper-V's VMBus, or virtio over PCI", choices=DIALECTS, modes=("split",))
    virtqueue: str = param("split", "virtio: the form of its queue", choices=VIRTQUEUES, modes=("split",))
    entries: int = param(128, "virtio: descriptors of the queue, a power of two", low=4, high=MAX_ENTRIES, scale="log2", modes=("split",))
    indirect: bool = param(True, "virtio: no indirect tables, so each piece of a request takes a descriptor of the ring", modes=("split",),
                           option="no-indirect", flag=False)
    event_idx: bool = param(True, "virtio: flags in place of event indices say who wants to be told", modes=("split",),
                            option="no-event-idx", flag=False)
    guests: int = param(1, "guests, each with a disk of its own", low=1, high=256)
    vcpus: int | None = param(None, "vCPUs of each guest, which share its requests and have so many in flight each; one without channels", low=1, high=64,
                              optional=True, follows="channels", modes=("split",))
    channels: int | None = param(None, "channels of a disk, each with rings of its own and bound to one vCPU",
                                 low=1, high=64, optional=True, follows="vcpus", modes=("split",))
    queue_depth: int = param(1, "requests in flight (an ATA disk takes one)", low=1, high=1024, scale="log2",
                             modes=("split", "passthrough"))
    costs: str | CostModel = param("server-2022", "cost preset")
    ring_kib: int = param(128, "size of each ring, its control page included", unit="KiB", low=8, high=4096, multiple=4,
                          scale="log2", modes=("split",))
    batch: int = param(16, "completions that the host publishes at a time", low=1, high=1024, scale="log2", modes=("split",))
    signals: str = param("batch", "when the guest signals: once for what it submits before it waits, for each request, "
                         "or always, even if the host is awake", choices=SIGNALS, modes=("split",))
    doorbell: str = param("hypercall", "how the guest signals: by a hypercall, or by a bit in a page at which the host looks every "
                          "100 us", choices=DOORBELLS, modes=("split",))
    confidential: bool = param(False, "the guest's memory is its own: the host sees the pages that it shares, and data is copied by way of a "
                               "bounce pool", modes=("split",), flag=True)
    pool_kib: int | None = param(None, "size of a confidential guest's bounce pool; 65,536 unless it is said", unit="KiB", low=256, high=1 << 20,
                                 multiple=256, optional=True)
    host_cores: int = param(2, "cores that vCPUs and the host's workers share", low=1, high=256)
    iommu: str = param("static", "how the device reaches the guest's buffers", choices=IOMMU, modes=("passthrough",))
    delivery: str = param("injected", "who delivers the device's interrupts, the host or the hardware",
                          choices=DELIVERY, modes=("passthrough",), option="interrupts", idle_with="polled")
    apic: str = param("virtualized", "who does the work of the guests' local APICs, the processor or the hypervisor "
                      "(an emulated disk's interrupts come by way of a PIC)", choices=APICS, modes=("split", "passthrough"))
    host: str = param("hyper-v", "kind of host that is modelled: an ordinary Hyper-V guest's, that of Hyper-V's containers, or KVM",
                      choices=tuple(KINDS))
    backing: str | None = param(None, "when a guest's RAM gets pages of the host's: at their first touch, which is an exit, "
                                "or before the guest runs", choices=BACKINGS, optional=True, follows="host")
    tick_hz: int | None = param(None, "the host's own timer, which stops whoever is in a guest; 0 for none", unit="Hz",
                                low=0, high=MAX_TICKS, optional=True, follows="host")
    timed: bool = param(False, "requests come at the trace's times and wait if the disk isn't ready; latency counts from "
                        "then (without it the times are not used: the next request follows as soon as it may)", flag=True)

    def check(self) -> "DiskParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        if self.delivery == "posted" and self.apic == "emulated":
            raise ValueError("delivery posted: the host's APIC is emulated; only a virtualized one takes posted interrupts")
        if self.backing == DEMAND and self.mode == "passthrough":
            raise ValueError("backing demand: not in passthrough, where the device may write to any page at any time, so the host "
                             "pins all RAM of the guest before it runs; start and pinned are the same there")
        if self.channels is not None and self.channels > (self.vcpus or self.channels):
            raise ValueError(f"channels {self.channels}: a channel is bound to a vCPU, and the guest has {self.vcpus}")
        if self.pool_kib is not None and not self.confidential:
            raise ValueError(f"pool_kib {self.pool_kib}: only a confidential guest has a bounce pool")
        if self.timed and self.processors > 1:
            raise ValueError(f"vcpus {self.processors}: not beside timed, where one vCPU begins each request at its time")
        if self.entries & self.entries - 1:
            raise ValueError(f"entries {self.entries}: a power of two, 4 to {MAX_ENTRIES}")
        dialects.check(self)
        CostModel.preset(self.costs)
        return self

    @property
    def processors(self) -> int:
        """The number of vCPUs of a guest: one in modes that know no other."""
        return self.vcpus or self.channels or 1 if self.mode == "split" else 1

    @property
    def isolation(self) -> dict[str, int]:
        """What a split device is told of it."""
        return {"confidential": True, "pool_kib": self.pool_kib or DEFAULT_KIB} if self.confidential else {}
