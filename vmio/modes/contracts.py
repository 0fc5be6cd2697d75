"""A planned machine and its guests, as a checkpoint sees them."""

from collections.abc import Sequence
from typing import Any, Protocol

from vmio.hypervisor.contracts import Partition
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.runs import Run
from vmio.machine.checkpoint import State
from vmio.machine.clock import Timers
from vmio.modes.attachments import Attachment
from vmio.modes.platform import Backend, Platform


class Member(Protocol):
    """See `GuestMachine`."""

    guest: Guest
    platform: Platform
    name: str | None
    attachments: list[Attachment]
    backends: list[Backend]
    changed: bool

    @property
    def media(self) -> Sequence[Any]:
        """A medium for each device, or None; only a `Medium` can be saved."""

    @property
    def ram_mib(self) -> int:
        """Its RAM."""


class Beside(Protocol):
    """What stands beside a machine and is saved with it (`Machine.beside`): who is at a cable's other end, what somebody measures."""

    def timers(self, guest: Partition) -> Timers:
        """Return what it has on this guest's clock, as (name, timer) pairs."""

    def save(self, saving: Saving) -> State:
        """Return its state as plain data; `CheckpointRefused` if that can't be had now."""

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take back what `save` gave: devices are restored, programs are where they were when `restoring.last` calls."""


class Whole(Protocol):
    """See `Machine`."""

    checkpoints: bool
    current: Run | None
    beside: list[Beside]

    @property
    def host(self) -> Host:
        """Its host."""

    @property
    def guests(self) -> Sequence[Member]:
        """Its guests, as they were planned."""

    def start(self, *programs: tuple, limit_ns: int | None = None) -> Run:
        """Begin a run."""
