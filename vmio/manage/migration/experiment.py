"""A migration from beginning to end: the guest runs, moves, and runs to its end; beside it the same guest, undisturbed."""

from dataclasses import asdict, dataclass
from typing import Any

from vmio.manage.migration import guests
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link
from vmio.manage.migration.migration import Migration
from vmio.manage.migration.params import DEVICES, MigrateParams
from vmio.manage.migration.report import COMPLETED, LOST, Report
from vmio.manage.migration.state import disk_digests, memory_digest
from vmio.table import table

SCHEMA = "vmio.migrate/1"
MS, MB = 1_000_000, 1_000_000
GAP_NS = 200_000              # of a disk's guest, between two requests


@dataclass(frozen=True)
class End:
    """How a guest's run ended: what its program says, and the SHA-256 of its memory and of each of its disks."""

    result: Any
    memory: str
    disks: list[str]


@dataclass(frozen=True)
class Outcome:
    """A migration's report, the end of the guest that moved (or stayed), and that of one that nobody disturbed."""

    params: MigrateParams
    report: Report
    end: End | None          # None for a guest that was lost
    undisturbed: End

    @property
    def same_end(self) -> bool:
        """Whether its result and its disks are those of the undisturbed run, and the memory, too, where time was not changed."""
        if self.end is None:
            return False
        in_time = not self.params.throttle and not self.report.postcopy_pages
        return ((self.end.result, self.end.disks) == (self.undisturbed.result, self.undisturbed.disks)
                and (not in_time or self.end.memory == self.undisturbed.memory))

    @property
    def holds(self) -> bool:
        """Whether the guest was moved, and nothing was lost."""
        return self.report.status == COMPLETED and bool(self.report.equal) and self.same_end

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, with a schema."""
        report = self.report
        memory, disks = report.memory or (None, None), report.disks or (None, None)
        return {
            "schema": SCHEMA, "params": asdict(self.params), "status": report.status, "reason": report.reason,
            "rounds": len(report.rounds), "downtime_ns": report.downtime_ns, "total_ns": report.total_ns,
            "bytes": {"link": report.bytes, "pages": report.page_bytes, "state": report.state_bytes, "model": report.model_bytes},
            "pages": {"zero": report.zero_pages, "while_stopped": report.last_pages, "postcopy": report.postcopy_pages},
            "faults": {"vcpus": report.faults, "vcpus_ns": report.fault_ns, "host": report.host_faults},
            "each_round": [asdict(each) for each in report.rounds],
            "equal": {"memory": {"before": memory[0], "after": memory[1]}, "disks": {"before": disks[0], "after": disks[1]},
                      "same": report.equal, "end": {"undisturbed": asdict(self.undisturbed), "moved": self.end and asdict(self.end),
                                                    "same": self.same_end}}}

    def table(self) -> str:
        """Return the same as text."""
        report = self.report
        rows = [(each.number, (each.ended_ns - each.began_ns) / MS, each.pages, each.zeros, each.bytes, each.dirty, each.throttle)
                for each in report.rounds]
        lines = [table(rows, ("round", "ms", "pages", "of them zeros", "bytes", "dirty at its end", "throttled %"))] if rows else []
        lines.append(f"{report.status}: {report.reason}")
        if report.downtime_ns is not None:
            lines.append(f"stood still for {report.downtime_ns / MS:,.3f} ms of {report.total_ns / MS:,.3f} ms; {report.last_pages:,} pages "
                         f"{'came later' if report.postcopy_pages else 'went meanwhile'}, {report.state_bytes:,} bytes of state")
        if report.postcopy_pages:
            lines.append(f"post-copy: {report.postcopy_pages:,} pages, {report.faults:,} faults of vCPUs ({report.fault_ns / MS:,.3f} ms), "
                         f"{report.host_faults:,} of the host")
        if report.equal is not None:
            lines.append(f"memory and disks at the destination are {'' if report.equal else 'NOT '}those of the source")
        lines.append(f"the guest's end is {'' if self.same_end else 'NOT '}that of an undisturbed run")
        return "\n".join(lines)


def run(params: MigrateParams) -> Outcome:
    """Move a guest; ValueError for what is not allowed, and for a guest that can't be moved."""
    params.check()
    machine, pairs = _machine(params)
    undisturbed = _end(machine, machine.start(*pairs))
    machine, pairs = _machine(params)
    going = machine.start(*pairs)
    while machine.host.env.now < params.after_ms * MS and going.step(params.after_ms * MS - machine.host.env.now):
        pass
    other, there = _machine(params)
    link = Link(params.bandwidth * MB, params.latency_us * 1000, params.cut_after)
    moved = Migration(machine, going, Destination(other, *there), link, params.stop_rule, params.held_back, params.postcopy_after,
                      () if params.without == "nothing" else (params.without,), params.patience)
    report = moved.go()
    if report.status == "refused":
        raise ValueError(report.reason)
    end = None if report.status == LOST else _end(other if report.status == COMPLETED else machine, moved.run)
    return Outcome(params, report, end, undisturbed)


def _machine(params: MigrateParams) -> tuple[Any, list[tuple]]:
    device = DEVICES[params.disk]
    if device is None:
        return guests.machine(guests.writer(guests.FIRST, params.pages, params.rate, params.rate * params.seconds), params.ram)
    mode, options = device
    return guests.disk_machine(mode, params.requests, GAP_NS, **options)


def _end(machine: Any, going: Any) -> End:
    result, = going.to_the_end()
    return End(result, memory_digest(machine), disk_digests(machine))
