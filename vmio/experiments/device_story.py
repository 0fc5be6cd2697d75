"""A guest whose disks come, grow and go while it writes to all that it has: what becomes of each request, slice of time by slice.

The guest starts with one disk by split drivers.  The host then gives it three more at once: one behind a controller of its own, one as
one more LUN of the first one's controller, and one that is passed through.  They grow, and they are taken away, as the protocol asks
for it or without a word.  Each request is in the account of its disk once: done, or ended with an error because the disk had gone.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from simpy.events import Event as Timeout

from vmio.drivers.contracts import DiskDriver
from vmio.drivers.errors import DriverError
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.storvsc_unit import Unit
from vmio.experiments.params import check, param
from vmio.experiments.pattern import pattern
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Tag
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment
from vmio.modes.live import Device

US = 1_000
SLICE_US, SLICES = 100, 16
END_NS = SLICE_US * SLICES * US
BLOCK, SECTORS = 4096, 8
LOOK_NS = 20_000                     # between two looks of the guest: what is over, what has come and gone
DATA = 0x100_0000                    # guest-physical: its buffers
DISK_MIB = 1
BLOCKS = DISK_MIB * (1 << 20) // BLOCK
GROWN = 2 * BLOCKS * SECTORS         # sectors of a disk that has grown
FIRST, SECOND, LUN, PASSED = NAMES = ("first", "second", "LUN 1", "passed through")
LATER = NAMES[1:]


@dataclass(frozen=True)
class DevicesParams:
    """When the host does what with the three disks that come later, and how busy the guest keeps all of them."""

    added_us: int = param(200, "when the host adds three disks", unit="us", low=100, high=600, multiple=100)
    grown_us: int = param(900, "when the host lets the three grow", unit="us", low=100, high=1500, multiple=100)
    removed_us: int = param(1300, "when the host takes the three away", unit="us", low=300, high=1400, multiple=100)
    at_once: bool = param(True, "take them without asking the guest first")
    queue_depth: int = param(4, "requests that the guest keeps in flight at each disk", low=1, high=8, scale="log2")


@dataclass
class Account:
    """The requests of one disk: `done` and `failed` count those that ended in each slice, `under_way` those without an end when it is over."""

    name: str
    submitted: int = 0
    twice: int = 0                   # ends of requests that had one
    done: list[int] = field(default_factory=lambda: [0] * SLICES)
    failed: list[int] = field(default_factory=lambda: [0] * SLICES)
    under_way: list[int] = field(default_factory=lambda: [0] * SLICES)
    there: list[bool] = field(default_factory=lambda: [False] * SLICES)   # the guest has a driver for it, when the slice is over
    sectors: list[int] = field(default_factory=lambda: [0] * SLICES)      # that the guest knows of, when the slice is over
    right: bool = True               # each write that was done is on the medium, as it was written


    def until(self, part: int) -> tuple[int, int, int]:
        """Return how many were done, had failed, and were under way when slice `part` was over."""
        return sum(self.done[:part + 1]), sum(self.failed[:part + 1]), self.under_way[part]


class Event(NamedTuple):
    """At `ns` since the beginning, somebody did or saw `what` with a `disk`: a key of `SAID`, or it was "refused", and `why`."""

    ns: int
    disk: str
    what: str
    why: str = ""

    @property
    def said(self) -> str:
        """It in words; what was refused, with the host's reason."""
        return f"refused: {self.why}" if self.why else SAID[self.what].format(self.disk)


SAID = {"adds": "host adds {}", "has": "guest has got {}", "grows": "host lets {} grow", "sees": "guest sees that {} has grown",
        "takes": "host takes {}", "asks": "host asks for {}", "lets go": "guest has let go of {}"}


@dataclass(frozen=True)
class Story:
    """`accounts` of the disks, in the order of `NAMES`; what happened; `channels` that the guest's bus has at the end."""

    params: DevicesParams
    accounts: list[Account]
    events: list[Event]
    channels: int


class _Load:
    """Keeps some writes going at one disk, each to a block of its own, with bytes of its own."""

    def __init__(self, account: Account, disk: DiskDriver, number: int, depth: int) -> None:
        self.account, self.disk = account, disk
        self._free = [DATA + (number * depth + n) * BLOCK for n in range(depth)]
        self.at: dict[Tag, int] = {}         # what is under way, and where its bytes are
        self.good: dict[int, int] = {}       # block -> the last write there that was done

    def submit(self, cpu: VCpu) -> None:
        """As many as there is room for; a disk that has gone takes none."""
        try:
            while self._free:
                number, gpa = self.account.submitted, self._free[-1]
                cpu.write(gpa, content(self.account.name, number))
                self.disk.submit("write", number % BLOCKS * SECTORS, SECTORS, gpa, number)
                self.at[number] = self._free.pop()
                self.account.submitted += 1
            self.disk.flush_ring()
        except DriverError:
            return

    def take(self, part: int) -> None:
        """Note in a slice what is over."""
        for number, error in self.disk.reap():
            if number not in self.at or not isinstance(number, int):
                self.account.twice += 1
                continue
            self._free.append(self.at.pop(number))
            (self.account.done if error is None else self.account.failed)[part] += 1
            if error is None:
                self.good[number % BLOCKS] = number
            else:
                self.good.pop(number % BLOCKS, None)      # the block may hold this write, or the one before


