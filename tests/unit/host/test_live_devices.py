"""Disks that come and go under load: every request has exactly one end, and what was answered is on the medium."""

import pytest

from tests.live_rig import DATA, DEPTH, MS, Ledger, at, check, keep_busy, machine_with
from vmio.drivers.errors import DriverError
from vmio.experiments.pattern import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import attachment
from vmio.modes.live import State


@pytest.mark.parametrize("mode", ["split", "passthrough"])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_disk_comes_and_goes_under_load(mode, at_once):
    machine, guest = machine_with()
    machine.power_on()
    medium, kept = Overlay(pattern(1)), {}

    def add():
        kept["device"] = machine.add(guest, attachment("disk", mode), medium)

    def remove():
        machine.remove(kept["device"], at_once)

    def program(cpu, disk):
        start = machine.host.env.now
        at(machine, start + MS, add)
        at(machine, start + 5 * MS // 2, remove)
        ledgers = [Ledger(disk, DATA)]
        kept["changes"] = yield from keep_busy(cpu, guest, ledgers, start + 4 * MS)
        yield from cpu.hlt(MS)
        return ledgers

    (first, second), = machine.run((guest, program))
    device = kept["device"]
    assert [state for _, state in device.history] == [State.MADE, State.OFFERED, State.WANTED, State.GONE]
    assert [what for what, _, _ in kept["changes"]] == ["added", "removed"]
    check(first, guest.media[0])
    check(second, medium)
    assert all(error is None for error in first.ends.values()) and len(second.ends) > 2 * DEPTH
    failed = [error for error in second.ends.values() if error is not None]
    assert all(isinstance(error, DriverError) for error in failed)
    if mode == "passthrough" and not at_once:
        assert not failed                       # it was asked, and has finished first
    server = guest.platform.bus
    assert len(server.channels) == 1 and not server.refused and len(guest.attachments) == 1 and guest.platform.devices == 1


def test_a_lun_comes_and_goes_on_a_controller_that_works():
    """Nothing of it fails but what is asked for after it has gone, and the first disk notices nothing."""
    machine, guest = machine_with()
    machine.power_on()
    medium, kept = Overlay(pattern(1)), {}

    def add():
        kept["device"] = machine.add(guest, attachment("lun", "split", controller=guest.attachments[0]), medium)

    def program(cpu, disk):
        start = machine.host.env.now
        at(machine, start + MS, add)
        at(machine, start + 3 * MS // 2, lambda: machine.remove(kept["device"]))
        ledgers = [Ledger(disk, DATA)]
        kept["changes"] = yield from keep_busy(cpu, guest, ledgers, start + 3 * MS)
        return ledgers

    (first, second), = machine.run((guest, program))
    assert kept["device"].state is State.GONE and [what for what, _, _ in kept["changes"]] == ["added", "removed"]
    check(first, guest.media[0])
    check(second, medium)
    assert not any(first.ends.values())
    failed = [error for error in second.ends.values() if error is not None]
    assert len(second.good()) > DEPTH and all("SRB status 0x20" in str(error) for error in failed)
    assert guest.attachments[0].vsp.disks.keys() == {0} and not guest.attachments[0].vsp.leaving


def test_a_unit_leaves_when_its_last_request_is_over():
    machine, guest = machine_with()
    machine.power_on()

    def program(cpu, disk):
        device = machine.add(guest, attachment("lun", "split", controller=guest.attachments[0], lun=5), Overlay(pattern(1)))
        assert device.state is State.MADE        # its physical disk is not up yet
        while not (news := (yield from guest.follow(cpu))):
            yield from cpu.hlt(100_000)
        (_, unit), = news
        assert unit.identity.luns == (0, 5) and unit.lun == 5
        unit.submit("write", 0, 8, DATA, "last")
        unit.flush_ring()
        while not guest.attachments[0].vsp.in_flight:
            yield from cpu.hlt(1_000)            # the host has taken it
        machine.remove(device)
        assert device.state is State.WANTED and len(guest.attachments[0].vsp.leaving) == 1
        yield from unit.wait()
        assert unit.reap() == [("last", None)] and device.state is State.GONE
        with pytest.raises(DriverError, match="SRB status 0x20"):
            yield from unit.read(0, 8, DATA)
        news = yield from guest.follow(cpu)
        return news == [("removed", unit)]

    assert machine.run((guest, program)) == [True]


def test_what_can_not_come_or_go_is_refused_with_one_sentence():
    machine, guest = machine_with()
    with pytest.raises(ValueError, match="the machine is off; plan the device with attach"):
        machine.add(guest, attachment("disk", "split"), Overlay(pattern(1)))
    machine.power_on()
    disk = guest.attachments[0]
    for bad, medium, why in (
            (attachment("disk", "emulated"), Overlay(pattern(1)), "the board has no hot plug"),
            (attachment("disk", "split"), None, "a medium or a backend is needed"),
            (disk, Overlay(pattern(1)), "the guest has it already")):
        with pytest.raises(ValueError, match=why):
            machine.add(guest, bad, medium)
    with pytest.raises(ValueError, match="no guest of this machine has it"):
        machine.remove(attachment("disk", "split"))
    assert guest.attachments == [disk] and guest.platform.devices == 1 and not guest.changed


def test_a_lun_that_is_taken_is_refused_at_once_also_by_one_that_is_on_its_way():
    """A disk's backend takes its time: what can't come is said before that, as there is nobody to hear it afterwards."""
    machine, guest = machine_with()
    machine.power_on()
    first = guest.attachments[0]

    def add(**options):
        return machine.add(guest, attachment("lun", "split", **options), Overlay(pattern(1)))

    def program(cpu, disk):
        device = add(controller=first, lun=5)
        assert device.state is State.MADE
        for lun, taken in ((5, "0, 5"), (0, "0, 5"), (64, "0, 5")):
            with pytest.raises(ValueError, match=f"SCSI controller of a: LUN {lun}; 0 to 63 but {taken}$"):
                add(controller=first, lun=lun)
        with pytest.raises(ValueError, match="a LUN needs the controller of a split disk that this guest has already"):
            add()
        further = [add(controller=first), add(controller=first)]
        yield from cpu.hlt(3 * MS)
        assert {each.state for each in (device, *further)} == {State.OFFERED} and [each.attachment.lun for each in further] == [1, 2]
        return sorted(first.vsp.disks), first.vsp.promised

    assert machine.run((guest, program)) == [([0, 1, 2, 5], set())]


def test_a_controller_with_more_disks_stays():
    machine, guest = machine_with((attachment("lun", "split"), Overlay(pattern(1))))
    guest.attachments[1].controller = guest.attachments[0]
    machine.power_on()
    with pytest.raises(ValueError, match="1 more disks are on its controller; remove them first"):
        machine.remove(guest.attachments[0])
