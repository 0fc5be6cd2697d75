"""What the drivers of all modes have in common, for who drives a disk or a network card without knowing how it is attached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from vmio.hypervisor.contracts import Steps
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Tag

Reaped: TypeAlias = tuple[Tag, Exception | None]     # a request that is over: its tag, and what went wrong, if something did
Done: TypeAlias = Callable[[Reaped], None]      # is called when a request is over


@dataclass(slots=True, eq=False)
class DiskRequest:
    """One request of a disk's owner, of whose parts so many `remaining` are not over; `error` is what went wrong first."""

    tag: Tag
    done: Done
    remaining: int
    error: Exception | None = None
    again: int = 0      # how often a part was sent once more


class DiskDriver(Protocol):
    """A disk as a guest's program drives it: requests go in with a tag and come out with it, in any order.

    `polled`: nobody interrupts, so the driver looks by itself.
    """

    polled: bool

    @property
    def discards(self) -> bool:
        """Whether the disk takes "discard"."""

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag) -> None:
        """Accept a "read", "write", "flush" or "discard" of sectors; the data is at `gpa`, contiguous."""

    def flush_ring(self) -> None:
        """Let the other side see what was submitted."""

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Wait until there is something to reap, or until the time is `until` (ns)."""

    def reap(self) -> list[Reaped]:
        """Return what has completed since the last call: [(tag, error or None), ...]."""


class NetDriver(Protocol):
    """A network card as a guest's program drives it: frames are plain bytes, without FCS."""

    @property
    def address(self) -> bytes:
        """The card's own."""

    @property
    def pending(self) -> int:
        """Frames that were accepted and are not known to have left."""

    def send(self, frame: bytes, more: bool = False) -> bool:
        """Send a frame; False if there is no room for it now.  `more`: another one follows at once, so this one may wait for it."""

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Wait until frames have come, until what was sent has left, or until the time is `until` (ns)."""

    def reap(self) -> list[bytes]:
        """Return the frames that have come since the last call."""


class VirtioTransport(Protocol):
    """How a virtio device's registers are reached; see `PciTransport`."""

    def start(self, wanted: int) -> Steps[int]:
        """Reset, and return the features that were agreed on."""

    def add_status(self, bit: int) -> None:
        """Go a step on."""

    def queue_size(self, number: int) -> int:
        """Return how many entries a queue may have."""

    def set_queue(self, number: int, size: int, places: tuple[int, int, int], vector: int) -> None:
        """Where its parts lie."""

    def enable(self, number: int) -> None:
        """The device may use it."""

    def config(self, offset: int, size: int) -> int:
        """Return a field of the device's configuration."""

    def hear_changes(self) -> None:
        """Let changes of the device's configuration interrupt; after `start`."""

    def set_config(self, offset: int, size: int, value: int) -> None:
        """Write a field of the device's configuration."""

    def generation(self) -> int:
        """Return the number of the configuration."""

    def kick(self, number: int) -> None:
        """Tell the device."""

    def interrupted(self) -> None:
        """What is to be done with the device's registers when it has interrupted."""
