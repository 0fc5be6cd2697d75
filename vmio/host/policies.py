"""The scheduling policies by name, as a lesson or a command line asks for them.

    fifo      first come, first served                            ignores shares
    limits    the same behind token buckets                       cap, iops, burst_ns
    drr       deficit round robin                                 weight
    fair      weighted fair queueing by start tags                weight
    mclock    fair between a floor and a ceiling                  weight, reservation, cap, iops
"""

from vmio.host.drr import DeficitRoundRobin
from vmio.host.fair import WeightedFair
from vmio.host.mclock import MClock
from vmio.host.scheduler import Fifo, Scheduler
from vmio.host.throttle import Throttle

POLICIES = {"fifo": Fifo, "limits": Throttle, "drr": DeficitRoundRobin, "fair": WeightedFair, "mclock": MClock}


def make(policy: str) -> Scheduler:
    """Return a new scheduler; ValueError names the policies there are."""
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r}: choose one of {', '.join(POLICIES)}")
    return POLICIES[policy]()
