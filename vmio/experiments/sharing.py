"""Many guests on one disk: who gets how much, how long it takes, and what changes when shares change in mid run.

    params = SharingParams((SharedGuest("a"), SharedGuest("b", weight=300, start_ns=5_000_000)))
    result = run_sharing(params, "mclock")
    print(result.table())

A guest here is a closed loop: it keeps `queue_depth` requests going, on a slice
of its own.  Block layer and scheduler are those of every other lesson; the ring
between guest and host is left out.  How long things take does not depend on what
is read: the disk is a `TimedDisk`, or, with `device="nvme"`, the host's driver
and controller over a medium of zeros, with the same result.
"""

from dataclasses import dataclass, fields
from functools import partial
from math import inf

from vmio.experiments.sharing_result import SharingResult
from vmio.host.physical import PhysicalDisk, Slice
from vmio.host.policies import make
from vmio.host.scheduler import Share
from vmio.host.timed import TimedDisk
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR

SLICE = 1 << 14            # sectors of each guest's slice: 8 MiB
SHARE_FIELDS = tuple(field.name for field in fields(Share))


@dataclass(frozen=True)
class SharedGuest:
    """One guest: its share (see `Share`), and what it asks for.

    Requests of `request_bytes`, "read" or "write", `queue_depth` at a time; after
    each answer it thinks for `think_ns`.  It comes at `start_ns` and goes at
    `stop_ns`, or stays.
    """

    name: str
    weight: int = 100
    reservation: int = 0
    cap: int | None = None
    iops: int | None = None
    burst_ns: int = 1_000_000
    request_bytes: int = 64 << 10
    queue_depth: int = 16
    kind: str = "read"
    think_ns: int = 0
    start_ns: int = 0
    stop_ns: int | None = None

    @property
    def share(self):
        """What it is to get."""
        return Share(**{name: getattr(self, name) for name in SHARE_FIELDS})


@dataclass(frozen=True)
class SharingParams:
    """`guests`, for `duration_ns`; results in `buckets` of equal time.  At most `device_depth` requests at the device.

    `changes` are (ns, guest's name, {field of its share: value}), or with None for a
    name {"depth": n} or {"policy": name}: made while everything runs.
    """

    guests: tuple
    duration_ns: int = 20_000_000
    buckets: int = 40
    device_depth: int = 16
    changes: tuple = ()
    costs: str = "server-2022"
    device: str = "timed"

    def check(self):
        """ValueError names the parameter, its value and what is allowed."""
        names = [guest.name for guest in self.guests]
        if not 1 <= len(names) <= 256 or len(set(names)) < len(names):
            raise ValueError(f"guests {len(names)}: 1 to 256, each with a name of its own")
        _between(self, ("duration_ns", 1000, 10**11), ("buckets", 1, 10_000), ("device_depth", 1, 255))
        if self.device not in ("timed", "nvme"):
            raise ValueError(f"device {self.device!r}: timed or nvme")
        for guest in self.guests:
            _between(guest, ("queue_depth", 1, 1024), ("think_ns", 0, 10**10), ("start_ns", 0, self.duration_ns - 1),
                     ("request_bytes", SECTOR, 512 << 10))
            if guest.kind not in ("read", "write"):
                raise ValueError(f"kind {guest.kind!r} of guest {guest.name}: read or write")
            if guest.request_bytes % SECTOR:
                raise ValueError(f"request_bytes {guest.request_bytes}: whole sectors of {SECTOR} bytes")
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


def run_sharing(params, policy="mclock"):
    """Run all guests under a policy (`vmio.host.policies`); a `SharingResult`."""
    return _Run(params.check(), policy).result()


def noisy_neighbour(quiet=3, noise=64, device_depth=16):
    """Quiet guests with a 4 KiB read at a time, and from a quarter of the time on one with `noise` reads of 256 KiB."""
    guests = [SharedGuest(f"quiet{n}", request_bytes=4096, queue_depth=1) for n in range(quiet)]
    noisy = SharedGuest("noisy", request_bytes=256 << 10, queue_depth=noise, start_ns=5_000_000)
    return SharingParams((*guests, noisy), device_depth=device_depth)


