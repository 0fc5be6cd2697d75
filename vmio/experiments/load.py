"""A guest that keeps requests in flight, and a host that serves them, on the cores of one host: what both standards' rings are loaded by."""

from dataclasses import dataclass

from simpy.events import Event

from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.costs import CostModel
from vmio.modes import Machine


@dataclass(frozen=True)
class LoadCounts:
    """What is counted of any ring; time is virtual, in ns."""

    virtual_ns: int
    interrupts: int     # host to guest
    full: int           # times that the guest found no room in the ring and had to wait


class Load:
    """The guest sleeps until it is interrupted; `done` requests have their answers."""

    def __init__(self, costs: str | CostModel, host_cores: int) -> None:
        self.host = host = Machine(costs, host_cores, memory_mib=1).host
        self.env, self.costs = host.env, host.costs
        self.done = self.full = 0
        self._interrupted = False
        self._asleep: Event | None = None      # what the guest sleeps for

    def sleep(self) -> Steps[None]:
        """The guest sleeps until it is interrupted, if it has not been meanwhile, and wakes up."""
        if not self._interrupted:
            self._asleep = self.env.event()
            yield self._asleep
        self._interrupted = False
        yield from self.host.cores.work(self.costs.wakeup_ns)

    def interrupt(self) -> None:
        """The host interrupts the guest."""
        self._interrupted = True
        if self._asleep is not None and not self._asleep.triggered:
            self._asleep.succeed()
