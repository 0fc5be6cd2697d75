"""A device given to a guest and taken back: order, refusals, isolation, virtual functions."""

import pytest

from tests.passthrough_rig import BUFFER, DISK, Rig, bus_of, disk_of, one
from vmio.drivers.errors import DriverTimeout
from vmio.hardware.nvme.controller import NvmeController
from vmio.hardware.nvme.pci import NvmeFunction
from vmio.host.block import DeviceAway
from vmio.machine.clock import Clock
from vmio.passthrough.assignment import AssignmentRefused


def reads(cpu, polled=False, lba=8):
    bus = yield from bus_of(cpu)
    disk = yield from disk_of(cpu, bus, polled)
    before = cpu.exits.total
    yield from one(disk, "read", lba, 8)
    return cpu.read(BUFFER, 4096), cpu.exits.total - before


@pytest.mark.parametrize("interrupts, polled, exits", [
    ("injected", False, 1), ("posted", False, 1), ("injected", True, 0), ("posted", True, 0)])
def test_a_guest_reads_with_its_own_driver(interrupts, polled, exits):
    rig = Rig()
    rig.assign(interrupts=interrupts)
    data, count = rig.run(lambda cpu: reads(cpu, polled))
    assert data == DISK[8 * 512:16 * 512] and count == exits


def test_doorbells_do_not_exit_and_the_msix_table_does():
    rig = Rig()
    rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        bus.functions[0].enable()
        bar, before = bus.functions[0].bar(0), cpu.exits.by_device()
        cpu.store(bar + 0x1000, 4, 0)
        cpu.load(bar, 4), cpu.load(bar + 8, 8), cpu.read(bar, 64)
        after = cpu.exits.by_device()
        cpu.store(bar + 0x2000, 4, 0xFEE0_0000)
        cpu.load(bar + 0x3000, 4)
        return after - before, cpu.exits.by_device() - after
    direct, trapped = rig.run(program)
    assert not direct and dict(trapped) == {"nvme0 MSI-X": 2}


def test_the_host_lets_go_and_has_it_again():
    rig, ends = Rig(used=True), []
    page = rig.host.memory.allocate(1)
    layer = rig.disk.layer
    layer.submit("host", "read", 8, 8, [page], ends.append)
    with pytest.raises(AssignmentRefused, match="the host still uses it: 1 requests are under way"):
        rig.assign()
    rig.host.env.run()
    assert ends == [0] and rig.host.memory.read(page, 4096) == DISK[4096:8192]
    lent = rig.assign()
    with pytest.raises(DeviceAway, match="nvme0 is assigned to guest0"):
        layer.submit("host", "read", 8, 8, [page], ends.append)
    assert rig.run(reads)[0] == DISK[4096:8192]
    lent.take_back()
    lent.take_back()
    rig.host.env.run()
    layer.submit("host", "read", 16, 8, [page], ends.append)
    rig.host.env.run()
    assert ends == [0, 0] and rig.host.memory.read(page, 4096) == DISK[8192:12288]


def test_refusals():
    rig = Rig()
    lent = rig.assign()
    for number in (0, 1):
        with pytest.raises(AssignmentRefused, match="nvme0 is assigned to guest0 already"):
            rig.assign(number)
    with pytest.raises(ValueError, match="interrupts 'pigeon'"):
        rig.assign(1, interrupts="pigeon")
    guest = rig.guests[0]
    for what in ("checkpoint", "memory hot-remove"):
        with pytest.raises(ValueError, match=f"guest guest0: no {what} while nvme0 is assigned"):
            guest.check_movable(what)
    with pytest.raises(ValueError, match="take it back first"):
        guest.destroy()
    lent.take_back()
    guest.check_movable("checkpoint")
    rig.host.env.run()
    with pytest.raises(AssignmentRefused, match="holds what guest0 left on it"):
        rig.assign(1)
    rig.function.erase()
    rig.assign(1)
    assert rig.image.read(0, 4096) == bytes(4096 * 512)
    with pytest.raises(ValueError, match="is assigned to guest1"):
        rig.function.erase()


