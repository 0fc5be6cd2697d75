"""A hostile container reaches for its neighbour and for the layer that both share: which wall stops it, or what did it reach?

    print(hostile.matrix())

Two containers have started.  One puts a secret on its scratch disk and another one into its memory.  Then the hostile one has its
turn.  With one kernel it asks for what only that kernel can do; the kernel refuses if it checks.  One that does not check, for it has a
bug or was taken over, does all of it.  With a kernel of its own the container has taken that one over, which nobody can forbid.

Verdicts are measured: a secret is looked for in what the hostile one has read; secrets and layer are read again, by the neighbour.
Walls are named by what has refused: an error of its kernel's check, of the host's disk, an exit that nobody answers, a fault.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from vmio.drivers.scsi_probe import ScsiError
from vmio.experiments.containers.density import BUFFER, PER_PAGE, DensityParams, Fleet, base
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.pmem import READ_ONLY
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import WRITE
from vmio.table import table

HOSTILE, VICTIM = 0, 1                     # containers
BLOCK = 1000                               # sector of the victim's disk on which its secret is
FILE = 1550                                # a page of the layer: the beginning of its file Apache-2.0
RUBBISH = b"hostile!" * (PAGE // 8)
MIB = 1 << 20
CHECK, DISK, UNMAPPED, READ_ONLY_ENTRY = "kernel's check", "host's disk", "no entry in SLAT", "read-only SLAT entry"
WALLS = CHECK, DISK, UNMAPPED, READ_ONLY_ENTRY
LEAKED, CHANGED, STOPPED, OWN = "leaked", "changed", "stopped", "only its own"


class Case(NamedTuple):
    """How the containers are kept apart: the isolation, the way of the layer, and whether a wall is there."""

    isolation: str
    layer: str
    kernel_checks: bool = False
    permissions: int = READ_ONLY


CASES = {
    "one kernel, checks": Case("process", "scsi", kernel_checks=True),
    "one kernel, taken over": Case("process", "scsi"),
    "own kernel, SCSI": Case("hyperv", "scsi"),
    "own kernel, VPMem": Case("hyperv", "vpmem"),
    "VPMem writable": Case("hyperv", "vpmem", permissions=READ_ONLY | WRITE),
}


@dataclass(frozen=True)
class Attempt:
    """What was tried, in how many ways, and the verdict: LEAKED, CHANGED, STOPPED by `walls`, or it reached ONLY ITS OWN."""

    what: str
    tries: int
    verdict: str
    walls: tuple[str, ...]


class _Refused(Exception):
    """The kernel's check: this is not the container's own."""


class Attack:
    """One case; `run` returns its attempts.  `faults` counts what the hostile guest was told by #GP."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.fleet = fleet = Fleet(DensityParams(2, case.isolation, case.layer), case.permissions)
        self.mine, self.theirs = fleet.containers[HOSTILE], fleet.containers[VICTIM]
        self.kernel, self.neighbour = fleet.kernels[0], fleet.kernels[-1]       # one and the same if it is shared
        self.on_disk, self.in_memory = (hashlib.sha256(what).digest() * (PAGE // 32) for what in (b"disk", b"memory"))
        self.place = self.neighbour.memory_of(self.theirs)
        self.sector = self.theirs.place * base().sectors + BLOCK if self._shared else BLOCK
        self.faults = 0
        self._seen: list[bytes] = []
        self._walls: set[str] = set()
        self._tries = 0

    @property
    def _shared(self) -> bool:
        return self.kernel is self.neighbour

    def run(self) -> list[Attempt]:
        """Start both containers, let the victim hide its secrets, and then try everything."""
        self.fleet.begin().to_the_end()
        host, found = self.fleet.machine.host, []
        host.run((self.neighbour.machine.cpu, self._hide))
        for what, program in (("read its block on disk", self._read_disk), ("write over it", self._write_disk),
                              ("read its memory", self._read_memory), ("write into it", self._write_memory),
                              ("rewrite a file of the layer", self._rewrite_layer)):
            self._seen, self._walls, self._tries = [], set(), 0
            host.run((self.kernel.machine.cpu, program))
            leaked = any(secret[:32] in seen for seen in self._seen for secret in (self.on_disk, self.in_memory))
            changed = host.run((self.neighbour.machine.cpu, self._damage))[0]
            verdict = LEAKED if leaked else CHANGED if changed else STOPPED if self._walls else OWN
            found.append(Attempt(what, self._tries, verdict, tuple(sorted(self._walls)) if verdict == STOPPED else ()))
            if changed:
                host.run((self.neighbour.machine.cpu, self._hide))
        return found

    # What the victim does.

    def _hide(self, cpu: VCpu) -> Steps[None]:
        cpu.write(BUFFER, self.on_disk)
        yield from self.neighbour.disk.write(self.sector, PER_PAGE, BUFFER)
        cpu.write(BUFFER, bytes(PAGE))
        cpu.write(self.place, self.in_memory)
        yield from cpu.pay()

    def _damage(self, cpu: VCpu) -> Steps[bool]:
        """What the victim reads now: are its secrets, or the layer, other ones than before?"""
        kernel = self.neighbour
        yield from kernel.disk.read(self.sector, PER_PAGE, BUFFER)
        intact = cpu.read(BUFFER, PAGE) == self.on_disk and cpu.read(self.place, PAGE) == self.in_memory
        cpu.write(BUFFER, bytes(PAGE))
        page = kernel.layer.read(FILE * PAGE, PAGE) if kernel.layer is not None else cpu.read(kernel.cached[FILE], PAGE)
        return not intact or page != base().read(FILE * PER_PAGE, PER_PAGE)

    # What the hostile container does.

    def _read_disk(self, cpu: VCpu) -> Steps[None]:
        for lba in self._sectors:
            with self._try():
                self._check_disk(lba)
                yield from self.kernel.disk.read(lba, PER_PAGE, BUFFER)
                self._seen.append(cpu.read(BUFFER, PAGE))
        cpu.write(BUFFER, bytes(PAGE))

    def _write_disk(self, cpu: VCpu) -> Steps[None]:
        cpu.write(BUFFER, RUBBISH)
        for lba in self._sectors:
            with self._try():
                self._check_disk(lba)
                yield from self.kernel.disk.write(lba, PER_PAGE, BUFFER)

    @property
    def _sectors(self) -> list[int]:
        """Where the secret is for the victim's kernel, and where it is on the host's disk."""
        first = self.neighbour.machine.backends[0].first
        return sorted({self.sector, first + self.sector})

    def _read_memory(self, cpu: VCpu) -> Steps[None]:
        ranges = [(gpa, PAGE) for gpa in self._places] + [(gpa, MIB) for gpa in range(0, self.kernel.machine.guest.ram, MIB)]
        for gpa, length in ranges:
            with self._try():
                self._check_memory(gpa, length)
                before = cpu.exits.by_device()["nobody"]
                self._seen.append(cpu.read(gpa, length))
                self._note_exits(cpu, before)
        yield from cpu.pay()

    def _write_memory(self, cpu: VCpu) -> Steps[None]:
        for gpa in self._places:
            with self._try():
                self._check_memory(gpa, PAGE)
                before = cpu.exits.by_device()["nobody"]
                cpu.write(gpa, RUBBISH)
                self._note_exits(cpu, before)
        yield from cpu.pay()

    @property
    def _places(self) -> list[int]:
        """Where the secret is for the victim, and where it is in the host's memory."""
        return [self.place, self.neighbour.machine.guest.ram_spa(self.place)]

    def _rewrite_layer(self, cpu: VCpu) -> Steps[None]:
        """Store where the kernel has the page, let the disk put something there, write it on the disk."""
        kernel = self.kernel
        at = kernel.layer.base + FILE * PAGE if kernel.layer is not None else kernel.cached[FILE]
        with self._try():
            self._check_memory(at, PAGE)
            cpu.write(at, RUBBISH)
        with self._try():
            self._check_memory(at, PAGE)
            yield from kernel.disk.read(self.mine.place * base().sectors, PER_PAGE, at)
        cpu.write(BUFFER, RUBBISH)
        with self._try():
            self._check_disk(FILE * PER_PAGE)
            yield from kernel.disk.write(FILE * PER_PAGE, PER_PAGE, BUFFER)

    def _note_exits(self, cpu: VCpu, before: int) -> None:
        """An exit that nobody answers: there is nothing in the second-level table."""
        if cpu.exits.by_device()["nobody"] > before:
            self._walls.add(UNMAPPED)

    def _check_disk(self, lba: int) -> None:
        """What a shared kernel has to ask before it reads or writes sectors for a container: are they its scratch disk's?"""
        first = self.mine.place * base().sectors
        if self.case.kernel_checks and not first <= lba <= first + base().sectors - PER_PAGE:
            raise _Refused

    def _check_memory(self, gpa: int, length: int) -> None:
        """The same before it touches memory for a container: is it its own?"""
        first = self.kernel.memory_of(self.mine)
        if self.case.kernel_checks and not first <= gpa <= first + self.fleet.params.private_kib * 1024 - length:
            raise _Refused

    @contextmanager
    def _try(self) -> Iterator[None]:
        """One try; whoever refuses it is noted."""
        self._tries += 1
        try:
            yield
        except _Refused:
            self._walls.add(CHECK)
        except ScsiError:
            self._walls.add(DISK)
        except GuestFault:
            self.faults += 1
            self._walls.add(READ_ONLY_ENTRY)


@cache
def attack(name: str) -> tuple[Attempt, ...]:
    """Return the attempts of a case in CASES; ValueError for another name."""
    if name not in CASES:
        raise ValueError(f"case {name!r}: choose one of {', '.join(CASES)}")
    return tuple(Attack(CASES[name]).run())


def matrix() -> str:
    """Return what became of each attempt in each case."""
    columns = {name: attack(name) for name in CASES}
    rows = [(tries[0].what, *(one.verdict for one in tries)) for tries in zip(*columns.values(), strict=True)]
    return table(rows, ("the hostile container tries to", *columns), "<" * (1 + len(columns)))
