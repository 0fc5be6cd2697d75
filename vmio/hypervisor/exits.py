"""VM exits: why the guest stopped, what was asked, and the one place where they are counted.

An exit (Hyper-V: intercept; teachers say trap) is a guest instruction that the
processor hands to the hypervisor.  A vCPU keeps one `Intercept` for each kind
of access it has made ("OUT of one byte to port 3F8h"); it remembers what the
hypervisor found out the first time - who answers, what it costs - and counts.
Every table and figure of the course is a sum over these rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple, NoReturn

from vmio.machine.bus import BadAccess, Region


class ExitReason(str, Enum):
    """Basic exit reasons by the names of Intel's SDM vol. 3D, appendix C (AMD's name behind each)."""

    EXTERNAL_INTERRUPT = "EXTERNAL_INTERRUPT"  # 1   VMEXIT_INTR
    INTERRUPT_WINDOW = "INTERRUPT_WINDOW"      # 7   VMEXIT_VINTR
    CPUID = "CPUID"                            # 10  VMEXIT_CPUID
    HLT = "HLT"                                # 12  VMEXIT_HLT
    VMCALL = "VMCALL"                          # 18  VMEXIT_VMMCALL
    IO_INSTRUCTION = "IO_INSTRUCTION"          # 30  VMEXIT_IOIO
    RDMSR = "RDMSR"                            # 31  VMEXIT_MSR
    WRMSR = "WRMSR"                            # 32  VMEXIT_MSR
    EPT_VIOLATION = "EPT_VIOLATION"            # 48  VMEXIT_NPF

    def __repr__(self) -> str:
        return self.value

    __str__ = __repr__


class Exit(NamedTuple):
    """One VM exit.  `time`, when it began, and `cost` in ns of virtual time, `size` in bytes a unit."""

    time: int
    guest: str
    vcpu: int
    reason: ExitReason
    address: int         # port, guest-physical address, MSR, CPUID leaf or hypercall code
    size: int
    value: int
    write: bool
    count: int = 1       # type: ignore[assignment]  # it hides tuple.count; units moved: more than one for string I/O (REP INS, REP OUTS)
    device: str = ""
    handler: str = ""    # "hypervisor" or "worker" (the host's device-model process)
    cost: int = 0


OTHER = -1   # no address: of a row that stands for many


class Nobody:
    """Stands in for a region where none answers whole: the bus splits the access and counts its parts."""

    bad = 0
    device = None


NOBODY = Nobody()


def _unasked(*access: int) -> NoReturn:
    raise BadAccess(f"no device answers this exit: {access}")


class Intercept:
    """What a vCPU knows of one kind of access, and how often it has happened.

    `cost` ns each, plus `extra_ns` in all for what string I/O moved (`moved`
    units).  `read`/`write` reach the device at `offset`, an address less `base`; it
    belongs to `owner`, a region of a bus.  A row at address `OTHER` is the sum of
    many that are not kept one by one.
    """

    __slots__ = ("reason", "address", "size", "is_write", "string", "device", "handler", "cost", "count",
                 "extra_ns", "moved", "read", "write", "offset", "base", "region", "owner")

    def __init__(self, reason: ExitReason, address: int, size: int, is_write: bool, device: str, handler: str, cost: int,
                 string: bool = False) -> None:
        self.reason, self.address, self.size, self.is_write = reason, address, size, is_write
        self.device, self.handler, self.cost, self.string = device, handler, cost, string
        self.count = self.extra_ns = self.moved = self.offset = self.base = 0
        self.owner: Region | None = None
        self.region: Region | Nobody = NOBODY
        self.read: Callable[[int, int], int] = _unasked              # of an exit that no device answers
        self.write: Callable[[int, int, int], None] = _unasked

    @property
    def total_ns(self) -> int:
        """Virtual time that all of these cost."""
        return self.count * self.cost + self.extra_ns

    @property
    def units(self) -> int:
        """Accesses as the device sees them: one an exit, except for string I/O."""
        return self.moved if self.string else self.count

    @property
    def instruction(self) -> str:
        """How the guest's program reads: OUT, REP INS, MOV, CPUID ..."""
        if self.reason is ExitReason.IO_INSTRUCTION:
            return ("REP " if self.string else "") + ("OUT" if self.is_write else "IN") + ("S" if self.string else "")
        if self.reason is ExitReason.EPT_VIOLATION:
            return "MOV to memory" if self.is_write else "MOV from memory"
        return self.reason.value.replace("_", " ")


class ExitCounts:
    """The sums over a set of intercepts: what tables, figures and tests read."""

    def __init__(self, intercepts: Iterable[Intercept]) -> None:
        self.rows = [row for row in intercepts if row.count]

    def by(self, key: Callable[[Intercept], object]) -> Counter:
        """Return a `Counter` of exits by `key(row)`, largest first, ties in order of name."""
        counts: Counter = Counter()
        for row in self.rows:
            counts[key(row)] += row.count
        return Counter(dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))))

    def by_reason(self) -> Counter:
        """Return a `Counter` of exits by the name of their reason."""
        return self.by(lambda row: row.reason.value)

    def by_device(self) -> Counter:
        """Return a `Counter` of exits by the device that answered."""
        return self.by(lambda row: row.device)

    def by_instruction(self) -> Counter:
        """Return a `Counter` of exits by guest instruction."""
        return self.by(lambda row: row.instruction)

    @property
    def total(self) -> int:
        """All exits."""
        return sum(row.count for row in self.rows)

    @property
    def ns(self) -> int:
        """Virtual time spent in exits."""
        return sum(row.total_ns for row in self.rows)
