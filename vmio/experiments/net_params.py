"""What a run of network frames is told."""

from dataclasses import dataclass

from vmio.devices.net.tulip.chips import CHIPS
from vmio.devices.net.tulip.transmit import PACES
from vmio.drivers.confidential.swiotlb import DEFAULT_KIB
from vmio.drivers.tulip import BUDGET
from vmio.drivers.tulip_moderation import MAX_FRAMES, MAX_US
from vmio.experiments import dialects, params
from vmio.experiments.params import param
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.kinds import KINDS
from vmio.modes.attachments import DIALECTS

MODES = ("emulated", "split", "passthrough")
DELIVERY = ("injected", "posted")
MOST_GAP_US = 1_000_000
MOST_FRAMES = 8            # in one record, as many as the card allows


@dataclass(frozen=True)
class NetParams:
    """What `net.run` does."""

    mode: str = param("emulated", "how the guest reaches its network card", choices=MODES)
    dialect: str = param(DIALECTS[0], "what split drivers speak: Hyper-V's VMBus, or virtio over PCI", choices=DIALECTS, modes=("split",))
    pace: str = param("wire", "how long a frame takes to leave: as at 100 Mb/s, or no time", choices=PACES, modes=("emulated",))
    batch: int = param(MOST_FRAMES, "frames that the guest puts into one record at most", low=1, high=MOST_FRAMES, modes=("split",))
    chip: str = param("21140A", "which chip the card has: Hyper-V's, or its successor, which can hold interrupts back",
                      choices=tuple(CHIPS), modes=("emulated",))
    hold_frames: int = param(0, "21143: received frames after which it interrupts; 0: no number ends the wait", low=0, high=MAX_FRAMES,
                             modes=("emulated",), idle_with="adaptive")
    hold_us: int = param(0, "21143: how long after a frame it interrupts if no other follows; 0: no time ends the wait", unit="us", low=0,
                         high=MAX_US, modes=("emulated",), idle_with="adaptive")
    adaptive: bool = param(False, "21143: the driver chooses how long interrupts are held back, as Linux's DIM does", modes=("emulated",),
                           flag=True)
    budget: int = param(BUDGET, "frames that the driver takes in one poll at most", low=1, high=BUDGET, modes=("emulated",))
    delivery: str = param("injected", "who delivers the card's interrupts, the host or the hardware", choices=DELIVERY,
                          modes=("passthrough",))
    gap_us: int = param(0, "time between two frames from outside, beside the wire's own", unit="us", low=0, high=MOST_GAP_US)
    confidential: bool = param(False, "the guest's memory is its own: the host sees the pages that it shares, and data is copied by way of a "
                               "bounce pool", modes=("split",), flag=True)
    pool_kib: int | None = param(None, "size of a confidential guest's bounce pool; 65,536 unless it is said", unit="KiB", low=256, high=1 << 20,
                                 multiple=256, optional=True)
    costs: str | CostModel = param("server-2022", "cost preset")
    host: str = param("hyper-v", "kind of host that is modelled: an ordinary Hyper-V guest's, that of Hyper-V's containers, or KVM",
                      choices=tuple(KINDS))

    def check(self) -> "NetParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        if self.holds and self.chip != "21143":
            raise ValueError(f"chip {self.chip}: it can't hold interrupts back (hold_frames, hold_us, adaptive); a 21143 can")
        if self.hold_frames and not self.hold_us and not self.adaptive:
            raise ValueError(f"hold_frames {self.hold_frames}: without hold_us the last frames would wait for others for ever")
        if self.pool_kib is not None and not self.confidential:
            raise ValueError(f"pool_kib {self.pool_kib}: only a confidential guest has a bounce pool")
        dialects.check(self, "batch")
        CostModel.preset(self.costs)
        return self

    @property
    def holds(self) -> bool:
        """Whether interrupts are held back; modes without a chip of this kind don't ask."""
        return self.mode == "emulated" and bool(self.hold_frames or self.hold_us or self.adaptive)

    @property
    def isolation(self) -> dict[str, int]:
        """What a split device is told of it."""
        return {"confidential": True, "pool_kib": self.pool_kib or DEFAULT_KIB} if self.confidential else {}