def test_memory_that_is_not_there_is_refused():
    rig = Rig()
    rig.guests[0].slat.unmap(0x5000, 4096)     # what an overcommitting host, or a balloon, would do
    with pytest.raises(AssignmentRefused, match="RAM at 0x5000 is not there.*overcommitted"):
        rig.assign()
    assert rig.function.assigned_to is None and not rig.guests[0].pins
    rig.assign(1)


def test_taken_back_the_device_is_as_new():
    rig = Rig()
    fresh = NvmeController(Clock(), rig.host.memory, rig.image, lambda vector: None)
    config = NvmeFunction(fresh).config
    lent = rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        disk = yield from disk_of(cpu, bus)
        yield from disk.driver._admin("SET FEATURES", 0x09, low=0x04 | 300 << 32)   # a temperature threshold
        yield from one(disk, "write", 0, 64)
    rig.run(program)
    assert rig.function.device.save() != fresh.save()
    lent.take_back()
    assert rig.function.device.save() == fresh.save() and rig.function.pci.config == config
    assert not rig.router.owners and rig.iommu.owner(rig.function.requester) is None
    assert not rig.guests[0].direct.regions and not [r for r in rig.guests[0].mmio.regions if "nvme0" in r.name]
    assert len(rig.iommu.domains) == 0


def test_removal_with_requests_in_flight_is_contained():
    """The answers that the medium still has reach nobody: not the guest, and not who has the device next."""
    rig = Rig()
    lent = rig.assign(interrupts="posted")

    def program(cpu):
        bus = yield from bus_of(cpu)
        disk = yield from disk_of(cpu, bus)
        yield from cpu.pay()
        for n in range(8):
            disk.submit("read", 8 * n, 8, BUFFER + 4096 * n, n)
        disk.flush_ring()
        yield from cpu.hlt(1000)
        rig.host.env.timeout(10).callbacks.append(lambda _: lent.take_back())
        try:
            yield from disk.wait()
        except DriverTimeout:
            pass
        yield from cpu.hlt(1000)
        assert not disk.finished and cpu.load(disk.driver.bar + 0x1C, 4) == 0xFFFF_FFFF
        cpu.store(disk.driver.bar + 0x1008, 4, 5)
        return cpu.read(BUFFER, 8 * 4096)
    assert rig.run(program) == bytes(8 * 4096)
    rig.function.erase()
    rig.assign(1)
    assert rig.run(reads, 1)[0] == bytes(4096)


def test_a_guest_is_asked_first():
    rig, done = Rig(), []
    lent = rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        disk = yield from disk_of(cpu, bus)
        rig.host.env.timeout(10_000).callbacks.append(lambda _: lent.eject(lambda: done.append(rig.host.env.now)))
        while not bus.ejecting:
            yield from one(disk, "read", 0, 8)
        yield from bus.eject()
        return bus
    bus = rig.run(program)
    assert done and done[0] < 10**9 and lent.ended and bus.client.channels == {}
    rig.host.env.run(until=rig.host.env.now + 10**9)
    assert rig.servers[0].channels == {} and rig.function.assigned_to is None


def test_a_guest_that_does_not_answer_loses_it_anyway():
    rig, done = Rig(), []
    lent = rig.assign()
    rig.run(bus_of)
    lent.eject(lambda: done.append(rig.host.env.now))
    rig.host.env.run()
    assert lent.ended and done[0] > 60 * 10**9
    lent = rig.assign(inherit=True)      # nobody has opened the channel: nobody to ask
    lent.eject()
    assert lent.ended


def test_the_guest_may_leave_and_come_back():
    rig = Rig()
    rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        yield from disk_of(cpu, bus)
        yield from bus.close()
        assert not rig.guests[0].direct.regions and not rig.router.owners
        yield from bus.init()
        disk = yield from disk_of(cpu, bus)
        yield from one(disk, "read", 8, 8)
        return cpu.read(BUFFER, 4096)
    assert rig.run(program) == DISK[4096:8192]


def test_a_reset_guest_has_no_device_running():
    rig = Rig()
    rig.assign()
    rig.run(reads)
    rig.guests[0].enlightened.reset()
    rig.host.env.run(until=rig.host.env.now + 10**9)
    assert not rig.function.device.sqs and not rig.guests[0].direct.regions
    assert rig.run(reads)[0] == DISK[4096:8192]
