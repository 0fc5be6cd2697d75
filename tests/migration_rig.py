"""A guest that moves, and the same guest undisturbed."""

from typing import Any, NamedTuple

from vmio.manage.migration import guests
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link
from vmio.manage.migration.migration import Migration
from vmio.manage.migration.report import COMPLETED, Report
from vmio.manage.migration.rules import rule
from vmio.manage.migration.state import disk_digests, memory_digest

MS, MB = 1_000_000, 1_000_000


class Ended(NamedTuple):
    """How a run ended: its results, when its guest did, and the SHA-256 of memory and disks."""

    results: Any
    now: int
    memory: str
    disks: list


def writer(pages=64, rate=20_000, writes=2000, ram=2):
    """What makes a machine of a guest that writes into pages in a circle."""
    return lambda: guests.machine(guests.writer(guests.FIRST, pages, rate, writes), ram)


def disk(mode="split", requests=200, gap_ns=100_000, **options):
    """What makes a machine of a guest that uses its disk."""
    return lambda: guests.disk_machine(mode, requests, gap_ns, **options)


def ended(machine, run):
    """Let it run to its end."""
    return Ended(run.to_the_end(), machine.guests[0].cpu.now, memory_digest(machine), disk_digests(machine))


def undisturbed(make):
    """How the run ends that nobody moves."""
    machine, pairs = make()
    return ended(machine, machine.start(*pairs))


def started(make, after_ns=0):
    """(machine, run) that is so far."""
    machine, pairs = make()
    run = machine.start(*pairs)
    while machine.host.env.now < after_ns and run.step(after_ns - machine.host.env.now):
        pass
    return machine, run


def moved(make, link=None, by=None, after_ns=0, to=None, **options) -> tuple[Report, Ended | None]:
    """(the report of a migration, how the guest ended where it is afterwards: None if it was lost)."""
    machine, run = started(make, after_ns)
    other, pairs = (to or make)()
    link = link or Link(32 * MB)
    migration = Migration(machine, run, Destination(other, *pairs), link, by or rule("qemu", 5), **options)
    report = migration.go()
    if report.status == "lost":
        return report, None
    return report, ended(other if report.status == COMPLETED else machine, migration.run)
