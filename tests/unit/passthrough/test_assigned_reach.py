"""What an assigned disk reaches, and who takes its interrupts: its domain, its own messages, the vCPU that it was told."""

import pytest

from tests.passthrough_rig import BUFFER, DISK, LIMIT, MMIO, Rig, bus_of, disk_of, one
from vmio.drivers.errors import DriverError
from vmio.drivers.nvme import NvmeDriver, NvmeError, memory_needed
from vmio.passthrough.iommu.faults import Reason


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
