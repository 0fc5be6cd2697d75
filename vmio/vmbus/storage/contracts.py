"""What a split disk's host half needs of others, and what its parts see of each other."""

from collections.abc import Callable, Sequence
from typing import Protocol

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.inflight import InFlight
from vmio.vmbus.storage.bounce import BouncePages
from vmio.vmbus.storage.scsi import ScsiTarget


class Backend(Protocol):
    """What moves a request's data to or from host pages: a slice of the host's disk, or anything that can."""

    def submit(self, guest: str, kind: str, lba: int, sectors: int, pages: Sequence[int], done: Callable[[int], None], /) -> None:
        """Begin it; `done(status)` later, 0 for success.  ValueError for what it can't do."""


class SrbOwner(Protocol):
    """A `StorVsp`, as one of its requests sees it."""

    host: Root
    guest: Guest
    disks: dict[int, tuple[ScsiTarget, Backend]]
    bounce: BouncePages
    under_way: InFlight
    max_transfer: int
    requests: int
    failures: int
    bounced: int
    leaving: dict[ScsiTarget, Event]

    def over(self, target: ScsiTarget) -> None:
        """A request of a unit is over."""
