"""What functions that were given to a guest on its bus have in common when they come and go while it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vmio.drivers.errors import DriverError
from vmio.drivers.vpci import VpciBus
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes.on_bus import OnBus
from vmio.passthrough import guest_iommu
from vmio.passthrough.assignment import Assignment
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.iommu.iommu import Iommu
from vmio.vmbus.bus.device import BusDevice


class OnVirtualPci(OnBus):
    """`lent` is the assignment, in a `domain` of `iommu` that is the guest's alone; `bus` the guest's side of it, once it is up."""

    lent: Assignment
    bus: VpciBus
    domain: Domain
    iommu: Iommu

    @property
    def offered(self) -> BusDevice:
        """What the guest finds on its bus."""
        return self.lent.vsp

    def take_away(self, done: Callable[[], None], at_once: bool) -> None:
        """Ask the guest for the function, which it has 60 s to give; or take it `at_once`, whatever it does."""
        def over() -> None:
            guest_iommu.withdraw(self.platform.guest, self.domain)
            self.iommu.destroy(self.domain)
            done()
        if at_once:
            self.lent.take_back(over)
        else:
            self.lent.eject(over)

    @contextmanager
    def undone_if_refused(self) -> Iterator[None]:
        """A function that can't be assigned leaves nothing behind: no domain, and no number."""
        try:
            yield
        except ValueError:
            self.iommu.destroy(self.domain)
            self.platform.free_number(self.number)
            raise

    def goes(self) -> Steps[bool]:
        """For the guest: is it to give the function back, or has it been taken away?"""
        return self.bus.ejecting or self.bus.channel.rescinded
        yield

    def leave(self, cpu: VCpu) -> Steps[None]:
        """Stop the driver and give the function back; or, where it has gone already, end what nobody will answer.  A generator."""
        try:
            if not self.bus.channel.rescinded:
                yield from self.stopped()
                yield from self.bus.eject()
        except DriverError:
            if not self.bus.channel.rescinded:
                raise
        if self.bus.window:                # not tidied up yet: it was taken away, perhaps in the middle of that
            self.gone()
            yield from self.bus.tidy()
        self.give_memory_back()

    def stopped(self) -> Steps[None]:
        """Let the driver finish what is under way; a generator."""
        raise NotImplementedError

    def gone(self) -> None:
        """The function went without a word: what it had written to memory is taken, all other requests have failed."""
        raise NotImplementedError

    def give_memory_back(self) -> None:
        """Let others have the driver's memory."""
        raise NotImplementedError
