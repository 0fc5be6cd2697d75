"""A device given to a guest and taken back: order, refusals, isolation, virtual functions."""

import pytest

from tests.passthrough_rig import BUFFER, DISK, LIMIT, MMIO, Rig, bus_of, disk_of, one
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.nvme import NvmeDriver, NvmeError, memory_needed
from vmio.hardware.nvme.controller import NvmeController
from vmio.hardware.nvme.pci import NvmeFunction
from vmio.host.block import DeviceAway
from vmio.machine.clock import Clock
from vmio.passthrough.assignment import AssignmentRefused
from vmio.passthrough.iommu.faults import Reason


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
    assert done and done[0] < 10**9 and lent.over and bus.client.channels == {}
    rig.host.env.run(until=rig.host.env.now + 10**9)
    assert rig.servers[0].channels == {} and rig.function.assigned_to is None


def test_a_guest_that_does_not_answer_loses_it_anyway():
    rig, done = Rig(), []
    lent = rig.assign()
    rig.run(bus_of)
    lent.eject(lambda: done.append(rig.host.env.now))
    rig.host.env.run()
    assert lent.over and done[0] > 60 * 10**9
    lent = rig.assign(inherit=True)      # nobody has opened the channel: nobody to ask
    lent.eject()
    assert lent.over


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


def test_the_disks_own_clock_goes_on():
    """Timestamp (feature 0Eh, NVMe 1.4, 5.21.1.14) counts ms from what the guest set."""
    rig = Rig()
    rig.assign()

    def program(cpu):
        disk = yield from disk_of(cpu, (yield from bus_of(cpu)))
        cpu.write(BUFFER, (1_000_000).to_bytes(8, "little"))
        yield from disk.driver._admin("SET FEATURES", 0x09, page=BUFFER, low=0x0E)
        while (yield from cpu.hlt(5_000_000)):        # the answer's interrupt wakes it first
            pass
        yield from disk.driver._admin("GET FEATURES", 0x0A, page=BUFFER, low=0x0E)
        return int.from_bytes(cpu.read(BUFFER, 6), "little")
    assert rig.run(program) == 1_000_005


def test_dma_outside_of_the_guest_is_a_status_and_a_record():
    rig = Rig()
    secret = rig.guests[1].ram_spa(0)
    rig.host.memory.write(secret, b"secret" * 100)
    rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        disk = yield from disk_of(cpu, bus)
        cpu.write(BUFFER, b"evil" * 1024)
        statuses = []
        for address in (rig.guests[0].ram, secret, 1 << 40, 0xFEE0_0000):
            for kind in ("read", "write"):
                try:
                    yield from one(disk, kind, 0, 8, address)
                except NvmeError as error:
                    statuses.append(error.status & 0x7FF)
        yield from one(disk, "read", 8, 8)
        return statuses, cpu.read(BUFFER, 4096)
    statuses, data = rig.run(program)
    assert statuses == [4] * 8 and data == DISK[4096:8192]
    assert rig.host.memory.read(secret, 600) == b"secret" * 100 and rig.image.read(0, 8) == DISK[:4096]
    assert rig.iommu.faults.counts[Reason.WRITE] == rig.iommu.faults.counts[Reason.READ] == 3
    assert {record[0] for record in rig.iommu.faults.taken()} == {rig.function.requester}


def test_without_an_iommu_it_reaches_everything():
    """What the IOMMU is for: the same driver, the neighbour's page."""
    rig = Rig(enabled=False)
    secret = rig.guests[1].ram_spa(0)
    lent = rig.assign()
    spa = rig.guests[0].ram_spa(0)

    def program(cpu):
        bus = yield from bus_of(cpu)
        bus.functions[0].enable()
        driver = NvmeDriver(cpu, bus.functions[0].bar(0), 0x20_0000, memory_needed(16), 16, address=lambda at: at + spa)
        yield from driver.init()
        yield from driver.read(8, 8, secret)
    rig.run(program)
    assert rig.host.memory.read(secret, 4096) == DISK[4096:8192]
    lent.take_back()


