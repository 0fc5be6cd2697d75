"""What each guest of the cloud got of the disk, how long it waited, and whether the victim's objective was kept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from vmio.experiments.cloud_load import Load
from vmio.experiments.cloud_params import VICTIM, CloudGuest, CloudParams
from vmio.experiments.sharing_result import jain
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR
from vmio.table import table

HEAD = ("guest", "requests", "p50 us", "p99 us", "p99.9 us", "IOPS", "MB/s", "exits a request")
PERMILLE = (500, 990, 999)


@dataclass(frozen=True)
class GuestResult:
    """One guest: its requests' latencies in ns by when they came, the `bytes` of them, and a digest of all bytes it read and wrote."""

    guest: CloudGuest
    came_ns: Sequence[int]
    latencies: Sequence[int]
    bytes: int
    exits: int
    counted: int                  # requests in which the exits were counted
    by_function: int                # requests that went by a virtual function
    switched_ns: int | None       # when the guest went over to it, since it began
    sha256: str

    @classmethod
    def of(cls, guest: CloudGuest, load: Load, medium: Overlay) -> "GuestResult":
        """Sum up what is measured of a `Load`; the digest is of all of it, and of what the disk then holds."""
        plan, rows = load.plan, range(load.plan.first, len(load.plan.at))
        held = hashlib.sha256(load.sha256.encode())
        for lba, data in sorted(medium.own.items()):        # the base is everybody's, and stays as it was
            held.update(lba.to_bytes(8, "little") + data)
        return cls(guest, [plan.at[row] for row in rows], [load.latencies[row] for row in rows],
                   sum(plan.requests[row].sectors for row in rows) * SECTOR, load.exits, load.counted, load.by_function,
                   load.switched_ns, held.hexdigest())

    def at(self, permille: int) -> int:
        """Return the latency in ns that so many thousandths of the requests don't exceed (nearest rank); 0 without requests."""
        return rank(sorted(self.latencies), permille)

    @property
    def exits_a_request(self) -> float:
        """0.0 without requests."""
        return self.exits / max(self.counted, 1)


def rank(ordered: Sequence[int], permille: int) -> int:
    """Return the value that so many thousandths of the `ordered` ones don't exceed, by nearest rank; 0 if there are none."""
    return ordered[-(-permille * len(ordered) // 1000) - 1] if ordered else 0


@dataclass(frozen=True)
class CloudResult:
    """All guests, over the `ns` from when measuring began until the last request was over; the disk was `busy_ns` of them."""

    params: CloudParams
    guests: list[GuestResult]
    ns: int
    busy_ns: int

    def __getitem__(self, name: str) -> GuestResult:
        """The guest of that name."""
        return next(one for one in self.guests if one.guest.name == name)

    @property
    def rate(self) -> float:
        """Bytes a second of all guests."""
        return sum(one.bytes for one in self.guests) * 1e9 / self.ns

    @property
    def busy(self) -> float:
        """How much of the time the disk had something in hand, in %."""
        return 100 * self.busy_ns / self.ns

    @property
    def jain(self) -> float:
        """Jain's index of what each guest got of what it asked for, by its weight."""
        return jain([one.bytes / one.guest.weight for one in self.guests])

    def kept(self, name: str = VICTIM) -> float:
        """Return in how many of the windows, in %, the guest's 99th percentile was within the objective; those without requests are none."""
        params, one = self.params, self[name]
        windows: dict[int, list[int]] = {}
        for at, latency in zip(one.came_ns, one.latencies):
            windows.setdefault((at - params.moved_ns) // params.window_ns, []).append(latency)
        good = sum(rank(sorted(each), 990) <= params.objective_ns for each in windows.values())
        return 100 * good / len(windows) if windows else 100.0

    def rows(self) -> list[tuple]:
        """Return a row under `HEAD` for each guest."""
        seconds = self.ns / 1e9
        return [(one.guest.name, len(one.latencies), *(one.at(each) / 1000 for each in PERMILLE), len(one.latencies) / seconds,
                 one.bytes / 1e6 / seconds, one.exits_a_request) for one in self.guests]

    def table(self) -> str:
        """Return one line a guest, as fixed-width text."""
        return table(self.rows(), HEAD, title=f"{self.params.policy}: {self.rate / 1e6:,.0f} MB/s in all, disk busy {self.busy:.0f} %")


class Busy:
    """When the disk had something in hand: spans that `begun` is told of, joined."""

    def __init__(self) -> None:
        self.spans: list[list[int]] = []

    def begun(self, op: str, since: int, until: int) -> None:
        """Take a request's span in ns; they come in order of their beginnings."""
        if self.spans and since <= self.spans[-1][1]:
            self.spans[-1][1] = max(self.spans[-1][1], until)
        else:
            self.spans.append([since, until])

    def within(self, since: int, until: int) -> int:
        """Return how many ns of a time they cover."""
        return sum(max(0, min(last, until) - max(first, since)) for first, last in self.spans)
