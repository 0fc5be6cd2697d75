"""Disks that grow under load, and that never shrink."""

import pytest

from tests.live_rig import DATA, MS, Ledger, at, block, check, keep_busy, machine_with
from vmio.drivers.errors import DriverError
from vmio.experiments.pattern import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment


@pytest.mark.parametrize("where", ["alone", "beside another", "passed through"])
def test_a_disk_grows_under_load(where):
    """The guest hears of it with its next request, which is done all the same; nothing else fails, and the new sectors hold what is written."""
    machine = Machine(memory_mib=128)
    mode = "passthrough" if where == "passed through" else "split"
    guest = machine.guest("a", attachment("disk", mode), Overlay(pattern(1)), ram_mib=20)
    other = machine.guest("b", attachment("disk", mode), Overlay(pattern(1)), ram_mib=20) if where == "beside another" else None
    machine.power_on()
    medium = guest.media[0]

    def program(cpu, disk):
        ledger = Ledger(disk, DATA)
        start = machine.host.env.now
        at(machine, start + MS // 2, lambda: machine.grow(guest.attachments[0], 4096))
        yield from keep_busy(cpu, guest, [ledger], start + MS)
        if mode == "split":
            assert disk.resized == {0} and disk.identity.sectors == 2048
            yield from disk.rescan()
            assert disk.identity.sectors == 4096 and not disk.resized
        for lba in (2040, 4088):
            cpu.write(DATA, block(lba) * 2)
            disk.submit("write", lba, min(16, 4096 - lba), DATA, lba)
            disk.flush_ring()
            yield from disk.wait()
            assert disk.reap() == [(lba, None)]
        disk.submit("write", 4096, 1, DATA, "beyond")
        disk.flush_ring()
        yield from disk.wait()
        (_, error), = disk.reap()
        assert isinstance(error, DriverError)
        return ledger

    def neighbour(cpu, disk):
        ledger = Ledger(disk, DATA)
        yield from keep_busy(cpu, other, [ledger], machine.host.env.now + MS)
        return ledger

    ledger, *neighbours = machine.run((guest, program), *([(other, neighbour)] if other else []))
    check(ledger, medium)
    assert not any(ledger.ends.values()) and medium.sectors == 4096
    assert medium.read(2040, 16) == block(2040) * 2 and medium.read(4088, 8) == block(4088)
    assert medium.read(2056, 2032) == bytes(2032 * 512)
    for each in neighbours:
        check(each, other.media[0])
        assert other.media[0].sectors == 2048 and not any(lba >= 2048 for lba in other.media[0].own)


def test_a_disk_does_not_shrink_and_nothing_has_changed():
    machine, guest = machine_with()
    machine.power_on()
    disk, medium = guest.attachments[0], guest.media[0]
    for sectors, why in ((2047, "2,047 sectors instead of 2,048; a disk only grows"), (2048, "it has 2,048"), (1 << 48, "may have up to")):
        with pytest.raises(ValueError, match=why):
            machine.grow(disk, sectors)
    assert medium.sectors == 2048 and disk.vsp.disks[0][0].attention is None and disk.backend.sectors == 2048
    fixed = Machine()
    other = fixed.guest("b", attachment("disk", "emulated"), Overlay(pattern(1)))
    fixed.power_on()
    with pytest.raises(ValueError, match="EmulatedDisk can't grow while its guest runs"):
        fixed.grow(other.attachments[0], 4096)


def test_a_disk_that_is_not_there_yet_or_no_more_does_not_grow_and_its_medium_stays_as_it_was():
    machine, guest = machine_with()
    why = []

    def refused(device):
        with pytest.raises(ValueError) as said:
            machine.grow(device, 4096)
        why.append(str(said.value))
    refused(guest.attachments[0])                       # the machine is off
    machine.power_on()
    later = attachment("disk", "split")
    devices = []

    def change(cpu):
        devices.append(machine.add(guest, later, Overlay(pattern(1))))
        refused(devices[0])
        refused(later)
        yield from cpu.hlt(MS)
        machine.grow(devices[0], 4096)
        machine.remove(devices[0])
        refused(devices[0])                             # nothing was under way
        refused(later)

    guest.run(lambda cpu, disk: change(cpu))
    assert why == ["SplitDisk: no guest that runs has it, so it can't grow", "guest a: SplitDisk is made; only one that is offered can grow",
                   "SplitDisk: no guest that runs has it, so it can't grow", "guest a: SplitDisk is gone; only one that is offered can grow", "SplitDisk: no guest that runs has it, so it can't grow"]
    assert devices[0].medium.sectors == 4096 and guest.media[0].sectors == 2048
