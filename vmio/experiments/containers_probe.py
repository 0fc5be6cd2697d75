"""A hostile container reaches for its neighbour: what keeps it out, a check in a shared kernel or the machine?

    print(probe_table())

The hostile container asks for what its kernel's driver could do: read and write
any sector of the disk, read any guest-physical address.  A kernel that checks
refuses.  Without checks - a bug, or the container has taken its kernel over - one
kernel hands out everything; a kernel of its own has only what its guest has.
Verdicts come from canaries: bytes that only the neighbour has, in its difference data and
in its memory, looked for in what was read, and read again afterwards.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from vmio.drivers.scsi_probe import ScsiError
from vmio.experiments.containers import ISOLATION, MIB, ContainerParams, World
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Json
from vmio.table import table

HOSTILE, VICTIM = 0, 1         # containers
BLOCK = 5                      # of the victim's disk: its canary is there
CASES = (("process", True), ("process", False), ("hyperv", False))


class Refused(Exception):
    """The kernel's check: this is not the container's own."""


@dataclass(frozen=True)
class Attempt:
    """What was tried, in how many ways, and what came of it.

    `verdict`: "leaked" (the canary was in what was read), "changed" (it is there no
    more), "refused" (some tries, and the others found nothing), "nothing" (no try was
    refused, and none found anything).  `by`: who refused.
    """

    what: str
    tries: int
    verdict: str
    by: str = ""


@dataclass(frozen=True)
class Probe:
    """All attempts in one case, and whether the victim's canaries are as they were."""

    isolation: str
    kernel_checks: bool
    attempts: tuple
    disk_canary: bool
    memory_canary: bool

    @property
    def contained(self) -> bool:
        """Has nothing leaked or changed?"""
        return not any(one.verdict in ("leaked", "changed") for one in self.attempts)

    def to_dict(self) -> Json:
        """Return plain data for JSON."""
        return {**asdict(self), "contained": self.contained}

    def table(self) -> str:
        """Return one row an attempt."""
        checks = "checks" if self.kernel_checks else "does not check"
        return table([(one.what, one.tries, one.verdict, one.by) for one in self.attempts],
                     ("attempt", "tries", "verdict", "by"), title=f"{self.isolation}, the kernel {checks}")


def probe(isolation: str, kernel_checks: bool = True, seed: int = 1) -> Probe:
    """Let container 0 attack container 1; a `Probe`.  `kernel_checks`: does the attacker's kernel check what it asks?"""
    if isolation not in ISOLATION:
        raise ValueError(f"isolation {isolation!r}: choose one of {', '.join(ISOLATION)}")
    return _Attack(World(ContainerParams(containers=2, seed=seed), isolation), bool(kernel_checks)).run()


def probe_table() -> str:
    """Return each attempt in each case, as text."""
    probes = [probe(*case) for case in CASES]
    rows = [(one.what, *(" by ".join(filter(None, (each.attempts[n].verdict, each.attempts[n].by))) for each in probes))
            for n, one in enumerate(probes[0].attempts)]
    return table(rows, ("attempt", "one kernel, checks", "one kernel, no check", "a hostile kernel of its own"))


class _Attack:
    def __init__(self, world: World, checks: bool) -> None:
        self.world, self.checks = world, checks
        self.hostile, self.victim = world.containers[HOSTILE], world.containers[VICTIM]
        self.kernel, self.neighbour = world.kernels[0], world.kernels[-1]    # one and the same if it is shared
        self.at = self.neighbour.place(self.victim, BLOCK)
        self.secret, self.in_memory = (hashlib.sha256(f"{what} {world.params.seed}".encode()).digest()
                                       for what in ("disk", "memory"))
        self.attempts: list[Attempt] = []

    def run(self) -> Probe:
        """Let the victim put its canaries in place, then the attacker have its turn."""
        host, shared = self.world.host, self.kernel is self.neighbour
        host.run((self.neighbour.cpu, self._victim))
        if not shared:
            host.run((self.kernel.cpu, self.kernel.boot))
        host.run((self.kernel.cpu, self._attack))
        memory = self.neighbour.guest.memory.read(self.victim.buffer + 4096, 32)
        return Probe(self.world.isolation, self.checks, tuple(self.attempts), self._disk_canary, memory == self.in_memory)

    @property
    def _disk_canary(self) -> bool:
        return self.world.differences[VICTIM].read(BLOCK * self.kernel.sectors, self.kernel.sectors) == self._data

    @property
    def _data(self) -> bytes:
        return self.secret * (self.world.params.block // 32)

    def _victim(self, cpu: VCpu) -> Steps:
        yield from self.neighbour.boot(cpu)
        cpu.write(self.victim.buffer, self._data)
        yield from self.neighbour.disk.write(self.at, self.neighbour.sectors, self.victim.buffer)
        cpu.write(self.victim.buffer, bytes(self.world.params.block))
        cpu.write(self.victim.buffer + 4096, self.in_memory)

    def _attack(self, cpu: VCpu) -> Steps[None]:
        # Where the data is for the victim's kernel, and where it is on the host's disk.
        sectors = sorted({self.at, self.world.kernels[-1].machine.backends[0].first + self.at})
        yield from self._on_disk(cpu, "read the neighbour's data", "read", sectors)
        yield from self._on_disk(cpu, "write over it", "write", sectors)
        place = self.victim.buffer + 4096
        self._in_memory(cpu, "read its memory", [place, self.neighbour.guest.ram_spa(place)])
        self._in_memory(cpu, "search all of the guest's RAM", range(0, self.kernel.guest.ram, MIB), MIB)

    def _on_disk(self, cpu: VCpu, what: str, op: str, sectors: list[int]) -> Steps[None]:
        by, leaked = set(), False
        for lba in sectors:
            cpu.write(self.hostile.buffer, bytes(self.world.params.block))
            try:
                self._check(lba, self.kernel.sectors, *self._own_sectors)
                yield from getattr(self.kernel.disk, op)(lba, self.kernel.sectors, self.hostile.buffer)
                leaked |= self.secret in cpu.read(self.hostile.buffer, self.world.params.block)
            except Refused:
                by.add("kernel")
            except ScsiError:
                by.add("host")
        self._note(what, len(sectors), leaked, by, changed=not self._disk_canary)

    def _in_memory(self, cpu: VCpu, what: str, places: Sequence[int], length: int = 32) -> None:
        by, leaked = set(), False
        for gpa in places:
            violations = cpu.exits.by_device()["nobody"]       # no RAM there, not a first touch of some
            try:
                self._check(gpa, length, self.hostile.buffer, MIB)
                leaked |= self.in_memory in cpu.read(gpa, length)
            except Refused:
                by.add("kernel")
            if cpu.exits.by_device()["nobody"] > violations:
                by.add("second-level table")
        self._note(what, len(places), leaked, by)

    @property
    def _own_sectors(self) -> tuple[int, int]:
        """(first, number) of the sectors that are the attacker's own difference data."""
        return self.hostile.first, self.world.differences[HOSTILE].sectors

    def _check(self, at: int, length: int, first: int, size: int) -> None:
        """What a kernel has to ask before it does what a container wants."""
        if self.checks and not first <= at <= at + length <= first + size:
            raise Refused

    def _note(self, what: str, tries: int, leaked: bool, by: set[str], changed: bool = False) -> None:
        verdict = "leaked" if leaked else "changed" if changed else "refused" if by else "nothing"
        self.attempts.append(Attempt(what, tries, verdict, ", ".join(sorted(by)) if verdict == "refused" else ""))
