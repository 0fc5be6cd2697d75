"""Machines put together from attachments: several guests, several devices, every mode, in a few lines."""

import pytest

from vmio.drivers.errors import DriverError
from vmio.experiments.disk import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import ATTACHMENTS, Machine, attachment

DATA = 0x100_0000      # guest-physical: free in every mode
SECTOR = 512


def sector(lba):
    """What `pattern` has there."""
    return lba.to_bytes(8, "little") * 64


def copy_one(source, target, at=DATA):
    """A program: read a sector of the first disk at `source`, write it at `target` of the last."""
    def program(cpu, *disks):
        for disk, kind, lba in ((disks[0], "read", source), (disks[-1], "write", target)):
            disk.submit(kind, lba, 1, at, kind)
            disk.flush_ring()
            done = []
            while not done:
                yield from disk.wait()
                done = disk.reap()
            assert done == [(kind, None)]
        return cpu.exits.by_device()
    return program


def test_three_guests_three_modes_one_host():
    media = [Overlay(pattern(1)) for _ in range(3)]
    machine = Machine()
    guests = [machine.guest(mode, attachment("disk", mode), medium, ram_mib=20)
              for mode, medium in zip(("emulated", "split", "passthrough"), media)]
    machine.power_on()
    exits = machine.run(*((guest, copy_one(7 + n, 100)) for n, guest in enumerate(guests)))
    assert [medium.read(100) for medium in media] == [sector(7), sector(8), sector(9)]
    assert [sorted(medium.own) for medium in media] == [[100], [100], [100]]
    assert "ata" in exits[0] and "ata" not in exits[1] and "ata" not in exits[2]


@pytest.mark.parametrize("first", ["emulated", "split", "passthrough"])
@pytest.mark.parametrize("second", ["split", "passthrough"])
def test_one_guest_with_two_disks_in_two_modes(first, second):
    media = [Overlay(pattern(1)) for _ in range(2)]
    machine = Machine()
    guest = machine.guest("g", attachment("disk", first), media[0], ram_mib=20)
    guest.attach(attachment("disk", second), media[1])
    machine.power_on()
    machine.run((guest, copy_one(11, 5)))
    assert media[1].read(5) == sector(11) and not media[0].own


def test_disks_of_two_sizes_are_two_physical_disks():
    media = [Overlay(pattern(1)), Overlay(pattern(2))]
    machine = Machine()
    guests = [machine.guest(f"g{n}", attachment("disk", "split"), medium) for n, medium in enumerate(media)]
    machine.power_on()
    machine.run(*((guest, copy_one(3 + n, 2047)) for n, guest in enumerate(guests)))
    assert [medium.read(2047) for medium in media] == [sector(3), sector(4)]


def test_an_error_of_the_emulated_disk_comes_with_its_request():
    machine = Machine()
    guest = machine.guest("g", attachment("disk", "emulated"), Overlay(pattern(1)), ram_mib=20)
    machine.power_on()

    def program(cpu, disk):
        disk.submit("read", 2048, 1, DATA, "past the end")
        disk.submit("read", 2047, 1, DATA, "the last")
        found = []
        while len(found) < 2:
            yield from disk.wait()
            found += disk.reap()
        return found
    (late, last), = machine.run((guest, program))
    assert late[0] == "past the end" and isinstance(late[1], DriverError) and last == ("the last", None)


def test_what_there_is_not_is_refused_in_words():
    with pytest.raises(ValueError, match="attachment disk virtio: choose one of disk emulated, disk split, disk split by virtio, disk passthrough"):
        attachment("disk", "virtio")
    with pytest.raises(ValueError, match="transfer dma: a disk that offers no DMA moves its data by pio or multiple"):
        attachment("disk", "emulated", transfer="dma", offers_dma=False)
    machine = Machine()
    guest = machine.guest("g", attachment("disk", "emulated"), Overlay(pattern(1)))
    guest.attach(attachment("disk", "emulated"), Overlay(pattern(1)))
    with pytest.raises(ValueError, match="guest g: has an emulated disk already"):
        machine.power_on()


def test_nothing_is_planned_once_the_machine_runs():
    machine = Machine()
    guest = machine.guest("g", attachment("disk", "split"), Overlay(pattern(1)))
    machine.power_on()
    with pytest.raises(ValueError, match="attach devices before power_on"):
        guest.attach(attachment("disk", "split"), Overlay(pattern(1)))
    with pytest.raises(ValueError, match="plan guests before power_on"):
        machine.guest("h", attachment("disk", "split"), Overlay(pattern(1)))


def test_every_attachment_has_what_the_contract_says():
    for (device, _), kind in ATTACHMENTS.items():
        made = kind(bytes(6)) if device == "net" else kind()
        assert made.driver_memory >= 1 << 20 and isinstance(made.in_memory, bool)
        assert callable(made.watch)
        assert callable(made.plug) and callable(made.boot) and callable(kind.backends)