def weights_tree():
    """A(100) with A0 and A1 of equal weight, B(300), as flat weights: 50:50 without B, 12.5:12.5:75 with it.

    The example in the comment of Linux's block/blk-iocost.c.
    """
    return SharingParams((SharedGuest("A0", weight=50), SharedGuest("A1", weight=50),
                          SharedGuest("B", weight=300, queue_depth=64, start_ns=10_000_000)))


class _Run:
    """The host with its disk, and all guests on it."""

    def __init__(self, params, policy):
        self.params, self.policy = params, policy
        pages = {guest.name: -(-guest.request_bytes // PAGE) for guest in params.guests}
        host = self.host = Host((sum(pages.values()) * PAGE >> 20) + 4, CostModel.preset(params.costs))
        options = {"scheduler": make(policy), "depth": params.device_depth, "window": inf}
        disk = (TimedDisk(host, **options) if params.device == "timed"
                else PhysicalDisk(host, [_Zeros(SLICE * len(params.guests))], **options))
        self.layer, self.began = disk.layer, host.env.now
        self.loops = [_Loop(self, guest, n, host.memory.allocate(pages[guest.name]))
                      for n, guest in enumerate(params.guests)]
        for when, name, what in params.changes:
            self.at(when, partial(self._change, name, what))

    def at(self, ns, call):
        """Call `call()` so long after the beginning."""
        self.host.env.timeout(self.began + ns - self.host.env.now).callbacks.append(lambda _: call())

    def _change(self, name, what):
        layer = self.layer
        if name is not None:
            if name in layer.queue.flows:
                layer.change(name, **what)
            return
        if "depth" in what:
            layer.set_depth(what["depth"])
        if "policy" in what:
            layer.set_scheduler(make(what["policy"]))

    def result(self):
        """Run, and sort what happened into buckets."""
        self.host.env.run(until=self.began + self.params.duration_ns)
        return SharingResult.of(self.params, self.policy, self.began,
                                [(loop.ends, loop.latencies) for loop in self.loops],
                                [self.layer.services.get(loop.guest.name) for loop in self.loops])


class _Loop:
    """One guest: as many requests as it keeps going, each followed by the next."""

    def __init__(self, run, guest, number, memory):
        self.guest, self.layer, self.env = guest, run.layer, run.host.env
        self.slice = Slice(run.layer, number * SLICE, SLICE)
        self.sectors = guest.request_bytes // SECTOR
        self.pages = list(range(memory, memory + guest.request_bytes, PAGE))
        self.ends, self.latencies = [], []     # of each request, in ns
        self._lba, self._going = 0, False
        run.at(guest.start_ns, self.start)
        if guest.stop_ns is not None:
            run.at(guest.stop_ns, self.stop)

    def start(self):
        """Hot add: from now on the guest is there."""
        self.layer.add(self.guest.name, self.guest.share)
        self._going = True
        for _ in range(self.guest.queue_depth):
            self._submit()

    def stop(self):
        """Hot remove: what is under way is carried out."""
        self._going = False
        self.slice.remove()
        self.layer.remove(self.guest.name)

    def _submit(self, event=None):
        if self._going:
            lba = self._lba
            self._lba = lba + self.sectors if lba + 2 * self.sectors <= SLICE else 0
            self.slice.submit(self.guest.name, self.guest.kind, lba, self.sectors, self.pages,
                              partial(self._over, self.env.now))

    def _over(self, since, status):
        if status:
            raise RuntimeError(f"{self.guest.name}: status {status:#x}")   # nothing here can fail
        now = self.env.now
        self.ends.append(now)
        self.latencies.append(now - since)
        if self.guest.think_ns:
            self.env.timeout(self.guest.think_ns).callbacks.append(self._submit)
        else:
            self._submit()


class _Zeros:
    """A medium that holds nothing but zeros, and takes no room."""

    name = "zeros"

    def __init__(self, sectors):
        self.sectors = sectors
        self._data = bytes(512 << 10)

    def read(self, lba, count=1):
        """`count` sectors."""
        return self._data[:count * SECTOR]

    def write(self, lba, data):
        """Forgotten."""

    def discard(self, lba, count):
        """They are zeros."""

    def flush(self):
        """Nothing to do."""


def _between(params, *bounds):
    for name, low, high in bounds:
        value = getattr(params, name)
        if not low <= value <= high:
            raise ValueError(f"{name} {value}: {low:,} to {high:,}")
