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

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any

from simpy.events import Event

from vmio.experiments.sharing_params import SharedGuest, SharingParams, noisy_neighbour, weights_tree
from vmio.experiments.sharing_result import SharingResult
from vmio.host.physical import PhysicalDisk, Slice
from vmio.host.policies import make
from vmio.host.timed import TimedDisk
from vmio.machine.contracts import Buffer, Options
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR
from vmio.modes import Machine

__all__ = ["SharedGuest", "SharingParams", "SharingResult", "noisy_neighbour", "run_sharing", "weights_tree"]

SLICE = 1 << 14            # sectors of each guest's slice: 8 MiB


def run_sharing(params: SharingParams, policy: str = "mclock") -> SharingResult:
    """Run all guests under a policy (`vmio.host.policies`); a `SharingResult`."""
    return _Run(params.check(), policy).result()


class _Run:
    """The host with its disk, and all guests on it."""

    def __init__(self, params: SharingParams, policy: str) -> None:
        self.params, self.policy = params, policy
        pages = {guest.name: -(-guest.request_bytes // PAGE) for guest in params.guests}
        host = self.host = Machine(params.costs, memory_mib=(sum(pages.values()) * PAGE >> 20) + 4).host
        options: Options = {"scheduler": make(policy), "depth": params.device_depth, "window": inf}
        disk = (TimedDisk(host, **options) if params.device == "timed"
                else PhysicalDisk(host, [_Zeros(SLICE * len(params.guests))], **options))
        self.layer, self.began = disk.layer, host.env.now
        self.loops = [_Loop(self, guest, n, host.memory.allocate(pages[guest.name]))
                      for n, guest in enumerate(params.guests)]
        for when, name, what in params.changes:
            self.at(when, partial(self._change, name, what))

    def at(self, ns: int, call: Callable[[], None]) -> None:
        """Call `call()` so long after the beginning."""
        self.host.env.timeout(self.began + ns - self.host.env.now).callbacks.append(lambda _: call())

    def _change(self, name: str | None, what: Mapping[str, Any]) -> None:
        layer = self.layer
        if name is not None:
            if name in layer.queue.flows:
                layer.change(name, **what)
            return
        if "depth" in what:
            layer.set_depth(what["depth"])
        if "policy" in what:
            layer.set_scheduler(make(what["policy"]))

    def result(self) -> SharingResult:
        """Run, and sort what happened into buckets."""
        self.host.env.run(until=self.began + self.params.duration_ns)
        return SharingResult.of(self.params, self.policy, self.began,
                                [(loop.ends, loop.latencies) for loop in self.loops],
                                [self.layer.services.get(loop.guest.name) for loop in self.loops])


class _Loop:
    """One guest: as many requests as it keeps going, each followed by the next."""

    def __init__(self, run: _Run, guest: SharedGuest, number: int, memory: int) -> None:
        self.guest, self.layer, self.env = guest, run.layer, run.host.env
        self.slice = Slice(run.layer, number * SLICE, SLICE)
        self.sectors = guest.request_bytes // SECTOR
        self.pages = list(range(memory, memory + guest.request_bytes, PAGE))
        self.ends: list[int] = []              # of each request, in ns
        self.latencies: list[int] = []
        self._lba, self._going = 0, False
        run.at(guest.start_ns, self.start)
        if guest.stop_ns is not None:
            run.at(guest.stop_ns, self.stop)

    def start(self) -> None:
        """Hot add: from now on the guest is there."""
        self.layer.add(self.guest.name, self.guest.share)
        self._going = True
        for _ in range(self.guest.queue_depth):
            self._submit()

    def stop(self) -> None:
        """Hot remove: what is under way is carried out."""
        self._going = False
        self.slice.remove()
        self.layer.remove(self.guest.name)

    def _submit(self, event: Event | None = None) -> None:
        if self._going:
            lba = self._lba
            self._lba = lba + self.sectors if lba + 2 * self.sectors <= SLICE else 0
            self.slice.submit(self.guest.name, self.guest.op, lba, self.sectors, self.pages,
                              partial(self._over, self.env.now))

    def _over(self, since: int, status: int) -> None:
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

    def __init__(self, sectors: int) -> None:
        self.sectors = sectors
        self._data = bytes(512 << 10)

    def read(self, lba: int, count: int = 1) -> bytes:
        """`count` sectors."""
        return self._data[:count * SECTOR]

    def write(self, lba: int, data: Buffer) -> None:
        """Forgotten."""

    def discard(self, lba: int, count: int) -> None:
        """They are zeros."""

    def persist(self, lba: int, count: int) -> None:
        """Nothing was kept."""

    def flush(self) -> None:
        """Nothing to do."""