def test_an_interrupt_that_is_not_its_own_is_refused():
    rig = Rig(vcpus=2)
    rig.assign()
    foreign = rig.router.create(0x99, rig.guests[1].cpu, 0x80)

    def program(cpu):
        bus = yield from bus_of(cpu)
        disk = yield from disk_of(cpu, bus)
        table = bus.functions[0].bar(0) + 0x2010
        refused = []
        for address, data in (foreign, (0xFEE0_0000, 0x80), (0xFEE0_0000 | 200 << 5 | 0x10, 0), (BUFFER, 0x1234_5678)):
            for at, value in ((0, address), (8, data)):
                cpu.store(table + at, 4, value)
            disk.submit("read", 0, 8, BUFFER + 8192, "x")
            disk.flush_ring()
            yield from cpu.hlt(10**7)
            refused.append(rig.function.pci.blocked)
            disk.interrupt(cpu)
        return refused, [tag for tag, error in disk.reap()], cpu.load(BUFFER, 4)
    refused, over, word = rig.run(program)
    assert refused == [1, 2, 3, 3] and over == ["x"] * 4
    assert word == 0x1234_5678          # a message is a write: to its own memory it may
    assert not rig.guests[1].cpu.apic.irr and not rig.guests[1].cpu.interrupts
    counts = rig.iommu.faults.counts
    assert counts[Reason.IR_REQUESTER] == counts[Reason.IR_COMPATIBILITY] == counts[Reason.IR_NOT_PRESENT] == 1


def test_a_masked_vector_waits_and_unmasking_it_exits():
    rig = Rig()
    rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        disk = yield from disk_of(cpu, bus)
        control = bus.functions[0].bar(0) + 0x201C
        cpu.store(control, 4, 1)
        disk.submit("read", 0, 8, BUFFER, "x")
        disk.flush_ring()
        slept = yield from cpu.hlt(10**7)
        pending, before = cpu.load(control - 0x1C + 0x1000 - 0x10 + 0x10, 4), cpu.exits.by_device()
        cpu.store(control, 4, 0)
        return slept, pending, disk.reap(), dict(cpu.exits.by_device() - before)
    slept, pending, over, exits = rig.run(program)
    assert not slept and pending == 2 and over == [("x", None)]
    assert exits["nvme0 MSI-X"] == 1


def test_two_vcpus_may_take_the_interrupt():
    rig = Rig(vcpus=2)
    rig.assign(interrupts="posted")
    second, taken = rig.guests[0].vcpus[1], []

    def program(cpu):
        bus = yield from bus_of(cpu)
        function = bus.functions[0]
        function.enable()
        yield from function.connect(1, 0x60, lambda cpu: taken.append(cpu.index), cpu=second)
        driver = NvmeDriver(cpu, function.bar(0), 0x20_0000, memory_needed(16), 16, vectors=[1])
        yield from driver.init()
        driver.submit("read", 0, 1, [BUFFER], "x")
        driver.ring_doorbell()
        yield from cpu.hlt(10**6)

    def other(cpu):
        yield from cpu.hlt(LIMIT // 2)
    rig.host.run((rig.guests[0].cpu, program), (second, other), limit_ns=LIMIT)
    assert taken == [1]


def test_the_window_shows_identity_and_no_host_address():
    rig = Rig()
    rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        function = bus.functions[0]
        seen = {at: function.read(at, 4) for at in range(0, 0x100, 4)}
        before = cpu.exits.by_device()["vpci config"]
        function.read(0, 4)
        with pytest.raises(DriverError):
            function.bar(2)
        with pytest.raises(DriverError, match="no capability 0x5"):
            function.capability(5)
        beyond = cpu.load(bus.window + 0x1100, 4), bus.read_config(1, 0, 4)
        return seen, cpu.exits.by_device()["vpci config"] - before, beyond
    seen, exits, beyond = rig.run(program)
    assert seen[0] == 0x0010_1B36 and seen[8] == 0x0108_0202
    assert (seen[0x10] | seen[0x14] << 32) & -16 >= MMIO and beyond == (0xFFFF_FFFF,) * 2
    assert exits > 2
