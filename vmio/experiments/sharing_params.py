"""What many guests on one disk are told: each one's share and what it asks for, and what changes while they run."""

from dataclasses import dataclass, fields
from typing import Any

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.host.scheduler import LIMITS, Share
from vmio.machine.storage import SECTOR

SHARE_FIELDS = tuple(field.name for field in fields(Share))


def _share(name: str, default: Any, help: str, **about: Any) -> Any:
    """A field of a guest's share, with the limits of `Share`."""
    low, high = LIMITS[name]
    return param(default, help, low=low, high=high, **about)


@dataclass(frozen=True)
class SharedGuest:
    """One guest: its share (see `Share`), and what it asks for.

    Requests of `request_bytes`, "read" or "write", `queue_depth` at a time; after
    each answer it thinks for `think_ns`.  It comes at `start_ns` and goes at
    `stop_ns`, or stays.
    """

    name: str
    weight: int = _share("weight", 100, "its part of what reservations leave, against the others'")
    reservation: int = _share("reservation", 0, "what it has first", unit="bytes/s")
    cap: int | None = _share("cap", None, "what it never exceeds", unit="bytes/s", optional=True)
    iops: int | None = _share("iops", None, "what it never exceeds", unit="requests/s", optional=True)
    burst_ns: int = _share("burst_ns", 1_000_000, "idle time whose tokens it may keep", unit="ns")
    request_bytes: int = param(64 << 10, "size of a request", unit="bytes", low=SECTOR, high=512 << 10, multiple=SECTOR, scale="log2")
    queue_depth: int = param(16, "requests that it keeps in flight", low=1, high=1024, scale="log2")
    op: str = param("read", "what it asks for", choices=("read", "write"))
    think_ns: int = param(0, "how long it thinks after an answer", unit="ns", low=0, high=10**10)
    start_ns: int = param(0, "when it comes", unit="ns", low=0)
    stop_ns: int | None = param(None, "when it goes", unit="ns", low=0, optional=True)

    @property
    def share(self) -> Share:
        """What it is to get."""
        return Share(**{name: getattr(self, name) for name in SHARE_FIELDS})


@dataclass(frozen=True)
class SharingParams:
    """`guests`, for `duration_ns`; results in `buckets` of equal time.  At most `device_depth` requests at the device.

    `changes` are (ns, guest's name, {field of its share: value}), or with None for a
    name {"depth": n} or {"policy": name}: made while everything runs.
    """

    guests: tuple[SharedGuest, ...]
    duration_ns: int = param(20_000_000, "how long all run", unit="ns", low=1000, high=10**11)
    buckets: int = param(40, "equal times of which there are results", low=1, high=10_000)
    device_depth: int = param(16, "requests at the device at a time", low=1, high=255)
    changes: tuple[tuple[int, str | None, dict[str, Any]], ...] = ()
    costs: str = param("server-2022", "cost preset")
    device: str = param("timed", "the disk: its times alone, or an NVMe controller", choices=("timed", "nvme"))

    def check(self) -> "SharingParams":
        """ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        names = params.check_named(self.guests, 256)
        for guest in self.guests:
            if guest.start_ns >= self.duration_ns:
                raise ValueError(f"start_ns {guest.start_ns}: before the end, {self.duration_ns}")
            if guest.stop_ns is not None and guest.stop_ns <= guest.start_ns:
                raise ValueError(f"stop_ns {guest.stop_ns}: after start_ns, {guest.start_ns}")
            guest.share  # noqa: B018  the property checks itself
        for when, name, what in self.changes:
            allowed = ("depth", "policy") if name is None else SHARE_FIELDS
            if name is not None and name not in names:
                raise ValueError(f"change at {when} ns: no guest {name!r}")
            if not what or set(what) - set(allowed):
                raise ValueError(f"change at {when} ns {what!r}: choose from {', '.join(allowed)}")
        return self


def noisy_neighbour(quiet: int = 3, noise: int = 64, device_depth: int = 16) -> SharingParams:
    """Quiet guests with a 4 KiB read at a time, and from a quarter of the time on one with `noise` reads of 256 KiB."""
    guests = [SharedGuest(f"quiet{n}", request_bytes=4096, queue_depth=1) for n in range(quiet)]
    noisy = SharedGuest("noisy", request_bytes=256 << 10, queue_depth=noise, start_ns=5_000_000)
    return SharingParams((*guests, noisy), device_depth=device_depth)


def weights_tree() -> SharingParams:
    """Return A(100) with A0 and A1 of equal weight, B(300), as flat weights: 50:50 without B, 12.5:12.5:75 with it.

    The example in the comment of Linux's block/blk-iocost.c.
    """
    return SharingParams((SharedGuest("A0", weight=50), SharedGuest("A1", weight=50),
                          SharedGuest("B", weight=300, queue_depth=64, start_ns=10_000_000)))
