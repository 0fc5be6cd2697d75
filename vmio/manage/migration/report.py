"""What a migration counted."""

from dataclasses import dataclass, field

COMPLETED, CANCELLED, FAILED, REFUSED, LOST = "completed", "cancelled", "failed", "refused", "lost"


@dataclass(frozen=True)
class Round:
    """A pass over dirty pages: `pages` went in `bytes`, `zeros` of them as a word only; `dirty` are there when the log is read at its end.

    `by` says how many pages each way dirtied meanwhile (`vmio.hypervisor.dirty.WAYS`); `throttle` by how many per cent vCPUs were held back.
    """

    number: int
    began_ns: int
    ended_ns: int
    pages: int
    zeros: int
    bytes: int
    dirty: int
    by: dict[str, int]
    throttle: int


@dataclass
class Report:
    """What happened: `status` is one of completed, cancelled, failed, refused, lost, and `reason` says why in words.

    `rounds` are those before the guest stood still; `last_pages` went while it did.  Times are in simulated ns.
    """

    status: str = FAILED
    reason: str = ""
    rounds: list[Round] = field(default_factory=list)
    began_ns: int = 0
    stopped_ns: int | None = None        # when the guest stood still at the source
    downtime_ns: int | None = None       # until it ran at the destination
    ended_ns: int = 0                    # when the last page had arrived
    last_pages: int = 0
    bytes: int = 0                       # on the link, all records
    page_bytes: int = 0                  # of PAGES records
    state_bytes: int = 0
    model_bytes: int = 0                 # checked like the others, and in no time: see `state.py`
    zero_pages: int = 0
    postcopy_pages: int = 0
    faults: int = 0                      # of vCPUs, on pages that had not come
    fault_ns: int = 0                    # that they waited for them
    host_faults: int = 0                 # of the destination's host and its devices
    memory: tuple[str, str] | None = None        # SHA-256 of RAM: when the guest stopped, and as it began at the destination
    disks: tuple[list[str], list[str]] | None = None

    @property
    def total_ns(self) -> int:
        """From the first byte to the last."""
        return self.ended_ns - self.began_ns

    @property
    def equal(self) -> bool | None:
        """Whether memory and disks at the destination were those of the source; None for a guest that did not move."""
        if self.memory is None or self.disks is None:
            return None
        return self.memory[0] == self.memory[1] and self.disks[0] == self.disks[1]
