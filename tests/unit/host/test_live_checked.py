"""What a guest's growing, shrinking and changing relies on, each check by itself."""

import pytest

from tests.live_rig import DATA, machine_with
from vmio.experiments.pattern import pattern
from vmio.machine.memory import PAGE, OutOfMemory
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment
from vmio.modes.live import State
from vmio.passthrough.assignment import AssignmentRefused, check_clean
from vmio.vmbus.bus.server import NoChannelLeft
from vmio.vmbus.storage.scsi import CAPACITY_CHANGED, ScsiTarget

MIB = 1 << 20


def test_a_device_is_taken_away_once_and_one_that_was_asked_for_may_be_taken_at_once():
    machine, guest = machine_with()
    machine.power_on()

    def program(cpu, disk):
        coming = machine.add(guest, attachment("disk", "split"), Overlay(pattern(1)))
        with pytest.raises(ValueError, match="is made; only one that is offered can be taken away"):
            machine.remove(coming)
        device = machine.add(guest, attachment("disk", "passthrough"), Overlay(pattern(1)))
        while not (yield from guest.follow(cpu)):
            yield from cpu.hlt(50_000)
        machine.remove(device)
        assert device.state is State.WANTED
        with pytest.raises(ValueError, match="is wanted; only one that is offered"):
            machine.remove(device)
        machine.remove(device, at_once=True)
        assert device.state is State.GONE
        with pytest.raises(ValueError, match="is gone; only one that is offered"):
            machine.remove(device, at_once=True)
        return [state for _, state in device.history]

    assert machine.run((guest, program)) == [[State.MADE, State.OFFERED, State.WANTED, State.WANTED, State.GONE]]


def test_a_bus_without_room_says_so_before_anything_is_made(monkeypatch):
    machine, guest = machine_with()
    machine.power_on()
    monkeypatch.setattr("vmio.vmbus.bus.server.MAX_CHANNELS", 1)
    free = machine.host.memory.free_pages
    with pytest.raises(NoChannelLeft):
        machine.add(guest, attachment("disk", "passthrough"), Overlay(pattern(1)))
    assert machine.host.memory.free_pages == free and not guest.changed and guest.platform.devices == 1


@pytest.mark.parametrize("mode", ["split", "passthrough"])
def test_what_found_no_room_ends_too_when_the_disk_goes(mode):
    """More requests than the ring, or the queue, has room for."""
    machine, guest = machine_with()
    machine.power_on()

    def program(cpu, disk):
        device = machine.add(guest, attachment("disk", mode), Overlay(pattern(1)))
        while not (news := (yield from guest.follow(cpu))):
            yield from cpu.hlt(50_000)
        (_, driver), = news
        for number in range(1500):
            driver.submit("write", 8 * (number % 200), 8, DATA, number)
        waiting = len(driver.waiting if mode == "split" else driver._waiting)
        driver.flush_ring()
        machine.remove(device, at_once=True)
        while not (yield from guest.follow(cpu)):
            yield from cpu.hlt(50_000)
        ends = driver.reap()
        return waiting > 0, len(ends), sorted(number for number, _ in ends) == list(range(1500))

    assert machine.run((guest, program)) == [(True, 1500, True)]


def test_ram_that_is_in_use_is_not_taken():
    guest = Machine(memory_mib=32).host.guest("a", 4)
    guest.lent.append(lambda: [300])
    with pytest.raises(ValueError, match="guest a: RAM at 0x12c000 is in use"):
        guest.take_ram(256 * PAGE, 64 * PAGE)
    guest.take_ram(256 * PAGE, 44 * PAGE)
    assert guest.backing.bytes == (1024 - 44) * PAGE


def test_ram_grows_whole_or_not_at_all():
    host = Machine(memory_mib=16).host
    guest = host.guest("a", 4)
    for gpa, length in ((3 * MIB, MIB), (3 << 30, PAGE), (4 * MIB, 3 << 30)):
        with pytest.raises(ValueError, match="guest a: RAM at .*: between its end, 0x400000, and 0xc0000000"):
            guest.grow(gpa, length)
    while host.memory.free_pages > 512:
        host.memory.allocate(1)
    runs = guest.backing.runs()
    with pytest.raises(OutOfMemory, match="512 pages and up to . for tables asked, 512 left"):
        guest.grow(1 << 30, 2 * MIB)            # enough for the pages, and none for the tables
    assert (guest.ram, guest.backing.end, host.memory.free_pages) == (4 * MIB, 4 * MIB, 512) and guest.backing.runs() == runs


def test_the_guest_pages_of_host_pages_leave_out_what_is_not_its_own():
    guest = Machine(memory_mib=32).host.guest("a", 4)
    spa = guest.backing.spa(15 * PAGE)
    assert list(guest.backing.pages_at(spa, 3 * PAGE)) == [15, 16, 17]
    guest.take_ram(16 * PAGE, PAGE)
    assert list(guest.backing.pages_at(spa, 3 * PAGE)) == [15, 17]


def test_no_function_is_given_to_a_guest_that_was_asked_for_memory():
    guest = Machine(memory_mib=32).host.guest("a", 4)
    guest.memory_asked = "512 pages"

    class Function:
        name, last_guest = "nvme0", None

        def leaves_data(self, guest):
            return False
    with pytest.raises(AssignmentRefused, match="nvme0: guest a was asked for 512 pages, and may give it at any time; wait for its answer"):
        check_clean(Function(), guest, False)


def test_a_unit_attention_waits_for_a_command_that_may_tell_it():
    """SPC-4, "Unit attention condition": INQUIRY is carried out and leaves it, REQUEST SENSE tells it and takes it."""
    target = ScsiTarget(2048)
    target.grow(4096)
    assert target.execute(bytes.fromhex("12 00 00 00 24 00")).status == 0 and target.attention == CAPACITY_CHANGED
    sense = target.execute(bytes.fromhex("03 00 00 00 12 00")).data
    assert (sense[2] & 15, sense[12], sense[13]) == CAPACITY_CHANGED and target.attention is None
    assert target.execute(bytes(6)).status == 0
    target.grow(8192)
    assert target.execute(bytes(6)).status == 2 and target.execute(bytes(6)).status == 0
