"""What eight guests of a cloud are told: which recorded requests each sends, when they come, and what the host promises each.

The traces are real, but their times are those of a slow recording, so only the order of their requests is used: they come
when a random process with a fixed seed says so, on and on, from the first request again after the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any

from vmio.experiments import params, trace
from vmio.experiments.compare import recorded
from vmio.experiments.params import param
from vmio.experiments.sharing_params import SHARE_FIELDS
from vmio.experiments.traces.request import Requests
from vmio.host.policies import POLICIES
from vmio.host.scheduler import LIMITS, SECOND, Share
from vmio.hypervisor.costs import CostModel
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR

MS = 1_000_000
MIB = 1 << 20
DISK_MIB = 32
VICTIM, BULLY = "victim", "bully"


def _share(name: str, default: Any, help: str, **about: Any) -> Any:
    low, high = LIMITS[name]
    return param(default, help, low=low, high=high, **about)


@dataclass(frozen=True)
class CloudGuest:
    """One guest: its requests (a name of data/traces, or a list), the process by which they come, and its share (`Share`).

    While it is on, requests come at random at `per_second` (Poisson: the gaps are exponentially distributed); it is on for
    `on_ns` of each `period_ns`, and with both equal all the time.
    """

    name: str
    trace: str | Requests = "read_all_files"
    per_second: int = param(500, "requests a second while it is on", low=1, high=1_000_000)
    on_ns: int = param(100 * MS, "how long of each period it is on", unit="ns", low=1, high=100 * SECOND)
    period_ns: int = param(100 * MS, "from one time on to the next", unit="ns", low=1, high=100 * SECOND)
    depth: int = param(32, "requests in flight, at most", low=1, high=64)
    longest: int = param(MIB, "a longer request is cut to it", unit="bytes", low=PAGE, high=MIB, multiple=PAGE, scale="log2")
    weight: int = _share("weight", 100, "its part of what reservations leave")
    reservation: int = _share("reservation", 0, "what it has first", unit="bytes/s")
    cap: int | None = _share("cap", None, "what it never exceeds", unit="bytes/s", optional=True)
    iops: int | None = _share("iops", None, "what it never exceeds", unit="requests/s", optional=True)
    burst_ns: int = _share("burst_ns", MS, "idle time whose tokens it may keep", unit="ns")

    @property
    def share(self) -> Share:
        """What it is to get."""
        return Share(**{name: getattr(self, name) for name in SHARE_FIELDS})

    def requests(self) -> Requests:
        """Return its requests, in recorded order; ValueError for a trace that is no reads, writes and flushes of this disk."""
        known = recorded(self.trace) if isinstance(self.trace, str) else self.trace
        trace.check_fits(known, DISK_MIB << 11, f"guest {self.name}")
        if not known or any(each.op not in "RWF" for each in known):
            raise ValueError(f"guest {self.name}: its trace needs a request, and reads, writes and flushes only")
        most = self.longest // SECTOR
        return [each if each.sectors <= most else each._replace(sectors=most) for each in known]

    def arrivals(self, duration_ns: int, seed: int) -> Iterator[int]:
        """Yield when its requests come, in ns from the beginning, before `duration_ns`; equal seeds give equal times."""
        random, busy = Random(f"{seed} {self.name}"), 0.0       # busy: ns that it has been on
        while True:
            busy += random.expovariate(self.per_second) * SECOND
            periods, rest = divmod(int(busy), self.on_ns)
            at = periods * self.period_ns + rest
            if at >= duration_ns:
                return
            yield at


def neighbours() -> tuple[CloudGuest, ...]:
    """Return the eight: a database that commits small writes, six that do this and that, and one that streams 1 MiB at a time, in bursts."""
    some = ("read_all_files", "random_read_4k", "untar")
    return (CloudGuest(VICTIM, "sqlite_commits", 1000),
            *(CloudGuest(f"guest{n}", some[n % len(some)], 200) for n in range(1, 7)),
            CloudGuest(BULLY, "stream_1m", 10_000, 3 * MS, 100 * MS))


@dataclass(frozen=True)
class CloudParams:
    """`guests` on one disk for `duration_ns`, under a `policy` of the host; then all that has come is carried out.

    Nothing goes to the disk while `window` bytes are there; None: as few as keep it busy, and under a policy without an order of
    its own as many as there are.

    At `moved_ns` the guest called `moved` gets a virtual function of the disk, while it runs.  The disk serves its
    functions as their commands come, unless it is `arbitrated`: then they take turns by their weights (`function_weights`: of the
    physical function, which the host drives, and of the virtual one).  Requests that come at `moved_ns` or later are measured.
    """

    guests: tuple[CloudGuest, ...] = field(default_factory=neighbours)
    policy: str = param("fifo", "who is next at the disk", choices=tuple(POLICIES))
    window: int | None = param(None, "so many bytes at the disk at a time", unit="bytes", low=4096, high=1 << 40, optional=True)
    duration_ns: int = param(1000 * MS, "how long requests come", unit="ns", low=MS, high=100 * SECOND)
    moved: str | None = None
    moved_ns: int = param(0, "when it gets the function, and measuring begins", unit="ns", low=0)
    arbitrated: bool = param(False, "the functions of the disk take turns")
    function_weights: tuple[int, int] = (1, 1)
    objective_ns: int = param(MS, "the victim's 99th percentile is to be no longer", unit="ns", low=1)
    window_ns: int = param(100 * MS, "the time in which it is looked at", unit="ns", low=1)
    seed: int = param(1, "of the arrivals", low=0)
    cores: int = param(8, "of the host", low=1, high=256)
    costs: str | CostModel = "server-2022"

    def check(self) -> "CloudParams":
        """Return itself; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        names = params.check_named(self.guests, 16)
        for guest in self.guests:
            if guest.on_ns > guest.period_ns:
                raise ValueError(f"guest {guest.name}, on_ns {guest.on_ns:,}: 1 to the period, {guest.period_ns:,}")
            guest.share  # noqa: B018  the property checks itself
        if self.moved is not None and self.moved not in names:
            raise ValueError(f"moved {self.moved!r}: choose one of {', '.join(names)}")
        if self.moved_ns >= self.duration_ns:
            raise ValueError(f"moved_ns {self.moved_ns:,}: before the end, {self.duration_ns:,}")
        return self

    def guest(self, name: str) -> CloudGuest:
        """Return the guest of that name; StopIteration if there is none."""
        return next(each for each in self.guests if each.name == name)

    def with_guest(self, name: str, **changes: Any) -> "CloudParams":
        """Return the same with other fields of one guest."""
        known = {each.name for each in fields(CloudGuest)}
        if set(changes) - known or name not in {guest.name for guest in self.guests}:
            raise ValueError(f"guest {name!r} {', '.join(changes)}: no such guest, or no such field")
        return replace(self, guests=tuple(replace(guest, **changes) if guest.name == name else guest for guest in self.guests))
