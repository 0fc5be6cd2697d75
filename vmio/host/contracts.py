"""What the block layer needs of a device's driver, and what policies need of a request."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from vmio.machine.contracts import Tag

Done: TypeAlias = Callable[[int], None]                    # (status): 0 for success
Service: TypeAlias = Callable[[str, int, Callable[[], None]], None]     # (kind, sectors, done): a medium's time


class Queued(Protocol):
    """A request that waits: whose it is, and how large."""

    guest: str
    sectors: int


class Entries(Protocol):
    """A queue of a device's."""

    @property
    def entries(self) -> int:
        """How many requests it takes, and one more."""


class BlockDriver(Protocol):
    """What has a queue and does requests: the host's NVMe driver, or a disk that takes its time and nothing else."""

    @property
    def pairs(self) -> Sequence["Entries"]:
        """Its queues; `entries` is how much one takes."""

    def submit(self, op: str, lba: int, sectors: int, pages: Sequence[int], tag: Tag, pair: int = 0) -> bool:
        """Put a request into the queue; False if it is full."""

    def ring_doorbell(self, pair: int = 0) -> None:
        """Let the device see what was submitted."""

    def reap(self, pair: int = 0) -> list[tuple[Tag, int]]:
        """Return (tag, status) of what has ended."""
