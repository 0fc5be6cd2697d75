"""What the guests of the watched host do: open loops, which ask when it is time, whether the last answer has come or not.

Each load may be watched where its users feel it: `answered` is told the span from when a request was due until it was answered,
the wait in the guest's own queue and in the ring with it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from vmio.experiments.net_ping import GUEST, STATION
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.machine.net.cable import CableEnd
from vmio.machine.net.headers import ETHERNET
from vmio.manage.monitor.psi import Pressure
from vmio.modes import Machine

LOCAL = 0x88B5             # an EtherType for experiments: IEEE 802, 9.2.4
FRAME = 300                # bytes of each frame
WORK_NS = 2_000            # what a guest's program does with an answer
LOOK_NS = 100_000          # between two looks at what the host has to say


def poisson(random: Random, gap_ns: float, until: int) -> list[int]:
    """Return times that know nothing of each other, `gap_ns` apart on average, below `until`."""
    at, found = random.expovariate(1) * gap_ns, []
    while at < until:
        found.append(int(at))
        at += random.expovariate(1) * gap_ns
    return found


def bursts(random: Random, gap_ns: float, size: int, until: int) -> list[int]:
    """Return times of bursts: `size` requests at a time."""
    return [at for at in poisson(random, gap_ns, until) for _ in range(size)]


def trains(random: Random, gap_ns: float, size: int, apart_ns: int, until: int) -> list[int]:
    """Return times of trains: `size` frames, `apart_ns` from one to the next; a train each `gap_ns`, up to a quarter of that late."""
    starts = [int((number + random.random() / 4) * gap_ns) for number in range(int(until / gap_ns))]
    return [at + number * apart_ns for at in starts for number in range(size)]


class DiskLoad:
    """Reads of one vCPU: at `times` after `began`, `sectors` each at a random place, `depth` in flight at most.

    It uses the first of its disks; from `switch_ns` on the second one, when the first has answered all.
    """

    POINTS = {"answered": "((from, until) in ns) of each request, from when it was due"}
    answered: Span | None = None

    def __init__(self, random: Random, times: Sequence[int], sectors: int, depth: int, at: int, size: int) -> None:
        self.random, self.times, self.sectors, self.depth, self.size = random, times, sectors, depth, size
        self.free = [at + n * sectors * 512 for n in range(depth)]
        self.began = self.row = 0
        self.switch_ns: int = NEVER
        self.at_switch: Callable[[Any], None] | None = None      # done to the driver then, if the disk stays the same
        self.under_way: dict[int, tuple[int, int]] = {}          # tag -> (when it was due, buffer)
        self.ended = 0
        self.done = False
        self.beside: list[DiskLoad] = []       # of the guest's other vCPUs

    def program(self, began: int, ended: Callable[[int], bool], cpu: VCpu, *disks: Any) -> Steps[None]:
        """Do it all; a generator.  `ended(now)` says when nothing more shall be begun."""
        self.began, disk, switched = began, disks[0], False
        yield from cpu.hlt(max(began - cpu.now, 0))
        while not ended(cpu.now) or self.under_way:
            if not switched and cpu.now - began >= self.switch_ns and (len(disks) < 2 or not self.under_way):
                switched, disk = True, disks[-1]
                if self.at_switch is not None:
                    self.at_switch(disk)
            over = ended(cpu.now)
            leaves = over or not switched and len(disks) > 1 and cpu.now - began >= self.switch_ns
            yield from self.between()
            if not leaves and self._send(cpu, disk):
                disk.flush_ring()
            due = began + self.times[self.row] if self.row < len(self.times) and self.free and not leaves else NEVER
            stop = began + self.switch_ns if not switched and self.switch_ns < NEVER and cpu.now < began + self.switch_ns else NEVER
            if not self.under_way and (over or due == stop == NEVER):
                break
            yield from disk.wait(min(due, stop))
            for tag, error in disk.reap():
                if error is not None:
                    raise error
                self._over(cpu, disk, tag)
        self.done = True
        while not all(load.done for load in self.beside):       # this vCPU may take the interrupts of others
            yield from cpu.hlt(LOOK_NS)

    def between(self) -> Steps[None]:
        """What its guest does besides, now and then; a generator."""
        return
        yield

    def _send(self, cpu: VCpu, disk: Any) -> bool:
        sent = False
        while self.free and self.row < len(self.times) and self.times[self.row] <= cpu.now - self.began:
            buffer = self.free.pop()
            self.under_way[self.row] = self.began + self.times[self.row], buffer
            self.begin(disk, self.row, buffer)
            self.row, sent = self.row + 1, True
        return sent

    def begin(self, disk: Any, row: int, buffer: int) -> None:
        """Ask for what request `row` is about."""
        disk.submit("read", self.random.randrange(0, self.size - self.sectors, self.sectors), self.sectors, buffer, row)

    def _over(self, cpu: VCpu, disk: Any, tag: int) -> None:
        due, buffer = self.under_way.pop(tag)
        self.free.append(buffer)
        self.ended += 1
        if self.answered is not None:
            self.answered((due, cpu.now))
        cpu.compute(WORK_NS)


class PagingLoad(DiskLoad):
    """The same in a guest with a balloon: a request that touches a page which is not there reads it from the page file first.

    `heap` is the balloon's: as many of 100 requests do so as of 100 pages that programs were promised are missing.  `pressure` has the time
    in which somebody waited for a page (some), and in which all that was under way did (full).
    """

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.pressure, self.page_ins = Pressure(), 0
        self._paging: set[int] = set()
        self._since = 0
        self.need: dict[int, int] = {}      # ns since the beginning -> pages that programs want from then on

    def with_balloon(self, began: int, ended: Callable[[int], bool], cpu: VCpu, balloon: Any, *disks: Any) -> Steps[None]:
        """Do it all, and what the host asks of the balloon; a generator."""
        self.balloon, self.cpu, self.began = balloon, cpu, began
        yield from balloon.serve(began)
        yield from self.program(began, ended, cpu, *disks)

    def between(self) -> Steps[None]:
        """Listen to the host, and let the programs have what they need by now."""
        for ns in [ns for ns in self.need if ns <= self.cpu.now - self.began]:
            self.balloon.heap.promise(self.need.pop(ns))
        yield from self.balloon.work()

    def begin(self, disk: Any, row: int, buffer: int) -> None:
        """Ask for the page first if it is not there."""
        heap = self.balloon.heap
        if heap.missing and self.random.random() < heap.missing / heap.committed:
            self._stalled()
            self._paging.add(row)
            self.page_ins += 1
            disk.submit("read", self.random.randrange(0, self.size - 8, 8), 8, buffer, ~row)
        else:
            self._stalled()
            super().begin(disk, row, buffer)

    def _over(self, cpu: VCpu, disk: Any, tag: int) -> None:
        self._stalled()
        if tag < 0:                                        # the page is there now
            self._paging.discard(~tag)
            super().begin(disk, ~tag, self.under_way[~tag][1])
            disk.flush_ring()
        else:
            super()._over(cpu, disk, tag)

    def _stalled(self) -> None:
        """Note the time since the last change: who waited for a page?"""
        now = self.cpu.now
        us = (now - self._since) // 1000
        self._since += us * 1000
        if self._paging:
            self.pressure.some.stall(us)
            if len(self._paging) == len(self.under_way):
                self.pressure.full.stall(us)


class NetLoad:
    """A peer at the other end of a guest's cable sends a frame at each of its `times`; the guest answers each, at once."""

    POINTS = {"answered": "((from, until) in ns) of each frame, from when the peer sent it until its answer is back"}
    answered: Span | None = None

    def __init__(self, times: Sequence[int]) -> None:
        self.times = times
        self.sent: dict[int, int] = {}         # number of a frame -> when it was sent
        self.orders: deque[Callable[[Any], object]] = deque()      # what the guest's administrator does with the card when it next looks
        self.ended = self.lost = 0
        self.link_changed = lambda up: None

    def begin(self, machine: Machine, end: CableEnd, began: int) -> None:
        """Be the peer: say when each frame is to be sent."""
        self._env, self._end = machine.host.env, end
        end.connect(self)
        for number, ns in enumerate(self.times):
            machine.host.at(began + ns, partial(self._say, number))

    def _say(self, number: int, _event: object) -> None:
        self.sent[number] = self._env.now
        frame = ETHERNET.pack(destination=GUEST, source=STATION, type=LOCAL) + number.to_bytes(4, "little")
        if not self._end.send(frame.ljust(FRAME, b"\0")):
            del self.sent[number]
            self.lost += 1

    def receive(self, frame: bytes) -> bool:
        """Hear an answer."""
        at = self.sent.pop(int.from_bytes(frame[14:18], "little"), None)
        if at is not None:
            self.ended += 1
            if self.answered is not None:
                self.answered((at, self._env.now))
        return True

    def program(self, until: int, at_switch: Callable[[Any], bool] | None, switch_ns: int, cpu: VCpu, card: Any) -> Steps[None]:
        """In the guest: answer, until the time is `until`; a generator.  `at_switch(card)` is done once, as soon as it says True."""
        while cpu.now < until:
            while self.orders:
                self.orders.popleft()(card)
            if at_switch is not None and cpu.now >= switch_ns and at_switch(card):
                at_switch = None
            yield from card.wait(min(until, cpu.now + LOOK_NS))
            for frame in card.reap():
                number = frame[14:18]
                card.send((ETHERNET.pack(destination=STATION, source=GUEST, type=LOCAL) + number).ljust(FRAME, b"\0"))
                cpu.compute(WORK_NS)
