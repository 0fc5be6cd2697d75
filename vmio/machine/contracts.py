"""Types that all floors share: what has registers, what keeps bytes, and how they are handed over."""

from collections.abc import Callable, Mapping
from mmap import mmap
from os import PathLike
from typing import Any, Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap        # bytes that are only looked at
Sectors: TypeAlias = bytes | bytearray                           # what a medium answers
Record: TypeAlias = Any                                          # a named tuple that a layout has made at run time
State: TypeAlias = dict[str, Any]                                 # what `save` gives: plain data
Options: TypeAlias = dict[str, Any]                               # arguments by name, for a call that has types of its own for them
Json: TypeAlias = dict[str, Any]                                  # a JSON object: what `to_dict` gives
Tag: TypeAlias = Any                                             # what who submits a request wants back with its answer
FileName: TypeAlias = str | bytes | PathLike[str]
Inputs: TypeAlias = Mapping[str, FileName | None]                # {option: file that is read, or None}


class Device(Protocol):
    """What answers on a bus: registers at offsets from 0, 1 to 8 bytes at a time, little-endian.

    `BadAccess` for a register or a size that it doesn't have; the bus decides what the guest sees.
    """

    def read(self, offset: int, size: int, /) -> int:
        """Return `size` bytes at `offset`."""

    def write(self, offset: int, size: int, value: int, /) -> None:
        """Store `size` bytes at `offset`."""


class Kept(Protocol):
    """What a checkpoint holds the state of."""

    def save(self) -> State:
        """Return it, as plain data."""

    def restore(self, state: State) -> None:
        """Take it back."""


class Memory(Protocol):
    """Bytes by address, as a CPU or a device's DMA sees them; what can't be reached raises before a byte has moved."""

    def read(self, address: int, length: int, /) -> bytes:
        """Return `length` bytes from `address`."""

    def write(self, address: int, data: Buffer, /) -> None:
        """Store `data` at `address`."""


class DiskFile(Protocol):
    """A file of the host, or bytes, by position; ValueError, naming it, for what can't be read."""

    name: str
    size: int

    @property
    def writable(self) -> bool:
        """Whether it was opened to be written."""

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`."""

    def close(self) -> None:
        """Let go of it."""


class Readable(Protocol):
    """What a disk's content can be read from."""

    sectors: int

    def read(self, lba: int, count: int) -> Sectors:
        """Return `count` sectors from `lba`."""


class SectorStore(Readable, Protocol):
    """What a disk keeps its sectors in: any `Medium`, a part of one, or several as one."""

    name: str

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`."""

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba`."""

    def discard(self, lba: int, count: int) -> None:
        """Make sectors read as zeros."""

    def flush(self) -> None:
        """What was written is where it belongs when this returns."""

    def persist(self, lba: int, count: int) -> None:
        """Do the same for these sectors alone."""


class Timers(Protocol):
    """A clock as a device sees it: a board's `Clock`, or the host's."""

    @property
    def now(self) -> int:
        """The time, in ns."""

    def call_at(self, when: int, callback: Callable[[], None], /) -> "Pending":
        """Call `callback()` at `when`, ns."""

    def call_later(self, delay: int, callback: Callable[[], None], /) -> "Pending":
        """Call `callback()` after `delay` ns."""


class Pending(Protocol):
    """A call that is to come, and may be taken back."""

    when: int

    def cancel(self) -> None:
        """Make it not happen."""
