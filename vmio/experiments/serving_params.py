"""What a run of a model that is served to several tenants is told."""

from dataclasses import dataclass

from vmio.experiments import params
from vmio.experiments.accelerator_params import DIGITS, MAX_HIDDEN
from vmio.experiments.params import param
from vmio.hardware.accelerator.pci import MAX_FUNCTIONS
from vmio.hypervisor.costs import CostModel

WAYS = SERVICE, FUNCTIONS, ENGINES = ("service", "functions", "engines")
BULLIES = NOBODY, HUGE, ENDLESS = ("nobody", "huge calls", "an endless job")


@dataclass(frozen=True)
class ServingParams:
    """What `serving.run` does."""

    way: str = param("functions", "what tenants share: the host's service, one engine by a virtual function each, or nothing, with an engine each",
                     choices=WAYS)
    tenants: int = param(3, "guests to which requests come", low=1, high=MAX_FUNCTIONS - 1)
    rate: int = param(40_000, "requests for each tenant, on average", unit="images/s", low=1_000, high=1_000_000)
    count: int = param(400, "requests that come to each tenant in all", low=1, high=100_000)
    batch: int = param(16, "images in one call, at most", low=1, high=256, scale="log2")
    wait_us: int = param(50, "how long the first image of a call waits for others, at most", unit="us", low=0, high=10_000)
    hidden: int = param(DIGITS, "sums of the first layer; other than 32 have weights that mean nothing", low=1, high=MAX_HIDDEN, scale="log2")
    bully: str = param(NOBODY, "one more guest, which never pauses: calls of 16,384 images, or a job without an end", choices=BULLIES)
    slice_us: int = param(16, "how long one guest has the engine while another waits, at the least one operation", unit="us", low=1, high=4_096,
                          scale="log2")
    seed: int = param(1, "of the times at which requests come", low=0, high=1_000_000)
    costs: str | CostModel = param("server-2022", "cost preset")

    def check(self) -> "ServingParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        CostModel.preset(self.costs)
        return self

    @property
    def guests(self) -> int:
        """All guests, the bully too."""
        return self.tenants + (self.bully != NOBODY)