def content(name: str, number: int) -> bytes:
    """Return the block that only this write of this disk has."""
    return hashlib.sha256(f"{name} {number}".encode()).digest() * (BLOCK // 32)


def _known(disk: DiskDriver) -> int:
    """Return how many sectors the guest believes a disk to have."""
    return disk.identity.sectors if isinstance(disk, StorVsc | Unit) else disk.driver.sectors  # type: ignore[attr-defined]  # an `NvmeDisk`


def _says_resized(disk: DiskDriver) -> bool:
    """Return whether a disk has told its driver that its size is another."""
    return isinstance(disk, StorVsc) and disk.lun in disk.resized or isinstance(disk, Unit) and disk.lun in disk.queue.resized


class _Host:
    """What the host does with the three disks, each at its time; what it refuses is an event, too."""

    def __init__(self, params: DevicesParams) -> None:
        self.params, self.machine, self.events = params, Machine(memory_mib=96), list[Event]()
        self.media = {name: Overlay(pattern(DISK_MIB)) for name in NAMES}
        self.first = attachment("disk", "split")
        self.guest = self.machine.guest("guest", self.first, self.media[FIRST], ram_mib=26, later_mib=8)
        self.machine.power_on()
        self.devices: dict[str, Device] = {}
        self.began = 0

    def begin(self) -> None:
        """Plan it all, from now on."""
        params, self.began = self.params, self.machine.host.env.now
        for name in LATER:
            for us, what, call in ((params.added_us, "adds", self._add), (params.grown_us, "grows", self._grow),
                                   (params.removed_us, "asks" if name == PASSED and not params.at_once else "takes", self._remove)):
                self._at(us * US, name, what, call)

    def note(self, name: str, what: str, why: str = "") -> None:
        """An event, now."""
        self.events.append(Event(self.machine.host.env.now - self.began, name, what, why))

    def _at(self, ns: int, name: str, what: str, call: Callable[[str], object]) -> None:
        def happens() -> None:
            self.note(name, what)
            try:
                call(name)
            except ValueError as refused:
                self.events[-1] = self.events[-1]._replace(what="refused", why=str(refused))
        self.machine.host.at(self.began + ns, lambda _: happens())

    def _add(self, name: str) -> None:
        device, mode = {SECOND: ("disk", "split"), LUN: ("lun", "split"), PASSED: ("disk", "passthrough")}[name]
        options = {"controller": self.first} if name == LUN else {}
        self.devices[name] = self.machine.add(self.guest, attachment(device, mode, **options), self.media[name])

    def _grow(self, name: str) -> None:
        if name not in self.devices:
            raise ValueError(f"{name}: the guest has no such disk")
        self.machine.grow(self.devices[name], GROWN)

    def _remove(self, name: str) -> None:
        if name not in self.devices:
            raise ValueError(f"{name}: the guest has no such disk")
        self.machine.remove(self.devices[name], self.params.at_once)


def run(params: DevicesParams = DevicesParams()) -> Story:
    """Run it; returns the story.  ValueError for a parameter that is not allowed."""
    host = _Host(check(params))
    guest, accounts, loads = host.guest, {name: Account(name) for name in NAMES}, list[_Load]()

    def look(part: int, _: Timeout) -> None:
        for load in loads:
            account, mine = load.account, any(load.disk is each for _, each in guest.mine)
            account.under_way[part], account.there[part] = len(load.at), mine
            account.sectors[part] = _known(load.disk) if mine else 0

    def follow(cpu: VCpu) -> Steps[None]:
        for what, driver in (yield from guest.follow(cpu)):
            if what == "added":
                name = next(name for name, device in host.devices.items() if (device.attachment, driver) in guest.mine)
                loads.append(_Load(accounts[name], driver, len(loads), params.queue_depth))
            else:
                name = next(each.account.name for each in loads if each.disk is driver)
            host.note(name, "has" if what == "added" else "lets go")
        for each in loads:
            if _says_resized(each.disk) and any(each.disk is mine for _, mine in guest.mine):
                try:
                    yield from each.disk.rescan()  # type: ignore[attr-defined]  # a `StorVsc` or a `Unit`
                    host.note(each.account.name, "sees")
                except DriverError:
                    continue                        # it goes, and the next look will see that

    def program(cpu: VCpu, disk: DiskDriver) -> Steps[None]:
        host.begin()
        for part in range(SLICES):
            host.machine.host.at(host.began + (part + 1) * SLICE_US * US, partial(look, part))
        loads.append(_Load(accounts[FIRST], disk, 0, params.queue_depth))
        while cpu.now < host.began + END_NS:
            yield from follow(cpu)
            yield from cpu.pay()
            for each in loads:
                each.take(min((cpu.now - host.began) // (SLICE_US * US), SLICES - 1))
                if any(each.disk is mine for _, mine in guest.mine):
                    each.submit(cpu)
            yield from cpu.hlt(LOOK_NS)
    host.machine.run((guest, program))
    for load in loads:
        load.account.right = all(host.media[load.account.name].read(at * SECTORS, SECTORS) == content(load.account.name, number)
                                 for at, number in load.good.items() if at not in {each % BLOCKS for each in load.at if isinstance(each, int)})
    return Story(params, [accounts[name] for name in NAMES], sorted(host.events), len(guest.platform.bus.channels))
