"""Invalidation, by register and by queue: several descriptors at once, fields that don't count, the last places."""

from struct import pack

import pytest

from tests.unit.passthrough.test_vtd_registers import DEVICE, QUEUE_ERROR, Machine
from vmio.machine.memory import PAGE, HostMemory
from vmio.passthrough.iommu import vtd
from vmio.passthrough.iommu.iommu import Iommu

IOTLB_ALL, IOTLB_PAGE = 2 | 1 << 4, 2 | 3 << 4 | 5 << 16


@pytest.fixture
def machine():
    return Machine().translate()


def batch(machine, *descriptors):
    """Write descriptors one after the other from where the queue is, then move the tail once."""
    for low, high in descriptors:
        machine.memory.write(machine.queue + machine.tail, pack("<QQ", low, high))
        machine.tail = (machine.tail + 16) % PAGE
    machine.put(vtd.IQT, machine.tail, 8)


def wait(value, address):
    return 5 | 1 << 5 | value << 32, address


def cached(machine):
    return sorted(entry.address for entry in machine.remapper.iotlb)


def test_descriptors_side_by_side_do_not_run_into_each_other(machine):
    machine.queued()
    for page in range(3):
        machine.space.read(0x10000 + page * PAGE, 1)
    batch(machine, (IOTLB_PAGE, 0x11000), wait(0xAAAA, machine.target), wait(0xBBBB, machine.target + 4),
          (IOTLB_PAGE, 0x10000), wait(0xCCCC, machine.target + 8), (0xF3 << 56 | 6, (1 << 64) - 1), wait(0xDDDD, machine.target + 12))
    assert machine.get(vtd.FSTS) == 0 and machine.get(vtd.IQH, 8) == machine.tail == 7 * 16
    assert machine.memory.read(machine.target, 20) == b"".join(
        value.to_bytes(4, "little") for value in (0xAAAA, 0xBBBB, 0xCCCC, 0xDDDD, 0))
    assert cached(machine) == [0x12000]


def test_the_queue_goes_round(machine):
    machine.queued()
    for turn in range(2):
        for n in range(256):
            batch(machine, wait(n + 1000 * turn, machine.target))
            assert machine.memory.read(machine.target, 4) == (n + 1000 * turn).to_bytes(4, "little")
    assert machine.get(vtd.IQH, 8) == 0 and machine.get(vtd.FSTS) == 0


def test_what_comes_before_a_bad_descriptor_is_done_and_what_comes_after_waits(machine):
    machine.queued()
    machine.space.read(0x10000, 1)
    batch(machine, wait(1, machine.target), (0, 0), (IOTLB_ALL, 0))
    assert machine.get(vtd.FSTS) == QUEUE_ERROR and machine.get(vtd.IQH, 8) == 16 and cached(machine) == [0x10000]
    assert machine.memory.read(machine.target, 1) == b"\1"
    machine.put(vtd.IQT, 48, 8)
    assert machine.get(vtd.IQH, 8) == 16                        # stopped
    machine.memory.write(machine.queue + 16, pack("<QQ", *wait(2, machine.target)))
    machine.put(vtd.FSTS, QUEUE_ERROR)
    machine.put(vtd.IQT, 48, 8)
    assert machine.get(vtd.IQH, 8) == 48 and cached(machine) == [] and machine.memory.read(machine.target, 1) == b"\2"


@pytest.mark.parametrize("kind", [1, 2])
def test_the_number_of_pages_counts_for_pages_only(machine, kind):
    machine.space.read(0x10000, 1)
    machine.put(vtd.IVA, 0x5000 | 0x3F, 8)
    machine.put(vtd.IOTLB, 1 << 63 | kind << 60 | 5 << 32, 8)
    assert machine.get(vtd.IOTLB + 4) >> 25 & 3 == kind and cached(machine) == []
    machine.queued()
    machine.space.read(0x10000, 1)
    batch(machine, (2 | kind << 4 | 5 << 16, 0x5000 | 0x3F))
    assert machine.get(vtd.FSTS) == 0 and cached(machine) == []


@pytest.mark.parametrize("log2, gone", [(0, {0x12}), (1, {0x12, 0x13}), (2, {0x10, 0x11, 0x12, 0x13}), (18, {0x10, 0x11, 0x12, 0x13})])
def test_so_many_pages_aligned_to_their_number(machine, log2, gone):
    pages = range(0x10, 0x14)
    for page in pages:
        machine.space.read(page << 12, 1)
    machine.put(vtd.IVA, 0x12000 | log2, 8)
    machine.put(vtd.IOTLB, 1 << 63 | 3 << 60 | 5 << 32, 8)
    assert [page << 12 for page in pages if page not in gone] == cached(machine)
    assert machine.get(vtd.IOTLB + 4) >> 25 & 3 == 3


def test_walks_are_counted_and_one_requester_is_forgotten_alone(machine):
    remapper = machine.remapper
    assert remapper.walks == 0
    for reads, walks in ((1, 1), (2, 1)):
        machine.space.read(0x10000, 1)
        assert remapper.walks == walks, reads
    remapper._contexts.update({DEVICE + n: remapper._contexts[DEVICE] for n in (1, 2, 4)})
    remapper.forget_contexts(DEVICE)
    assert sorted(remapper._contexts) == [DEVICE + 1, DEVICE + 2, DEVICE + 4]
    remapper.forget_contexts(DEVICE, 6)
    assert sorted(remapper._contexts) == [DEVICE + 1]


@pytest.mark.parametrize("records", [1, 4])
def test_there_is_nothing_behind_the_last_fault_record(records):
    machine = Machine(records).translate()
    machine.fault()
    before = machine.remapper.faults.save()
    for at in range(vtd.FRCD + 16 * records, vtd.FRCD + 18 * records + 16, 4):
        machine.put(at, 0xFFFF_FFFF)
        assert machine.get(at) == 0
    for at in (vtd.FRCD, vtd.FRCD + 4, vtd.FRCD + 8):           # only the last dword of a record clears it
        machine.put(at, 0xFFFF_FFFF)
    machine.put(vtd.FRCD + 12, 0x7FFF_FFFF)
    assert machine.remapper.faults.save() == before
    machine.put(vtd.FRCD + 12, 1 << 31)
    assert machine.get(vtd.FSTS) == 0


def test_there_are_65535_domains():
    iommu = Iommu(HostMemory(1 << 20))
    iommu.domains = dict.fromkeys(range(1, 65535))
    assert iommu.domain().id == 65535
    with pytest.raises(ValueError, match="all 65535 domains are in use"):
        iommu.domain()
    del iommu.domains[1234]
    assert iommu.domain().id == 1234
