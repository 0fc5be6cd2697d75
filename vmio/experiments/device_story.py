"""A guest whose disks come, grow and go while it writes to all that it has: how many requests each answers in each slice of time.

The guest starts with one disk by split drivers.  The host then gives it a second one, a third as one more LUN of the first one's
controller, and a fourth that is passed through; one grows; and they are taken away again, one without a word.  Each request is in
the account of its disk once: answered, or failed because the disk had gone.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from vmio.drivers.contracts import DiskDriver, Reaped
from vmio.drivers.errors import DriverError
from vmio.experiments.pattern import pattern
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Tag
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment
from vmio.modes.live import Device

MS = 1_000_000
SLICE_NS, SLICES = MS // 2, 14
DEPTH, BLOCK, SECTORS = 8, 4096, 8
LOOK_NS = 20_000                     # between two looks of the guest: what is over, what has come and gone
DATA = 0x100_0000                    # guest-physical: its buffers
DISK_MIB = 1
BLOCKS = DISK_MIB * (1 << 20) // BLOCK
FIRST, SECOND, LUN, PASSED = NAMES = ("first", "second", "LUN 1", "passed through")


@dataclass
class Account:
    """The requests of one disk: how many were `submitted`, `answered` well, or have `failed`; `per_slice` counts those that ended well in each."""

    name: str
    submitted: int = 0
    answered: int = 0
    failed: int = 0
    twice: int = 0
    per_slice: list[int] = field(default_factory=lambda: [0] * SLICES)
    right: bool = True               # each write that was answered is on the medium, as it was written

    @property
    def lost(self) -> int:
        """Requests without an end."""
        return self.submitted - self.answered - self.failed


@dataclass(frozen=True)
class Story:
    """`accounts` of the disks, in the order of `NAMES`; `events` are (ns since the beginning, what the host did or the guest saw)."""

    accounts: list[Account]
    events: list[tuple[int, str]]
    relids: int                      # channels that the guest's bus has at the end
    grown: int                       # sectors that the guest knows of the disk that grew


class _Load:
    """Keeps `DEPTH` writes going at one disk, each to a block of its own, with bytes of its own."""

    def __init__(self, account: Account, disk: DiskDriver, number: int) -> None:
        self.account, self.disk = account, disk
        self._free = [DATA + (number * DEPTH + n) * BLOCK for n in range(DEPTH)]
        self._at: dict[Tag, int] = {}
        self.good: dict[int, int] = {}       # block -> the last write there that was answered

    def submit(self, cpu: VCpu) -> None:
        """As many as there is room for; a disk that has gone takes none."""
        busy = {number % BLOCKS for number in self._at if isinstance(number, int)}
        try:
            while self._free and self.account.submitted % BLOCKS not in busy:
                number, at = self.account.submitted, self._free[-1]
                cpu.write(at, content(self.account.name, number))
                self.disk.submit("write", number % BLOCKS * SECTORS, SECTORS, at, number)
                self._at[number] = self._free.pop()
                busy.add(number % BLOCKS)
                self.account.submitted += 1
            self.disk.flush_ring()
        except DriverError:
            return

    def take(self, part: int) -> None:
        """Note what is over, in a slice."""
        for number, error in self.disk.reap():
            self._note(part, (number, error))

    def _note(self, part: int, over: Reaped) -> None:
        number, error = over
        if number not in self._at or not isinstance(number, int):
            self.account.twice += 1
            return
        self._free.append(self._at.pop(number))
        if error is not None:
            self.account.failed += 1
            self.good.pop(number % BLOCKS, None)          # the block may hold this write, or the one before
        else:
            self.account.answered += 1
            self.account.per_slice[min(part, SLICES - 1)] += 1
            self.good[number % BLOCKS] = number

    @property
    def under_way(self) -> int:
        """Requests without an end so far."""
        return len(self._at)


def content(name: str, number: int) -> bytes:
    """Return the block that only this write of this disk has."""
    return hashlib.sha256(f"{name} {number}".encode()).digest() * (BLOCK // 32)


def run() -> Story:
    """Return what happened."""
    machine = Machine(memory_mib=96)
    media = {name: Overlay(pattern(DISK_MIB)) for name in NAMES}
    first = attachment("disk", "split")
    guest = machine.guest("guest", first, media[FIRST], ram_mib=26, later_mib=8)
    machine.power_on()
    accounts = {name: Account(name) for name in NAMES}
    devices: dict[str, Device] = {}
    events: list[tuple[int, str]] = []
    kinds = {SECOND: ("disk", "split", {}), LUN: ("lun", "split", {"controller": first}), PASSED: ("disk", "passthrough", {})}

    def add(name: str) -> Callable[[], None]:
        device, mode, options = kinds[name]
        return lambda: devices.update({name: machine.add(guest, attachment(device, mode, **options), media[name])})

    def remove(name: str, at_once: bool = False) -> Callable[[], object]:
        return lambda: machine.remove(devices[name], at_once)
    plan: list[tuple[int, str, Callable[[], object]]] = [
        (1 * MS, f"host adds {SECOND}", add(SECOND)), (2 * MS, f"host adds {LUN}", add(LUN)),
        (3 * MS, f"host adds {PASSED}", add(PASSED)), (7 * MS // 2, f"host lets {LUN} grow", lambda: machine.grow(devices[LUN], 2 * BLOCKS * SECTORS)),
        (9 * MS // 2, f"host takes {SECOND}, unasked", remove(SECOND, True)), (5 * MS, f"host takes {LUN}", remove(LUN)),
        (11 * MS // 2, f"host asks for {PASSED}", remove(PASSED))]
    grown = 0

    def program(cpu: VCpu, disk: DiskDriver) -> Steps[list[_Load]]:
        nonlocal grown
        began = machine.host.env.now

        def at(when: int, what: str, call: Callable[[], object]) -> None:
            def happens() -> None:
                events.append((machine.host.env.now - began, what))
                call()
            machine.host.at(began + when, lambda _: happens())
        for step in plan:
            at(*step)
        loads = [_Load(accounts[FIRST], disk, 0)]
        while cpu.now < began + SLICES * SLICE_NS or any(each.under_way for each in loads):
            part = (cpu.now - began) // SLICE_NS
            for what, driver in (yield from guest.follow(cpu)):
                if what == "added":
                    name = next(name for name, device in devices.items() if any(
                        known is device.attachment and mine is driver for known, mine in guest.mine))
                    loads.append(_Load(accounts[name], driver, len(loads)))
                else:
                    name = next(each.account.name for each in loads if each.disk is driver)
                events.append((cpu.now - began, f"guest has {'got' if what == 'added' else 'let go of'} {name}"))
            yield from cpu.pay()
            for each in loads:
                each.take(part)
                if cpu.now < began + SLICES * SLICE_NS and any(each.disk is mine for _, mine in guest.mine):
                    each.submit(cpu)
                if each.account.name == LUN and each.disk.queue.resized:         # type: ignore[attr-defined]  # a `Unit`
                    grown = (yield from each.disk.rescan()).sectors               # type: ignore[attr-defined]
                    events.append((cpu.now - began, f"guest sees that {LUN} has {grown:,} sectors"))
            yield from cpu.hlt(LOOK_NS)
        yield from cpu.hlt(LOOK_NS)
        return loads
    for load in machine.run((guest, program))[0]:
        load.account.right = all(media[load.account.name].read(at * SECTORS, SECTORS) == content(load.account.name, number)
                                 for at, number in load.good.items())
    return Story([accounts[name] for name in NAMES], sorted(events), len(guest.platform.bus.channels), grown)
