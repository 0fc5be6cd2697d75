"""What containers cost on one kernel or on many: counts, memory, and what crosses which boundary."""

from dataclasses import asdict, dataclass
from typing import Any

from vmio.experiments.containers.tables import pages_of_table
from vmio.experiments.containers.workload import ContainerParams
from vmio.machine.contracts import Json
from vmio.machine.memory import PAGE
from vmio.table import table


@dataclass(frozen=True)
class ContainerResult:
    """One container.  `exits`, `signals` and `interrupts` are its kernel's, parted by the requests that reached the ring.

    `base_blocks`: different blocks of the base layer it read; `cache_hits`: base reads
    that its kernel answered without the disk.  `virtual_ns`: until its last request was over.
    """

    name: str
    system_calls: int
    ring_requests: int
    cache_hits: int
    base_blocks: int
    exits: float
    signals: float
    interrupts: float
    virtual_ns: int
    difference_bytes: int
    bytes_read: int
    sha256: str


@dataclass(frozen=True)
class IsolationResult:
    """All containers, one way.  Counts without the guests' set-up, except `setup_exits`.  `exits` by reason.

    `memory`: guests' RAM in bytes (what was given, not what is in use), pages of the
    second-level tables, of the rings, of base blocks that kernels hold, and bytes in
    difference disks.  `base`: blocks of the base layer that containers read, how often
    they came from the disk, and copies in guests' memory.  `crossings`: what went over
    which boundary.
    """

    params: ContainerParams
    isolation: str
    containers: tuple[ContainerResult, ...]
    guests: int
    exits: dict
    signals: int
    interrupts: int
    virtual_ns: int
    setup_exits: int
    memory: dict
    base: dict
    crossings: dict

    @classmethod
    def of(cls, world: Any, rows: list[ContainerResult], counts: list[tuple[dict[str, int], int, int]]) -> "IsolationResult":
        """Sum up a `World` that has run; `counts` has (exits, signals, interrupts) of each kernel."""
        kernels, shared = world.kernels, world.isolation == "process"
        exits: dict[str, int] = {}
        for reasons, _, _ in counts:
            for reason, count in reasons.items():
                exits[reason] = exits.get(reason, 0) + count
        held = sum(len(kernel.cached) for kernel in kernels)
        calls = sum(row.system_calls for row in rows)
        memory = {
            "guest_ram_bytes": sum(kernel.guest.ram for kernel in kernels),
            "page_table_pages": sum(pages_of_table(world.host.memory, kernel.guest.slat.root, kernel.guest.slat.levels)
                                    for kernel in kernels),
            "ring_pages": sum(2 * (kernel.disk.ring_kib << 10) // PAGE for kernel in kernels),
            "base_cache_bytes": held * world.params.block,
            "difference_bytes": sum(row.difference_bytes for row in rows)}
        base = {"blocks": len(set().union(*(one.base_blocks for one in world.containers))),
                "blocks_by_container": sum(row.base_blocks for row in rows),
                "disk_reads": held, "cache_hits": sum(row.cache_hits for row in rows)}
        crossings = {
            "system calls, shared kernel": calls if shared else 0, "system calls, own kernel": 0 if shared else calls,
            "ring requests": sum(row.ring_requests for row in rows), "hypercalls": exits.get("VMCALL", 0)}
        return cls(world.params, world.isolation, tuple(rows), len(kernels), dict(sorted(exits.items())),
                   sum(count[1] for count in counts), sum(count[2] for count in counts),
                   max(row.virtual_ns for row in rows), sum(sum(kernel.setup.values()) for kernel in kernels),
                   memory, base, crossings)

    @property
    def exits_total(self) -> int:
        """All exits after set-up."""
        return sum(self.exits.values())

    def table(self) -> str:
        """Return one row a container."""
        rows = [(row.name, row.system_calls, row.ring_requests, row.cache_hits, row.exits, row.signals, row.interrupts,
                 row.virtual_ns / 1000, row.difference_bytes >> 10, row.sha256[:8]) for row in self.containers]
        return table(rows, ("container", "calls", "requests", "cache hits", "exits", "signals", "interrupts", "us",
                            "own KiB", "sha256"), title=f"{self.isolation}: {self.guests} guests")

    def to_dict(self) -> Json:
        """Return plain data for JSON."""
        return {**asdict(self), "exits_total": self.exits_total}


@dataclass(frozen=True)
class Comparison:
    """The same containers, both ways."""

    process: IsolationResult
    hyperv: IsolationResult

    @property
    def same_bytes(self) -> bool:
        """Has every container read the same bytes both ways?"""
        return [row.sha256 for row in self.process.containers] == [row.sha256 for row in self.hyperv.containers]

    def table(self) -> str:
        """Return both ways side by side."""
        both = self.process, self.hyperv
        rows = [("guests", *(one.guests for one in both))]
        rows += [(name, *(one.crossings[name] for one in both)) for name in self.process.crossings]
        rows += [("exits", *(one.exits_total for one in both)),
                 ("of these, first touches of RAM", *(one.exits.get("EPT_VIOLATION", 0) for one in both)), ("interrupts", *(one.interrupts for one in both)),
                 ("virtual time, us", *(round(one.virtual_ns / 1000) for one in both)),
                 ("exits of set-up", *(one.setup_exits for one in both)),
                 ("base blocks from the disk", *(one.base["disk_reads"] for one in both)),
                 ("base blocks from a kernel's memory", *(one.base["cache_hits"] for one in both))]
        rows += [(text, *(one.memory[name] >> shift for one in both)) for text, name, shift in (
            ("guest RAM, MiB", "guest_ram_bytes", 20), ("second-level table, pages", "page_table_pages", 0),
            ("rings, pages", "ring_pages", 0), ("base blocks in RAM, KiB", "base_cache_bytes", 10),
            ("difference disks, KiB", "difference_bytes", 10))]
        params = self.process.params
        title = (f"{params.containers} containers, {params.requests} requests of {params.block:,} bytes each; "
                 f"{'the same' if self.same_bytes else 'DIFFERENT'} bytes read both ways")
        return table(rows, ("", "one kernel", "a kernel each"), title=title)

    def to_dict(self) -> Json:
        """Return plain data for JSON."""
        return {"process": self.process.to_dict(), "hyperv": self.hyperv.to_dict(), "same_bytes": self.same_bytes}
