"""What commands, ports and the bus master see of an ATA channel."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from vmio.devices.ata.disk import AtaDisk
from vmio.devices.ata.taskfile import ABRT
from vmio.machine.contracts import Buffer, State

Service: TypeAlias = Callable[[str, int, Callable[[], None]], None]    # (op, sectors, done): the medium's time
Finish: TypeAlias = "Callable[[Channel], None]"                         # a step of a command
Command: TypeAlias = "Callable[[Channel, AtaDisk], bool]"               # True when it is over at once


class DmaEngine(Protocol):
    """The bus master's half for a channel."""

    status: int

    def arm(self, kind: str) -> None:
        """Start a transfer when software has said START, too."""

    def disarm(self) -> None:
        """Forget what was asked for."""

    def finish(self) -> None:
        """Move what the medium has, or has been given."""

    def reset(self) -> None:
        """Turn everything off."""


class Channel(Protocol):
    """See `AtaChannel`.  An empty place is a `TaskFile`; a command looks whether its device is `present` first."""

    selected: AtaDisk
    devices: tuple[AtaDisk, AtaDisk]
    empty: bool
    block: int
    lba: int
    moving: int
    total: int
    dma: DmaEngine | None              # the bus master's half, if there is one
    waiting: "tuple[str, int, Finish] | None"     # an access under way

    def settle(self) -> None:
        """End the access under way now."""

    def interrupt(self) -> None:
        """Raise the line."""

    def diagnose(self) -> None:
        """EXECUTE DEVICE DIAGNOSTIC."""

    def abort(self, device: AtaDisk, error: int = ABRT) -> None:
        """End a command with an error, ABRT or another."""

    def start(self, op: str, sectors: int, finish: "Finish") -> None:
        """Begin an access to the medium."""

    def open_window(self, data: Buffer, after: "Callable[[Channel, bytes], None] | None", direction: int = 1) -> None:
        """Offer a DRQ block to the host."""

    def read_data(self, size: int) -> int:
        """Return a word from the window."""

    def write_data(self, size: int, value: int) -> None:
        """A word into the window."""

    def read_block(self, size: int, count: int) -> bytes:
        """REP INSW or INSD."""

    def write_block(self, size: int, data: bytes) -> int:
        """REP OUTSW or OUTSD."""

    def status(self) -> int:
        """Return the status of the selected device."""

    def read_status(self) -> int:
        """Return the same, and acknowledge the interrupt."""

    def read_register(self, number: int) -> int:
        """Return another register."""

    def write_register(self, number: int, value: int) -> None:
        """A register, of both devices."""

    def write_control(self, value: int) -> None:
        """Device control."""

    def reset(self) -> None:
        """Hardware reset."""

    def save(self) -> State:
        """Return everything as plain data."""

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
