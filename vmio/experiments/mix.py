"""A test environment of mixed guests and hosts: each guest on each host, as a run of its own, and what came of it.

A run brings up a disk and a network card, by the first of the guest's drivers that its host does not refuse, then reads
blocks of 4 KiB, compares their bytes, and pings a station.  What happens is not looked up in a table of versions: drivers and
host negotiate, and the `Cell` says what they said.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from vmio.drivers.contracts import Reaped
from vmio.drivers.errors import DriverError
from vmio.drivers.storvsc import StorVsc
from vmio.experiments import mix_kinds as k
from vmio.experiments import many, net_ping
from vmio.experiments.mix_lies import HONEST, LIES, Lie, lie as lie_of
from vmio.experiments.mix_machine import DRIVERS, Mixed
from vmio.experiments.mix_result import Cell, Device, Try
from vmio.experiments.pattern import pattern
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.vmbus.bus import messages as m
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.storage import vstor as v

DISK_MIB = 1
READS, PINGS = 4, 4          # that are counted; one more goes before the reads
BLOCK, SECTORS = 4096, 8
OF_A_DISK = ("ata", "bus master", "nvme", "virtio", "virtio doorbell")        # who answers for a disk's registers, in rows of exits
OF_A_CARD = ("tulip", "virtio", "virtio doorbell")
ALL_GUESTS, ALL_HOSTS, ALL_LIES = [kind.name for kind in k.GUESTS], [kind.name for kind in k.HOSTS], [each.name for each in LIES]
Point = tuple[str, str, str]                 # guest, host, lie
KEPT: dict[Point, Cell] = {}                 # what was run in this process
Each = tuple[float, float, float]            # exits, those that the device's registers had, interrupts


class Wrong(Exception):
    """A device that worked did not do what was asked."""


def run(guest: str, host: str, lie: str = HONEST.name) -> Cell:
    """Let a guest run on a host, both by their names, and return the `Cell`; ValueError for a name that there isn't."""
    return meet(k.guest(guest), k.host(host), lie_of(lie))


def meet(guest: k.GuestKind, host: k.HostKind, lie: Lie = HONEST) -> Cell:
    """Let any guest run on any host, and return the `Cell`."""
    mixed = Mixed(guest, host, pattern(DISK_MIB), lie)
    found: list[Device] = []
    served: list[bool] = []
    neighbour = mixed.neighbour

    def program(cpu: VCpu) -> Steps[None]:
        found.append((yield from _use(mixed, cpu, "disk", mixed.kind.disk)))
        found.append((yield from _use(mixed, cpu, "network", mixed.kind.net)))

    def beside(cpu: VCpu, disk: Any) -> Steps[None]:
        yield from _read(cpu, disk, cpu.guest.ram - BLOCK)
        served.append(True)
    programs = [(mixed.guest, program)] if neighbour is None else [(mixed.guest, program), (neighbour, beside)]
    mixed.machine.run(*programs)
    return Cell(guest.name, host.name, lie.name, found[0], found[1], _asked(mixed), None if neighbour is None else bool(served))


def at(point: Point) -> Cell:
    """Return the cell of (guest, host, lie); whatever goes wrong in its run is the cell's, and stops no other."""
    try:
        return run(*point)
    except Exception as error:  # noqa: BLE001  # a driver's error that nobody has foreseen is what a test environment is for
        k.guest(point[0]), k.host(point[1]), lie_of(point[2])          # but a name that there isn't is the caller's
        wrong = Device("disk", (Try(k.guest(point[0]).disk[0]),), broke=f"the run ended with {type(error).__name__}: {error}")
        return Cell(*point, wrong, replace(wrong, what="network"), {})


def cell(guest: str, host: str, lie: str = HONEST.name) -> Cell:
    """Return the cell of a guest on a host, run now or remembered."""
    point = guest, host, lie
    if point not in KEPT:
        KEPT[point] = at(point)
    return KEPT[point]


def matrix(guests: Sequence[str] = ALL_GUESTS, hosts: Sequence[str] = ALL_HOSTS, lie: str = HONEST.name) -> list[Cell]:
    """Return the cell of each guest on each host, guest after guest."""
    return [cell(guest, host, lie) for guest in guests for host in hosts]


def sweep(guests: Sequence[str] = ALL_GUESTS, hosts: Sequence[str] = ALL_HOSTS, lies: Sequence[str] = ALL_LIES) -> list[Cell]:
    """Return all cells of the matrices of several lies, guest by guest; what is not remembered is run on all cores (`many`)."""
    return many.run(at, list(product(guests, hosts, lies)), KEPT, what="cells")


