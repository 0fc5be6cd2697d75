"""The part of a guest's bus driver that knows a device's further channels, and waits for them to come and go."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from vmio.drivers.errors import DriverTimeout
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Record

TIMEOUT_NS = 10_000_000_000   # for any answer of the host


class Offered(Protocol):
    """As much of a channel as is needed here.  See `GuestChannel`."""

    offer: Record
    relid: int
    rescinded: bool


Channel = TypeVar("Channel", bound=Offered)


class SubChannels(Generic[Channel]):
    """See `VmBusClient`."""

    cpu: VCpu
    channels: dict[int, Channel]      # relid -> channel, in order of their offers

    def subchannels(self, primary: Channel) -> list[Channel]:
        """Return the further channels of the device behind `primary`, in order of their index, until they are released."""
        return sorted((c for c in self.channels.values() if c.offer.subchannel and c.offer.instance == primary.offer.instance
                       and c.offer.interface_type == primary.offer.interface_type), key=lambda c: c.offer.subchannel)

    def offered(self, primary: Channel, number: int) -> Steps:
        """Wait until the host has offered `number` sub-channels of a device; those that there are when it takes too long."""
        def there() -> list[Channel]:
            return [channel for channel in self.subchannels(primary) if not channel.rescinded]

        yield from self._while(lambda: len(there()) < number and not primary.rescinded)
        return there()[:number]

    def taken_back(self, channel: Channel) -> Steps:
        """Wait until the host has rescinded a channel.  `DriverTimeout` if it doesn't."""
        if not (yield from self._while(lambda: not channel.rescinded)):
            raise DriverTimeout(f"VMBus: channel {channel.relid} is not taken back")

    def _while(self, waits: Callable[[], object]) -> Steps:
        """Sleep while `waits()`; False if it still does after `TIMEOUT_NS`."""
        deadline = self.cpu.now + TIMEOUT_NS
        while waits() and self.cpu.now < deadline:
            yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)
        return not waits()
