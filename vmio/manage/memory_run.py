"""Three guests that need more and less memory as time goes on, on a host that has not enough for all of them at once.

    web        the same all the time
    database   the same all the time, and more
    batch      next to nothing, but for a while a lot

Each says once a second how much it needs; half a second later the host balances.  All that is told was counted by the machine:
what its guests have, by their page tables; what they need, by their reports; what they miss, by their own count of pages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vmio.drivers.balloon import Balloon
from vmio.experiments.params import check, param
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.probes import watch
from vmio.manage.memory import MIB_PAGES, RESERVE_MIB, Balancer, Limits, Seen, decided
from vmio.modes import Machine
from vmio.modes.memory_split import SplitMemory
from vmio.table import table

SECOND = 1_000_000_000
GUESTS = WEB, DATABASE, BATCH = "web", "database", "batch"
SECONDS, FROM, UNTIL = 24, 6, 16        # of the run; when batch's work begins and ends
QUIET = 4                               # MiB that batch needs otherwise
STARTUP, MAXIMUM = 192, 448             # MiB of each guest
OTHERS_MIB = 4                          # page tables of three guests, and the hypervisor's pages


@dataclass(frozen=True)
class MemoryParams:
    """How much there is, who needs how much, and what the administrator has said."""

    host: int = param(576, "memory of the host for its guests", unit="MiB", low=576, high=1152, multiple=32)
    web: int = param(40, "what the programs of web need", unit="MiB", low=0, high=256)
    database: int = param(80, "what the programs of database need", unit="MiB", low=0, high=256)
    peak: int = param(240, "what batch needs while it works", unit="MiB", low=0, high=320)
    buffer: int = param(20, "what each guest gets beyond its demand", unit="%", low=0, high=100)
    weight: int = param(50, "batch's weight; the others' is 50", low=10, high=100)
    minimum: int = param(128, "what web and database always keep", unit="MiB", low=96, high=192, multiple=2)
    balanced: bool = param(True, "let the host balance")


@dataclass
class MemoryResult:
    """What was counted at the end of each second, in MiB, {guest: [..]}: what it `has`, `needs`, and what its programs `miss`."""

    params: MemoryParams
    has: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in GUESTS})
    needs: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in GUESTS})
    misses: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in GUESTS})
    pressure: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in GUESTS})
    free: list[float] = field(default_factory=list)
    messages: dict[str, int] = field(default_factory=dict)
    looks: list[tuple[int, Seen]] = field(default_factory=list)     # what the balancer saw each time: pages to be shared, and who wants what

    def missed(self, name: str) -> float:
        """Return what the programs of a guest missed, summed up over the seconds, in MiB s."""
        return sum(self.misses[name])

    def heeds(self, guests: tuple[str, ...], values: Sequence[dict[str, int]]) -> bool:
        """Return whether the balancer would ever have shared otherwise had these guests had other limits: one of `values`.

        If not, a run with those limits is this one, step by step.
        """
        return any(decided(total, {name: (demand, replace(limits, **value) if name in guests else limits) for name, (demand, limits) in seen.items()})
                   != decided(total, seen) for total, seen in self.looks for value in values)

    def table(self, seconds: tuple[int, ...] = (FROM - 1, FROM + 1, UNTIL - 1, SECONDS - 1)) -> str:
        """Return what each guest has, needs and misses at some seconds, as text."""
        rows = [(second, name, self.has[name][second], self.needs[name][second], self.pressure[name][second], self.misses[name][second])
                for second in seconds for name in GUESTS]
        return table(rows, ("second", "guest", "has MiB", "needs MiB", "pressure %", "programs miss MiB"), "><>>>>")


def promised(params: MemoryParams, name: str, second: int) -> int:
    """Return how many MiB the programs of a guest want in a second."""
    if name == BATCH:
        return params.peak if FROM <= second < UNTIL else QUIET
    return params.web if name == WEB else params.database


def run_memory(params: MemoryParams) -> MemoryResult:
    """Run it; returns the result.  ValueError for a parameter that is not allowed."""
    check(params)
    machine = Machine(memory_mib=params.host + OTHERS_MIB + RESERVE_MIB)
    memories = {name: SplitMemory(report_delay=0) for name in GUESTS}
    guests = {name: machine.guest(name, memories[name], ram_mib=STARTUP) for name in GUESTS}
    machine.power_on()
    balancer = Balancer(machine.host)
    for name in GUESTS:
        minimum = params.minimum if name != BATCH else 96
        balancer.add(name, memories[name].memory, Limits(STARTUP, minimum, MAXIMUM, params.buffer, params.weight if name == BATCH else 50))
    result = MemoryResult(params)
    watch(balancer, "looked", lambda total, seen: result.looks.append((total, seen)))
    drivers: dict[str, Balloon] = {}

    def program(name: str) -> Callable[[VCpu, Balloon], Steps[None]]:
        def work(cpu: VCpu, balloon: Balloon) -> Steps[None]:
            drivers[name] = balloon
            for second in range(SECONDS):
                balloon.heap.promise(promised(params, name, second) * MIB_PAGES)
                yield from balloon.serve((second + 1) * SECOND)
        return work
    for second in range(SECONDS):
        machine.host.at(second * SECOND + SECOND // 2, lambda _: balancer.step() if params.balanced else None)
        machine.host.at(second * SECOND + SECOND * 9 // 10, lambda _: _look(result, balancer, drivers))
    try:
        machine.run(*((guest, program(name)) for name, guest in guests.items()))
        result.messages = _messages(memories)
        return result
    finally:
        machine.host.memory.release()


def _look(result: MemoryResult, balancer: Balancer, drivers: dict[str, Balloon]) -> None:
    for name, member in balancer.members.items():
        result.has[name].append(member.memory.assigned / MIB_PAGES)
        result.needs[name].append(round(member.demand / MIB_PAGES, 1))
        result.misses[name].append(drivers[name].heap.missing / MIB_PAGES)
        result.pressure[name].append(member.pressure)
    result.free.append(balancer.free / MIB_PAGES)


def _messages(memories: dict[str, SplitMemory]) -> dict[str, int]:
    """What the host has heard from all of them, by kind."""
    heard: dict[str, int] = {}
    for each in memories.values():
        for kind, number in each.memory.heard.items():
            heard[kind] = heard.get(kind, 0) + number
    return heard