def _use(mixed: Mixed, cpu: VCpu, what: str, drivers: Sequence[str]) -> Steps[Device]:
    """Bring up the first driver that is not refused, and use its device; a generator that returns the `Device`."""
    tries: list[Try] = []
    before = cpu.exits.total
    for name in drivers:
        try:
            driver = yield from mixed.start(cpu, name)
        except DriverError as error:
            tries.append(Try(name, str(error)))
            continue
        tries.append(Try(name))
        setup = cpu.exits.total - before
        try:
            exits, at_device, interrupts = yield from (_read(cpu, driver, DRIVERS) if what == "disk" else _ping(cpu, driver))
        except (DriverError, Wrong) as error:
            return Device(what, tuple(tries), setup, broke=str(error))
        return Device(what, tuple(tries), setup, exits, at_device, interrupts)
    return Device(what, tuple(tries), cpu.exits.total - before)


class _Since:
    """What a vCPU has counted since it was made, a time."""

    def __init__(self, cpu: VCpu, devices: Sequence[str]) -> None:
        self.cpu, self.devices = cpu, devices
        self.before = self._now()

    def _now(self) -> tuple[int, int, int]:
        exits = self.cpu.exits.by_device()
        return self.cpu.exits.total, sum(exits[name] for name in self.devices), self.cpu.interrupts

    def each(self, times: int) -> Each:
        """Return what each of so many has counted."""
        exits, at_device, interrupts = ((now - was) / times for now, was in zip(self._now(), self.before))
        return exits, at_device, interrupts


def _read(cpu: VCpu, disk: Any, gpa: int) -> Steps[Each]:
    """Read one block after the other to `gpa`, and compare; returns what each but the first has counted.  A split disk's last sector is read, too."""
    since = _Since(cpu, OF_A_DISK)
    for number in range(1 + READS):
        if number == 1:
            since = _Since(cpu, OF_A_DISK)
        lba = number * SECTORS
        yield from _block(cpu, disk, lba, SECTORS, gpa)
        if cpu.read(gpa, BLOCK) != pattern(DISK_MIB).read(lba, SECTORS):
            raise Wrong(f"the bytes of sectors {lba} to {lba + SECTORS - 1} are not the disk's")
    counted = since.each(READS)
    if isinstance(disk, StorVsc):
        last = disk.identity.sectors - 1
        try:
            yield from _block(cpu, disk, last, 1, gpa)
        except DriverError as error:
            raise Wrong(f"sector {last:,}, the last that the disk says it has: {error}") from None
    return counted


def _block(cpu: VCpu, disk: Any, lba: int, sectors: int, gpa: int) -> Steps[None]:
    """Read so many sectors; `DriverError` if the disk says so."""
    done: list[Reaped] = []
    yield from cpu.pay()
    disk.submit("read", lba, sectors, gpa, lba)
    disk.flush_ring()
    while not done:
        yield from disk.wait()
        done = disk.reap()
    if done[0][1] is not None:
        raise done[0][1]


def _ping(cpu: VCpu, card: Any) -> Steps[Each]:
    """Ping, and pause before each; the pauses are not counted."""
    counted: list[Each] = []
    for number in range(PINGS):
        yield from net_ping.rest(cpu, card)
        since = _Since(cpu, OF_A_CARD)
        answers: list[bytes] = []
        card.send(net_ping.request(number))
        last = cpu.now + net_ping.PAUSE_NS
        while (not answers or card.pending) and cpu.now < last:
            yield from card.wait(last)
            answers += card.reap()
        if len(answers) != 1:
            raise Wrong(f"ping {number + 1}: {len(answers)} answers within {net_ping.PAUSE_NS // 1_000_000} ms")
        counted.append(since.each(1))
    exits, at_device, interrupts = (sum(one) / PINGS for one in zip(*counted))
    return exits, at_device, interrupts


def _asked(mixed: Mixed) -> dict[str, tuple[tuple[str, bool], ...]]:
    """What was asked for and answered, protocol by protocol, as the guest's drivers have it."""
    storage = getattr(mixed.parts.get(k.SCSI), "disk", None)
    network = next((part.driver for name in (k.FUNCTION, k.NIC) if (part := mixed.parts.get(name)) is not None and hasattr(part, "driver")), None)
    function = getattr(mixed.parts.get(k.NVME), "bus", None)
    tried = {"VMBus": (mixed.tried, m.version_text), "vPCI": (getattr(function, "tried", {}), m.version_text),
             "storage": (getattr(storage, "tried", {}), v.version_text), "network": (getattr(network, "tried", {}), n.version_text)}
    return {name: tuple((text(version), yes) for version, yes in said.items()) for name, (said, text) in tried.items() if said}
