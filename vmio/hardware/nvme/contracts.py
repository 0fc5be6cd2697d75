"""What the parts of an NVMe controller see of it: its command sets, its features, its logs and its checkpoint."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from vmio.devices.pci.msix import Msix
from vmio.hardware.nvme.queues import CompletionQueue, Request, SubmissionQueue
from vmio.machine.contracts import Buffer, Memory, SectorStore, State, Timers

Service: TypeAlias = Callable[[str, int, Callable[[], None]], None]     # (op, sectors, done): the medium's time
At: TypeAlias = Callable[[int, Callable[[], None]], None]               # (ns, call): call then, or now if that is past


class FeatureValues(Protocol):
    """See `Features`."""

    write_cache: int

    def get(self, request: Request, nsid: int, dword10: int, dword11: int) -> int:
        """Get Features."""

    def set(self, request: Request, nsid: int, dword10: int, dword11: int) -> int:
        """Set Features."""

    def start(self) -> None:
        """The controller has been enabled."""

    def too_hot_or_cold(self) -> bool:
        """Return whether the temperature is beyond a threshold."""

    def save(self) -> State:
        """Return plain data."""

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""


class EventReports(Protocol):
    """See `Events`."""

    requests: list[Request]

    def save(self) -> State:
        """Return plain data."""

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""

    def wait(self, request: Request) -> None:
        """Keep an ASYNCHRONOUS EVENT REQUEST."""

    changed: bool

    def add(self, kind: int, information: int, log_page: int) -> None:
        """Tell of an event."""

    def seen(self, kind: int) -> None:
        """The host has read its log page."""


class Shadow(Protocol):
    """See `ShadowDoorbells`."""

    def configure(self, doorbells: int, events: int) -> None:
        """Use the pages at these addresses."""

    def save(self) -> State:
        """Return plain data."""

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""


class Controller(Protocol):
    """See `NvmeController`."""

    clock: Timers
    memory: Memory
    image: SectorStore
    page: int
    queue_pairs: int
    vectors: int
    max_bytes: int
    identity: bytes
    queues_created: bool
    counters: dict[str, int]
    registers: bytearray
    msix: Msix
    sqs: dict[int, SubmissionQueue]
    cqs: dict[int, CompletionQueue]

    @property
    def events(self) -> "EventReports":
        """What it tells of itself."""

    @property
    def features(self) -> FeatureValues:
        """What software has set."""

    @property
    def shadow(self) -> Shadow:
        """Its doorbells in memory."""

    @property
    def command_set(self) -> int:
        """Which one was chosen."""

    def start(self, request: Request) -> None:
        """Begin a command."""

    def medium(self, request: Request, op: str, sectors: int) -> None:
        """Let the medium take its time, then go on with what the command does then."""

    def change(self, method: Callable[..., None], *arguments: int | Buffer) -> None:
        """Change the medium; `Failed` if that fails."""

    def set_page(self, page: int) -> None:
        """Take the size of a memory page."""

    def forget(self) -> None:
        """Drop queues and all that is under way."""

    def get(self, offset: int) -> int:
        """Return a 32-bit register."""

    def put(self, offset: int, value: int) -> None:
        """Give a 32-bit register a value."""

    def fail(self) -> None:
        """Queue memory is out of reach."""

    def post(self, cq: CompletionQueue) -> None:
        """Write answers while there is room."""

    def update_intx(self) -> None:
        """Drive INTx."""

    def pieces(self, request: Request, prp1: int, prp2: int, length: int) -> list[tuple[int, int]]:
        """Return the parts of the host's memory that a command means."""

    def to_host(self, request: Request, data: Buffer) -> None:
        """Move data into the host's memory."""

    def from_host(self, request: Request, length: int) -> bytes:
        """Move data out of the host's memory."""
