"""A parallel scan of a real file system image whose resources may change while it runs.

    result = scan.run(ScanParams(workers=8))
    result.found                    {b"license": 1794, ...}: the same however it was run
    result.virtual_ns, result.exits_per_mb, result.device_busy

The image is an ext4 file system with Debian's licences in it; how often each word is there in all is known.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

from simpy.events import Event

from vmio import data
from vmio.drivers.page_cache import PageCache
from vmio.experiments.scan_job import START_NS, Job
from vmio.experiments.scan_memory import Grower, Spare
from vmio.experiments.scan_params import MAX_DEPTH, WORDS, ScanParams
from vmio.experiments.scan_worker import Team, Worker
from vmio.host.physical import Slice
from vmio.host.policies import make
from vmio.machine.media.medium import Medium
from vmio.machine.overlay import Overlay
from vmio.machine.probes import watch
from vmio.machine.storage import Image
from vmio.modes import Machine, attachment
from vmio.modes.disk_assigned import AssignedDisk
from vmio.modes.machine import MIB, GuestMachine
from vmio.modes.memory_split import SplitMemory

IMAGE = "licenses-ext4.img.gz"
LATER_MIB = 8           # of a guest, for the driver of a function that comes later
__all__ = ["WORDS", "ScanParams", "ScanResult", "image", "run"]


@dataclass(frozen=True)
class ScanResult:
    """What a scan counted, from the moment at which all workers begin to the joined lists; times in ns.

    `found` are the matches, `spans` (worker, from, until) of each search, `latencies` (when, how long) of each read; `changes` are
    (ns, what the host did or a guest has seen); `hits` are the times at which a piece was found in memory, `memory` is of each guest
    (from when on, MiB that it had for what it reads); `served` has (guest, from, until) of each read that the host's block layer served.  `device_busy` is the part of the time in which bytes passed the device.
    """

    params: ScanParams
    found: dict[bytes, int]
    virtual_ns: int
    exits: int
    guest_ns: int               # of the vCPUs
    host_cpu_ns: int            # of the host's own code: exits, workers of its channels
    device_ns: int              # in which the device's bytes passed
    copies: int                 # pieces that were begun twice
    again: int                  # reads of what had been read before
    added: int                  # pages that the guests were given meanwhile
    given: int                  # pages that the guests gave to the host
    hits: list[int] = field(repr=False)
    memory: list[list[tuple[int, int]]] = field(repr=False)
    spans: list[tuple[int, int, int]] = field(repr=False)
    latencies: list[tuple[int, int]] = field(repr=False)
    changes: list[tuple[int, str]]
    served: list[tuple[int, int, int]] = field(repr=False)

    @property
    def exits_per_mb(self) -> float:
        """Exits for each MB (10^6 bytes) that was searched."""
        return self.exits * 1e6 / self.params.bytes

    @property
    def mb_per_s(self) -> float:
        """MB that were searched in a second of virtual time."""
        return self.params.bytes * 1e3 / self.virtual_ns

    @property
    def device_busy(self) -> float:
        """Percent of the time in which bytes passed the device."""
        return 100 * self.device_ns / self.virtual_ns

    def of_the_disk(self) -> list[tuple[float, float]]:
        """Return (percent of the disk's reads, us that one took on average) of each guest, by the host's account, while all guests read.

        ValueError where the host's block layer serves no guests: with assigned disks.
        """
        if not self.served:
            raise ValueError(f"mode {self.params.mode}: the host's block layer serves no guest of it")
        guests = range(1 + max(guest for guest, _, _ in self.served))
        over = min(max(until for guest, _, until in self.served if guest == one) for one in guests)
        spans = [span for span in self.served if span[2] <= over]
        took = [[until - since for guest, since, until in spans if guest == one] for one in guests]
        return [(100 * len(each) / len(spans), sum(each) / len(each) / 1000) for each in took]

    def per_slice(self, slice_ns: int) -> list[int]:
        """Return how many pieces were ended in each slice of time."""
        ends = [until // slice_ns for _, _, until in self.spans]
        return [ends.count(n) for n in range(max(ends) + 1)]


@lru_cache(maxsize=1)
def image() -> Medium:
    """Return the image: 32 MiB, an ext4 file system with licences."""
    return Image.open(data.path(IMAGE))


def run(params: ScanParams = ScanParams(), control: Callable[[Machine, Team], None] | None = None) -> ScanResult:
    """Return what a scan by these parameters counts; `control(machine, team)` is called before it begins, for who governs it from the host.

    ValueError for parameters that can't be.
    """
    params.check()
    machine = Machine(params.costs, params.cores, spare_mib=0 if params.memory is None else params.spare)
    team = Team(Job(params), params.depth)
    deepest = MAX_DEPTH if control is not None else max([params.depth, *(value for _, what, value in params.changes if what == "depth")])
    most = 1 + min(deepest * params.greedy, MAX_DEPTH)
    lanes = params.workers if params.kind == "vcpus" else 1        # vCPUs of a guest
    guests = [_guest(machine, params, lanes, lanes * most * params.buffer) for _ in range(params.workers // lanes)]
    machine.power_on()
    served: list[tuple[int, int, int]] = []
    for number, guest in enumerate(guests):
        _watch(guest, number, served, params)
    workers = []
    for number in range(params.workers):
        guest = guests[number // lanes]
        first = max(each.driver_memory for each in guest.attachments) + number % lanes * most * params.buffer
        workers.append(Worker(team, number, guest, first))
    growers = _growers(machine, team, guests)
    _plan(machine, team, guests, growers)
    busy: list[int] = []
    machine.host.at(START_NS, lambda _: busy.append(machine.host.busy_ns))
    if control is not None:
        control(machine, team)
    machine.run(*[(guest, [each.program for each in workers if each.machine is guest]) for guest in guests])
    assert team.finished_ns is not None
    return ScanResult(
        params, team.job.found, team.finished_ns - START_NS,
        exits=sum(sum(each.mark.by(lambda row: 0).values()) for each in workers),
        guest_ns=sum(each.cpu.compute_ns - each.mark.compute_ns for each in workers),
        host_cpu_ns=machine.host.busy_ns - busy[0] + sum(each.mark.exit_ns for each in workers),
        device_ns=team.job.bytes_read * 10**9 // machine.host.costs.disk_read_rate,
        copies=team.job.copies, again=team.job.again,
        added=sum(each.added for each in growers), given=sum(each.given for each in growers),
        hits=[when - START_NS for when in team.job.hits],
        memory=[[(when - START_NS, mib) for when, mib in each.history] for each in growers],
        spans=[(n, since - START_NS, until - START_NS) for n, since, until in team.job.spans],
        latencies=[(when - START_NS, ns) for when, ns in team.job.latencies],
        changes=sorted(((when - START_NS, what) for when, what in team.log), key=lambda change: change[0]),
        served=[(n, since - START_NS, until - START_NS) for n, since, until in served if since >= START_NS])


def _guest(machine: Machine, params: ScanParams, lanes: int, buffers: int) -> GuestMachine:
    """Plan a guest with so many vCPUs and bytes of buffers; the image is under a difference disk of its own.

    What it may keep of what it reads is behind all that, and its host may change how much that is.
    """
    disk = (attachment("disk", "split", channels=params.channels or lanes, roomy=lanes > 1 and params.memory is None) if params.mode == "split"
            else attachment("disk", "passthrough"))
    later = LATER_MIB if any(what == "passthrough" for _, what, _ in params.changes) else 0
    drivers = disk.driver_memory if params.memory is None else max(disk.driver_memory, SplitMemory.driver_memory)
    mib = (drivers + buffers) // MIB + 1
    guest = machine.guest(None, disk, Overlay(image()), mib + later + (params.memory or 0), lanes, later_mib=later)
    return guest if params.memory is None else guest.attach(SplitMemory(heap_at=mib * MIB, heap=PageCache))


def _growers(machine: Machine, team: Team, guests: list[GuestMachine]) -> list[Grower]:
    """Who changes the guests' memory, one for each, on a host that has `spare` MiB for that."""
    params = team.job.params
    memories = [each.memory for guest in guests for each in guest.attachments if isinstance(each, SplitMemory)]
    spare = Spare(params.spare, memories)
    return [Grower(memory, params.memory or 0, spare, lambda words: team.log.append((machine.host.env.now, words))) for memory in memories]


def _watch(guest: GuestMachine, number: int, served: list[tuple[int, int, int]], params: ScanParams) -> None:
    """Note each request of a guest that the host's disk serves, and have the disk shared by the policy that is wanted."""
    part = guest.backends[0]
    if isinstance(part, Slice):
        if number == 0:
            part.layer.set_scheduler(make(params.policy))       # of all guests: it is one disk
        watch(part, "served", lambda span: served.append((number, *span)))


def _plan(machine: Machine, team: Team, guests: list[GuestMachine], growers: list[Grower]) -> None:
    """Let the changes happen at their times."""
    for when, what, value in team.job.params.changes:
        machine.host.at(START_NS + when * 1000, partial(_change, machine, team, guests, growers, what, value))


def _change(machine: Machine, team: Team, guests: list[GuestMachine], growers: list[Grower], what: str, value: int, _: Event) -> None:
    """Change a resource now; what a guest must do about it, it does when it looks next."""
    if team.over:
        return
    team.log.append((machine.host.env.now, f"{what}: {value}" if what != "passthrough" else "functions are given"))
    if what == "cores":
        machine.set_cores(value)
    elif what == "depth":
        team.depth = value
    elif what == "channels":
        team.channels = value
    elif what == "cap":
        machine.share(guests[0], cap=value * 10**6)
    elif what == "memory":
        for each in growers:
            each.want(value)
    else:       # the functions of another disk, which has the same image
        for guest, function in zip(guests, AssignedDisk.backends(machine.host, [Overlay(image()) for _ in guests])):
            machine.add(guest, attachment("disk", "passthrough"), backend=function)
