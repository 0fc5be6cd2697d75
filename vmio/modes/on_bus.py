"""What attachments with a channel on their guest's bus have in common: they may come and go while the guest runs (`live.Removable`)."""

from vmio.hypervisor.contracts import Steps
from vmio.modes.platform import Platform
from vmio.vmbus.bus.device import BusDevice


class OnBus:
    """`fixed` says why it can't come or go; `number` is its own on its guest's bus."""

    platform: Platform
    number: int
    own_channel = True
    fixed: str | None = None

    @property
    def offered(self) -> BusDevice:
        """What the guest finds on its bus."""
        raise NotImplementedError

    def appears(self) -> Steps[bool]:
        """For the guest: has it been offered?"""
        return self.platform.seen(self.offered) is not None
        yield
