"""What a run of network frames is told."""

from dataclasses import dataclass

from vmio.devices.net.tulip.transmit import PACES
from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.kinds import KINDS

MODES = ("emulated", "split")
MOST_FRAMES = 8            # in one record, as many as the card allows


@dataclass(frozen=True)
class NetParams:
    """What `net.run` does."""

    mode: str = param("emulated", "how the guest reaches its network card", choices=MODES)
    pace: str = param("wire", "how long a frame takes to leave: as at 100 Mb/s, or no time", choices=PACES, modes=("emulated",))
    batch: int = param(MOST_FRAMES, "frames that the guest puts into one record at most", low=1, high=MOST_FRAMES, modes=("split",))
    costs: str | CostModel = param("server-2022", "cost preset")
    host: str = param("hyper-v", "kind of host that is modelled: an ordinary Hyper-V guest's, that of Hyper-V's containers, or KVM",
                      choices=tuple(KINDS))

    def check(self) -> "NetParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        CostModel.preset(self.costs)
        return self
