"""What a run of the digits on a matrix engine is told."""

from dataclasses import dataclass

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.kinds import KINDS

MODES = ("emulated", "split", "passthrough")
ACCESS, FUNCTIONS, DELIVERY = ("ring", "registers"), ("whole", "virtual"), ("injected", "posted")
MAX_BATCH, MAX_COUNT, MAX_HIDDEN, MAX_GUESTS = 16_384, 1_000_000, 512, 8
DIGITS = 32                # hidden sums of the network that was trained


@dataclass(frozen=True)
class AcceleratorParams:
    """What `accelerator.run` does."""

    mode: str = param("emulated", "how the guest reaches the matrix engine", choices=MODES)
    access: str = param("ring", "what the emulated engine has: a ring of descriptors in memory, or registers only", choices=ACCESS,
                        modes=("emulated",))
    function: str = param("whole", "what a guest is given: the whole device, or a virtual function of it", choices=FUNCTIONS,
                          modes=("passthrough",))
    delivery: str = param("injected", "who delivers the engine's interrupts, the host or the hardware", choices=DELIVERY, modes=("passthrough",))
    count: int = param(450, "images that each guest has looked at; more than there are come again", low=1, high=MAX_COUNT)
    batch: int = param(450, "images in one call, for whose end the guest waits", low=1, high=MAX_BATCH, scale="log2")
    hidden: int = param(DIGITS, "sums of the first layer; other than 32 have weights that mean nothing", low=1, high=MAX_HIDDEN, scale="log2")
    guests: int = param(1, "guests that share one device, by turns or by virtual functions", low=1, high=MAX_GUESTS,
                        modes=("split", "passthrough"))
    costs: str | CostModel = param("server-2022", "cost preset")
    host: str = param("hyper-v", "kind of host that is modelled: an ordinary Hyper-V guest's, that of Hyper-V's containers, or KVM",
                      choices=tuple(KINDS))

    def check(self) -> "AcceleratorParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        if self.guests > 1 and self.mode == "emulated":
            raise ValueError(f"guests {self.guests}: an emulated device is one guest's; share it in mode split or passthrough")
        if self.guests > 1 and self.mode == "passthrough" and self.function == "whole":
            raise ValueError(f"guests {self.guests}: a whole device is one guest's; function virtual gives each its own")
        if self.count > 20_000 and self.mode == "emulated" and self.access == "registers":
            raise ValueError(f"count {self.count:,}: by registers only, at most 20,000; each image takes 26 exits")
        CostModel.preset(self.costs)
        return self
