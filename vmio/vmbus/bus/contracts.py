"""What the parts of the bus see of each other."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from simpy.events import Event

from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv.hypercalls import Enlightenments
from vmio.machine.contracts import Buffer
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import Packet, TransferPages

Ranges: TypeAlias = Sequence[tuple[int, int, Sequence[int]]] | TransferPages     # (bytes, offset, page numbers) each


class Offered(Protocol):
    """A device on the bus; see `BusDevice`.  It may say `offer_flags` and `offer_user`, too, and `for_one_life`: its
    channel goes with the connection of the guest that it was made for."""

    class_id: bytes
    instance_id: bytes

    def opened(self, end: ChannelEnd) -> None:
        """The guest has opened the channel."""

    def closed(self) -> Event | None:
        """Stop; an event says when guest memory is let go."""


class Owner(Protocol):
    """The bus, as a channel sees it; see `VmbusServer`."""

    guest: Guest
    hypervisor: Enlightenments
    refused: Counter[str]


class Answerable(Protocol):
    """A request that was taken from a ring; see `Taken`."""

    def complete(self, payload: Buffer, transaction_id: int) -> bool:
        """Send its completion."""

    def end(self) -> bool:
        """End it without an answer."""


class Serves(Protocol):
    """What begins a request: a device's `packet`."""

    def __call__(self, request: Answerable, packet: Packet, /) -> None:
        """Begin one request."""
