"""The host that is watched: six guests with devices of every kind, all at work, and at most one thing that goes wrong.

    web     two vCPUs, a split disk with a channel for each      reads, a steady stream
    db      a split disk                                          reads in bursts
    batch   a split disk; confidential, with a bounce pool        now and then a large read
    shop    a disk of its own, passed through                     reads
    mail    a split card with a virtual function beside it        frames that come four in a row, and are answered
    cache   a balloon, and a split disk                           reads

Each `WINDOW_NS` the monitor takes a sample.  At `onset`, after so many of these windows, the fault begins; what it is, how bad and when
comes from the seed.  A fault is a change in the machine or in what a guest does; the counters tell of it because it is there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Any, Protocol

from simpy.events import Event

from vmio.experiments.net_ping import GUEST
from vmio.experiments.pattern import pattern
from vmio.host.physical import PhysicalDisk
from vmio.host.policies import make
from vmio.hypervisor.contracts import Program
from vmio.hypervisor.halt_poll import HaltPoll
from vmio.hypervisor.runs import Run
from vmio.machine.memory import PAGE
from vmio.machine.net.cable import Cable
from vmio.machine.overlay import Overlay
from vmio.manage.diagnose.load import DiskLoad, NetLoad, PagingLoad, bursts, poisson, trains
from vmio.manage.monitor.metrics import Sample
from vmio.manage.monitor.monitor import Monitor
from vmio.modes import Machine, attachment
from vmio.modes.disk_split import SplitDisk
from vmio.modes.machine import GuestMachine
from vmio.modes.memory_split import SplitMemory
from vmio.modes.net_accelerated import AcceleratedNet

MIB, MS = 1 << 20, 1_000_000
WINDOW_NS, WINDOWS, BEGIN_NS = MS, 24, 20 * MS
SETTLE = 4                          # windows before the first sample: caches, queues and halt polling find their usual state
DISK_MIB, CORES = 4, 8
SECTORS = DISK_MIB * MIB // 512
WEB, DB, BATCH, SHOP, MAIL, CACHE = GUESTS = ("web", "db", "batch", "shop", "mail", "cache")
GIVEN_NS = 2 * MS                   # when mail gets its function
CACHE_MIB, HEAP_MIB = 40, 20        # of RAM; where its heap begins
PROMISED = 2 * 256                  # pages that cache's programs want at first
BUFFERS_MIB = 5                     # of a guest's RAM, for its requests
POOL_KIB = 8 << 10                  # batch's bounce pool
LARGE, SMALL = 640, 8               # sectors of a read of batch's, and of everybody's else
TRAIN, TRAIN_GAP_NS = 4, 15_000     # frames that come in a row, and the time between two of them


@dataclass
class Plan:
    """What a seed decides: where in the run the fault begins, how bad it is (0 to 1), and how busy the guests are."""

    seed: int
    onset: int
    severity: float
    busy: float
    windows: int = WINDOWS

    @classmethod
    def of(cls, seed: int, windows: int = WINDOWS) -> "Plan":
        """Return the plan of this seed."""
        random = Random(f"scene {seed}")
        return cls(seed, random.randrange(windows // 3, windows // 2 + 1), random.random(), random.uniform(0.7, 1.3), windows)


class Wrong(Protocol):
    """What may be put in: see `faults.Fault`."""

    @property
    def put_in(self) -> Callable[["Scene"], None]:
        """What plans it, before the machine is switched on."""


@dataclass
class Scene:
    """One run, with the `fault` or with none."""

    plan: Plan
    fault: "Wrong | None" = None
    samples: list[Sample] = field(default_factory=list)          # the first is that of the beginning
    on_window: Callable[["Scene"], None] | None = None           # after each sample: for who steers
    machine: Machine = field(default_factory=lambda: Machine(cores=CORES))
    scheduler: str = "fifo"                                      # of the disk that all share; one who steers needs "limits"

    def __post_init__(self) -> None:
        random, busy = Random(f"load {self.plan.seed}"), self.plan.busy
        machine, until = self.machine, self.until_ns
        self.guests: dict[str, GuestMachine] = {}
        for name in GUESTS:
            self.guests[name] = machine.guest(name, vcpus=2 if name == WEB else 1, ram_mib=CACHE_MIB if name == CACHE else None,
                                              later_mib=0 if name == CACHE else BUFFERS_MIB)
        self.card = AcceleratedNet(GUEST)
        self.memory = SplitMemory(report_delay=0, heap_at=HEAP_MIB * MIB)
        self.cable = Cable()
        self.guests[MAIL].attach(self.card, backend=self.cable.ends[0])
        self.guests[CACHE].attach(self.memory)
        for name in (WEB, DB, BATCH, CACHE):
            self.guests[name].attach(SplitDisk(confidential=True, pool_kib=POOL_KIB) if name == BATCH else SplitDisk(), Overlay(pattern(DISK_MIB)))
        self.guests[SHOP].attach(attachment("disk", "passthrough"), Overlay(pattern(DISK_MIB)))
        times = {WEB: [poisson(random, 110_000 / busy, until) for _ in range(2)], DB: [bursts(random, 1_500_000 / busy, 40, until)],
                 BATCH: [poisson(random, 875_000 / busy, until)], SHOP: [poisson(random, 130_000 / busy, until)],
                 MAIL: [trains(random, 400_000 / busy, TRAIN, TRAIN_GAP_NS, until)], CACHE: [poisson(random, 250_000 / busy, until)]}
        self.times, self.random = times, random
        self.depth, self.sectors = dict.fromkeys(GUESTS, 64) | {BATCH: 14}, dict.fromkeys(GUESTS, SMALL) | {BATCH: LARGE}
        self.on_frames: Callable[[Any], bool] | None = None
        self.at_onset: list[Callable[[], None]] = []
        self.switching: dict[str, Callable[[Any], None] | None] = {}     # guest -> what is done to its driver then; None: the second disk is taken
        self.need = {0: PROMISED}                                        # of cache's programs, as in `PagingLoad`
        if self.fault is not None:
            self.fault.put_in(self)
        self._power_on()

    @property
    def heap_pages(self) -> int:
        """Pages that cache's programs can have."""
        return (CACHE_MIB - HEAP_MIB) * MIB // PAGE

    @property
    def onset_ns(self) -> int:
        """When the fault begins, since the loads began."""
        return (SETTLE + self.plan.onset) * WINDOW_NS

    @property
    def until_ns(self) -> int:
        """When the loads end, since they began."""
        return (SETTLE + self.plan.windows) * WINDOW_NS

    def second_disk(self, name: str, disk: Any) -> None:
        """Give a guest another disk, which it takes from the onset on."""
        self.guests[name].attach(disk, Overlay(pattern(DISK_MIB)))
        self.switching[name] = None

    def _power_on(self) -> None:
        machine = self.machine
        split = [(guest, at) for guest in self.guests.values() for at, each in enumerate(guest.attachments) if isinstance(each, SplitDisk)]
        self.disk = PhysicalDisk(machine.host, [medium for guest, at in split if (medium := guest.media[at]) is not None], scheduler=make(self.scheduler), window=inf)
        for (guest, at), part in zip(split, self.disk.slices):
            guest.backends[at] = part
        machine.power_on()
        for guest in self.guests.values():
            for cpu in guest.guest.vcpus:
                cpu.poller = HaltPoll()
        self.began = machine.host.env.now + BEGIN_NS
        self.loads: dict[str, list[Any]] = {name: self._loads(name) for name in GUESTS if name != MAIL}
        self.net = NetLoad(self.times[MAIL][0])
        self.net.begin(machine, self.cable.ends[1], self.began)
        self.loads[MAIL] = [self.net]
        self.monitor = Monitor(machine)
        for name, loads in self.loads.items():
            self.monitor.users(name, loads)
        machine.host.at(GIVEN_NS, lambda _: self.card.give())
        for call in self.at_onset:
            machine.host.at(self.began + self.onset_ns, partial(_call, call))
        for number in range(self.plan.windows + 1):
            machine.host.at(self.began + (SETTLE + number) * WINDOW_NS, self._look)

    def _loads(self, name: str) -> list[DiskLoad]:
        guest, size = self.guests[name], self.sectors[name] * 512 * self.depth[name]
        base = HEAP_MIB * MIB - 2 * size if name == CACHE else max(each.driver_memory for each in guest.attachments)
        found = []
        for number, times in enumerate(self.times[name]):
            kind = PagingLoad if name == CACHE else DiskLoad
            load = kind(Random(f"{name} {number} {self.plan.seed}"), times, self.sectors[name], self.depth[name], base + number * size, SECTORS)
            if name in self.switching:
                load.switch_ns, load.at_switch = self.onset_ns, self.switching[name]
            if isinstance(load, PagingLoad):
                load.need = dict(self.need)
            found.append(load)
        for load in found:
            load.beside = found
        return found

    def _look(self, _event: Event) -> None:
        if not self.samples:
            self.monitor.on()
        self.samples.append(self.monitor.sample())
        for load in self.loads[CACHE]:
            load.pressure.period(WINDOW_NS // 1000)
        if self.on_window is not None:
            self.on_window(self)

    def _programs(self, name: str) -> list[Program]:
        until = self.began + self.until_ns
        if name == MAIL:
            return [partial(self.net.program, until, self.on_frames, self.began + self.onset_ns)]
        return [partial(getattr(load, "with_balloon", load.program), self.began, lambda now: now >= until) for load in self.loads[name]]

    def start(self) -> Run:
        """Begin, and return the run: `step()` lets the next event happen."""
        return self.machine.start(*[(guest, self._programs(name)) for name, guest in self.guests.items()])

    def run(self) -> "Scene":
        """Run to the end; returns itself."""
        self.start().to_the_end()
        self.monitor.off()
        return self

    @property
    def windows(self) -> list[Sample]:
        """What was counted in each window."""
        return [now.since(before) for before, now in zip(self.samples, self.samples[1:])]


def _call(call: Callable[[], None], _event: Event) -> None:
    call()


def names(samples: Sequence[Sample]) -> list[str]:
    """Return the guests that samples tell of."""
    return samples[-1].labels("vmio_vcpu_interrupts_total", "guest")
