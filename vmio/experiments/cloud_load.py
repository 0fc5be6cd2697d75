"""A guest of the cloud: an open loop, which sends each request when it comes, whether the last one is over or not.

What the guest's own system would do is done here: no request overtakes another one that it overlaps, or a flush; nothing
is sent while the path to the disk changes.  Latency is counted from when a request comes, so a wait in the guest is part of it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from vmio.drivers.contracts import DiskDriver
from vmio.experiments.trace import payload
from vmio.experiments.traces.request import SECTOR, Request
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.modes.machine import GuestMachine

OPS = {"R": "read", "W": "write", "F": "flush"}
LOOK_NS = 50_000        # between two looks for a device that is to come


@dataclass
class Plan:
    """Requests and when each of them comes, in ns since the beginning; measured are those from `first` on."""

    requests: Sequence[Request]
    at: Sequence[int]
    first: int
    depth: int
    buffers: int              # guest-physical: `depth` of them, `size` bytes each
    size: int
    awaited_ns: int | None    # when the guest begins to look for another way to its disk


@dataclass
class Load:
    """What became of them: latencies in ns by request, a digest of all the bytes that were read, and exits from `Plan.first` on."""

    plan: Plan
    latencies: dict[int, int] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)
    exits: int = 0
    counted: int = 0          # requests that were sent while `exits` were counted
    switched_ns: int | None = None      # when the guest took the other way, since the beginning
    by_function: int = 0        # requests that went there
    last_ns: int = 0          # when the last one was over

    def program(self, guest: GuestMachine, cpu: VCpu, disk: DiskDriver, began: int) -> Steps["Load"]:
        """Send all of them, from the time `began` on; returns itself, a generator."""
        plan, busy, row = self.plan, _Busy(self.plan), 0
        looks, other = plan.awaited_ns, None
        exits_before: int | None = None
        while row < len(plan.at) or busy.rows:
            if looks is not None and cpu.now - began >= looks:
                looks = cpu.now - began + LOOK_NS
                for what, driver in (yield from guest.follow(cpu)):     # the device comes up beside the requests under way
                    if what == "added":
                        other, looks = driver, None
            if other is not None and not busy.rows:      # the old way is empty: from now on by the new one
                disk, other, self.switched_ns = other, None, cpu.now - began
            if exits_before is None and row >= plan.first and (plan.awaited_ns is None or self.switched_ns is not None):
                exits_before, self.counted = cpu.exits.total, len(plan.at) - row
            sent = False
            while other is None and row < len(plan.at) and plan.at[row] <= cpu.now - began and busy.takes(plan.requests[row]):
                self._send(cpu, disk, busy, row)
                row, sent = row + 1, True
            if sent:
                disk.flush_ring()
            wakes = [at for at in (plan.at[row] if row < len(plan.at) else NEVER, looks or NEVER) if at > cpu.now - began]
            yield from disk.wait(began + min(wakes) if wakes and min(wakes) < NEVER else NEVER)
            for over, error in disk.reap():
                if error is not None:
                    raise error
                self._over(cpu, busy, int(over), began)
        self.exits = cpu.exits.total - (exits_before or 0)
        return self

    def _send(self, cpu: VCpu, disk: DiskDriver, busy: "_Busy", row: int) -> None:
        request = self.plan.requests[row]
        at = busy.begin(row, request)
        if request.op == "W":
            cpu.write(at, payload(row, request.sectors))
        disk.submit(OPS[request.op], request.lba, request.sectors, at, row)
        self.by_function += self.switched_ns is not None

    def _over(self, cpu: VCpu, busy: "_Busy", row: int, began: int) -> None:
        request, at = self.plan.requests[row], busy.end(row)
        if request.op == "R":
            self.digests[row] = hashlib.sha256(cpu.read(at, request.sectors * SECTOR)).digest()
        self.last_ns = cpu.now - began
        self.latencies[row] = self.last_ns - self.plan.at[row]

    @property
    def sha256(self) -> str:
        """Of all that was read, in the order in which it was asked for."""
        return hashlib.sha256(b"".join(self.digests[row] for row in sorted(self.digests))).hexdigest()


class _Busy:
    """The requests under way and their buffers."""

    def __init__(self, plan: Plan) -> None:
        self.rows: dict[int, tuple[Request, int]] = {}
        self._free = [plan.buffers + n * plan.size for n in range(plan.depth)]

    def takes(self, request: Request) -> bool:
        """Whether this one may go now: there is a buffer, and it waits for none that is under way."""
        if not self._free or request.op == "F" and self.rows:
            return False
        return not any(other.op == "F" or (request.op == "W" or other.op == "W") and other.lba < request.lba + request.sectors
                       and request.lba < other.lba + other.sectors for other, _ in self.rows.values())

    def begin(self, row: int, request: Request) -> int:
        """Note a request; returns the address of its buffer."""
        at = self._free.pop()
        self.rows[row] = request, at
        return at

    def end(self, row: int) -> int:
        """Forget it; returns the address of its buffer, which the next one may have."""
        _, at = self.rows.pop(row)
        self._free.append(at)
        return at
