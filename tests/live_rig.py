"""A guest that keeps every disk it has busy while disks come and go, and a ledger of each disk's requests."""

import hashlib

from vmio.drivers.vmbus import Rescinded
from vmio.experiments.pattern import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment

DATA = 0x100_0000
MS = 1_000_000
DEPTH = 8


class Ledger:
    """Each request of a disk, with its end: None for good, or the error."""

    def __init__(self, disk, gpa):
        self.disk, self.ends, self.number = disk, {}, 0
        self.free, self.places = [gpa + n * 4096 for n in range(DEPTH)], {}

    @property
    def under_way(self):
        return len(self.places)

    def submit(self, cpu):
        """Write a block that holds its own number, each to a place of its own; every third request reads it back."""
        number, self.number = self.number, self.number + 1
        at = self.places[number] = self.free.pop()
        try:
            if number % 3 == 2:
                self.disk.submit("read", 8 * (number - 1), 8, at, number)
            else:
                cpu.write(at, block(number))
                self.disk.submit("write", 8 * number, 8, at, number)
        except Rescinded as gone:
            self.ends[number] = gone            # it was told at once
            self.free.append(self.places.pop(number))
            raise

    def take(self):
        """Note the ends that have come."""
        for number, error in self.disk.reap():
            assert number not in self.ends, f"request {number} ended twice"
            self.ends[number] = error
            self.free.append(self.places.pop(number))

    def good(self):
        """Numbers of the writes that were answered well."""
        return [number for number, error in self.ends.items() if error is None and number % 3 != 2]


def block(number):
    """4 KiB that only this request writes."""
    return hashlib.sha256(number.to_bytes(8, "little")).digest() * 128


def keep_busy(cpu, guest, ledgers, until, gpas=None, changes=None):
    """Requests at every disk that there is, `DEPTH` at a time, until `until`; devices are followed."""
    gpas = iter(range(DATA + 0x10_000, DATA + 0x100_000, 0x8000))
    changes = [] if changes is None else changes
    while cpu.now < until or any(each.under_way for each in ledgers):
        for what, driver in (yield from guest.follow(cpu)):
            changes.append((what, driver, cpu.now))
            if what == "added":
                ledgers.append(Ledger(driver, next(gpas)))
            else:
                gone = next(each for each in ledgers if each.disk is driver)
                gone.take()
                assert not gone.under_way
        live = [each for each in ledgers if any(each.disk is driver for _, driver in guest.mine)]
        yield from cpu.pay()
        for each in live:
            each.take()
            try:
                while cpu.now < until and each.under_way < DEPTH and each.number < 240:
                    each.submit(cpu)
                each.disk.flush_ring()
            except Rescinded:
                pass
        if any(each.number < 240 or each.under_way for each in live):
            yield from cpu.hlt(20_000)
        else:
            yield from cpu.hlt(200_000)
        for each in live:
            each.take()
    return changes


def machine_with(*others, later_mib=8, **options):
    machine = Machine(memory_mib=128, **options)
    guest = machine.guest("a", attachment("disk", "split"), Overlay(pattern(1)), ram_mib=28, later_mib=later_mib)
    for other in others:
        guest.attach(*other)
    return machine, guest


def at(machine, ns, call):
    machine.host.at(ns, lambda _: call())


def check(ledger, medium, first=0):
    """What was answered is on the medium, each request ended once, and what failed is on it whole or not at all, sector by sector."""
    assert sorted(ledger.ends) == list(range(ledger.number)) and not ledger.under_way
    for number in range(first, ledger.number):
        if number % 3 == 2:
            continue
        found = medium.read(8 * number, 8)
        if ledger.ends[number] is None:
            assert found == block(number), f"write {number} was answered and is not there"
        else:
            sectors = {bytes(found[i:i + 512]) for i in range(0, 4096, 512)}
            assert sectors <= {block(number)[:512]} | {bytes(pattern(1).read(lba)) for lba in range(8 * number, 8 * number + 8)}
