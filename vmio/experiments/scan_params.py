"""What a parallel scan is told: who searches, through what, in pieces of what size, and what changes while it runs."""

from dataclasses import dataclass

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.host.policies import POLICIES
from vmio.hypervisor.costs import CostModel
from vmio.machine.storage import SECTOR

WORDS = (b"license", b"copyright", b"warranty", b"the")
MODES, WORKERS = ("split", "passthrough"), ("vcpus", "guests")
CHANGES = ("channels", "depth", "cores", "memory", "passthrough", "cap")
CAPPING = ("limits", "mclock")      # policies that heed a cap
MAX_WORKERS, MAX_DEPTH = 16, 64
MOST_MIB = 128         # of what is added at once: Linux prepares a region of so much


@dataclass(frozen=True)
class ScanParams:
    """How `scan.run` searches the first `kib` of a disk image for `WORDS`, without regard to case.

    The workers are the vCPUs of one guest, with a channel each unless `channels` says fewer, or guests with a disk each.  `rate` and
    `merge_ns` are the program's own, and not the machine's: how fast a core searches, and what the one who ends last takes for each
    match to join all lists.  In several `passes` the image is searched for other words each time; with `memory` a guest keeps what it has
    read as long as there is room for it.  `changes` are (us since the start, one of `CHANGES`, new value), made while all run: "memory" is
    MiB of each guest, and a "cap" the most MB/s that the disk gives the first guest from then on.
    """

    mode: str = param("split", "how each worker reaches the image", choices=MODES)
    workers: int = param(4, "workers", low=1, high=MAX_WORKERS, scale="log2")
    kind: str = param("vcpus", "what a worker is: a vCPU of one guest, or a guest", choices=WORKERS)
    channels: int | None = param(None, "channels of the guest's disk, each bound to one vCPU", low=1, high=MAX_WORKERS, optional=True, follows="workers")
    depth: int = param(2, "reads that a worker keeps in flight", low=1, high=MAX_DEPTH, scale="log2")
    piece_kib: int = param(64, "what a worker reads at a time", unit="KiB", low=4, high=256, multiple=4, scale="log2")
    kib: int = param(8192, "how much of the image is searched, from its beginning", unit="KiB", low=4, high=32768, multiple=4)
    rate: int = param(250, "what a core searches in a second", unit="MB/s", low=1, high=100_000, scale="log2")
    merge_ns: int = param(50, "what joining the lists takes for each match", unit="ns", low=0, high=1_000_000)
    passes: int = param(1, "how often the image is searched, each time for a part of the words", low=1, high=len(WORDS))
    memory: int | None = param(None, "what a guest has to keep what it has read", unit="MiB", low=2, high=MOST_MIB, multiple=2, optional=True)
    spare: int = param(32, "memory that the host has for guests that grow", unit="MiB", low=0, high=1024)
    overlap: bool = param(True, "read on after a piece's end, as far as a match that begins in it may reach", flag=True)
    shared: bool = param(True, "a worker takes the next piece when it has done one; without, each has its own part from the start", flag=True)
    slow: int = param(1, "so many times as long the first worker takes to search", low=1, high=100)
    backup: bool = param(False, "who has nothing left to begin searches a piece again that another is slow with", flag=True)
    greedy: int = param(1, "so many times the reads in flight that the first worker keeps", low=1, high=MAX_DEPTH)
    policy: str = param("drr", "how the host shares its disk among guests", choices=tuple(POLICIES))
    cores: int = param(32, "cores of the host", low=1, high=256)
    costs: str | CostModel = param("server-2022", "cost preset")
    changes: tuple[tuple[int, str, int], ...] = ()

    def check(self) -> "ScanParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        CostModel.preset(self.costs)
        if self.mode == "passthrough" and self.kind == "vcpus" and self.workers > 1:
            raise ValueError(f"workers {self.workers}: an assigned disk is driven by one vCPU; with kind guests each worker has a function")
        if self.channels is not None and (self.channels > self.workers or self.kind == "guests" or self.mode == "passthrough"):
            raise ValueError(f"channels {self.channels}: at most one for each vCPU, {self.workers}, of one guest with a split disk")
        if self.backup and not self.shared:
            raise ValueError("backup: only where workers take the next piece of one list (shared)")
        if self.depth * self.greedy > MAX_DEPTH:
            raise ValueError(f"greedy {self.greedy}: with {self.depth} reads for each worker at most {MAX_DEPTH // self.depth}")
        if self.memory is not None and (self.mode == "passthrough" or any(what == "passthrough" for _, what, _ in self.changes)):
            raise ValueError(f"memory {self.memory}: not of a guest with an assigned function, which may reach all of its RAM, so none can go")
        for when, what, value in self.changes:
            self._check_change(when, what, value)
        return self

    def _check_change(self, when: int, what: str, value: int) -> None:
        if what not in CHANGES:
            raise ValueError(f"change {what!r}: choose one of {', '.join(CHANGES)}")
        most = {"channels": self.workers, "depth": MAX_DEPTH, "cores": 256, "memory": MOST_MIB, "passthrough": 1, "cap": 100_000}[what]
        if when < 0 or not 1 <= value <= most:
            raise ValueError(f"change of {what} to {value} at {when} us: at 0 us or later, to 1 to {most}")
        if what == "channels" and (self.kind != "vcpus" or self.mode != "split"):
            raise ValueError(f"change of channels at {when} us: of one guest with a split disk, and here are {self.kind} in mode {self.mode}")
        if what == "memory" and (self.memory is None or value % 2):
            raise ValueError(f"change of memory to {value} at {when} us: 2 to {MOST_MIB} MiB, a multiple of 2, of guests that have some (memory)")
        if what == "cap" and (self.kind != "guests" or self.mode != "split" or self.policy not in CAPPING):
            raise ValueError(f"change of cap at {when} us: of guests with split disks under {' or '.join(CAPPING)}, and here are {self.kind} in mode "
                             f"{self.mode} under {self.policy}")
        if what == "passthrough" and (self.kind != "guests" or self.mode != "split"):
            raise ValueError(f"change to passthrough at {when} us: of guests with split disks, and here are {self.kind} in mode {self.mode}")

    @property
    def bytes(self) -> int:
        """Bytes that are searched, in all passes together."""
        return (self.kib << 10) * self.passes

    @property
    def buffer(self) -> int:
        """Bytes of a read's buffer: a piece, and the sector in which a match may end."""
        return (self.piece_kib << 10) + SECTOR
