"""SR-IOV: virtual functions of the NVMe disk, each with its own requester id, queues and part of the medium."""

import pytest

from tests.passthrough_rig import BUFFER, Rig, bus_of, disk_of, one
from vmio.drivers.nvme import NvmeError
from vmio.hardware.nvme.sriov import Partition, equal_parts
from vmio.machine.storage import Image
from vmio.passthrough import virtual
from vmio.passthrough.assignment import AssignmentRefused


def first_word(cpu, lba):
    """What the guest reads at a sector: the number that the whole disk's sector carries."""
    disk = yield from disk_of(cpu, (yield from bus_of(cpu)))
    yield from one(disk, "read", lba, 8)
    return cpu.read(BUFFER, 8)


def test_virtual_functions_have_their_own_part_of_the_disk():
    rig = Rig(guests=3)
    rig.parts(equal_parts)
    functions = virtual.enable(rig.function, 3)
    assert [function.requester for function in functions] == [0x98, 0x99, 0x9A]
    assert [function.device.image.sectors for function in functions] == [1365] * 3
    for number, function in enumerate(functions):
        rig.assign(number, function)
    for number in range(3):
        assert rig.run(lambda cpu: first_word(cpu, 1), number) == (1365 * number + 1).to_bytes(8, "little")

    def beyond(cpu):
        cpu_disk = yield from disk_of(cpu, (yield from bus_of(cpu)))
        for lba, sectors in ((1365, 1), (1360, 8)):
            with pytest.raises(NvmeError, match="status 080h"):
                yield from one(cpu_disk, "read", lba, sectors)
    lone = Rig(guests=1)
    lone.parts(equal_parts)
    lone.assign(0, virtual.enable(lone.function, 3)[1])
    lone.run(beyond)


def test_virtual_functions_and_their_physical_one_exclude_each_other():
    rig = Rig()
    rig.parts(lambda image, count: [image] * count)
    for count in (0, 65):
        with pytest.raises(ValueError, match=f"virtual functions {count}; 1 to 64"):
            virtual.enable(rig.function, count)
    functions = virtual.enable(rig.function, 2)
    with pytest.raises(AssignmentRefused, match="has 2 virtual functions"):
        virtual.enable(rig.function, 1)
    with pytest.raises(AssignmentRefused, match="nvme0 has virtual functions"):
        rig.assign()
    lent = rig.assign(0, functions[0])
    with pytest.raises(AssignmentRefused, match="nvme0-vf0 is assigned to guest0"):
        virtual.disable(rig.function)
    lent.take_back()
    virtual.disable(rig.function)
    with pytest.raises(AssignmentRefused, match="is not there"):
        rig.assign(0, functions[1])
    rig.assign()
    with pytest.raises(AssignmentRefused, match="is guest0's"):
        virtual.enable(rig.function, 1)
    with pytest.raises(ValueError, match="virtual functions 1; 1 to 0"):
        virtual.enable(functions[0], 1)


def test_what_guests_left_on_virtual_functions_is_remembered():
    rig = Rig()
    rig.parts(equal_parts)
    for number, function in enumerate(virtual.enable(rig.function, 2)):
        rig.assign(number, function).take_back()
    virtual.disable(rig.function)
    for to in (0, 1):
        with pytest.raises(AssignmentRefused, match="nvme0 holds what several guests left on it"):
            rig.assign(to)
    again, = virtual.enable(rig.function, 1)
    with pytest.raises(AssignmentRefused, match="several guests"):
        rig.assign(0, again)
    again.erase()
    rig.assign(0, again)


def test_one_guest_may_have_two_functions():
    rig = Rig(guests=1)
    rig.parts(lambda image, count: [image] * count)
    one_, two = virtual.enable(rig.function, 2)
    domain = rig.iommu.domain(allowed=[(rig.guests[0].ram_spa(0), rig.guests[0].ram)])
    domain.map_guest(rig.guests[0])
    first = rig.assign(0, one_, domain=domain, number=1)
    second = rig.assign(0, two, domain=domain, number=2)
    assert domain.requesters == {0x98, 0x99} and len(rig.servers[0].channels) == 2
    assert first.vsp.instance_id != second.vsp.instance_id
    first.take_back()
    assert domain.requesters == {0x99} and set(rig.guests[0].pins) == {"nvme0-vf1"}


def test_the_sriov_capability_as_software_sees_it():
    rig = Rig()
    rig.parts(equal_parts)
    pci = rig.function.pci
    assert pci.read(0x100, 4) == 0x0001_0010 and pci.read(0x10E, 2) == 64 and pci.read(0x114, 2) == 0x80
    pci.write(0x110, 2, 3)
    pci.write(0x108, 2, 9)
    assert len(pci.sriov.functions) == 3
    pci.write(0x110, 2, 5)
    assert pci.read(0x110, 2) == 3      # fixed while they are enabled
    pci.reset()
    assert pci.sriov.functions == [] and pci.read(0x108, 2) == 0


def test_a_partition_ends_where_it_ends():
    image = Image.open(bytes(512 * 16))
    part = Partition(image, 4, 4)
    part.write(0, b"x" * 2048)
    part.flush()
    assert image.read(4, 4) == part.read(0, 4) == b"x" * 2048
    for lba, count in ((4, 1), (0, 5), (-1, 1)):
        with pytest.raises(ValueError, match="16 sectors|4 sectors from 4"):
            part.read(lba, count)
        with pytest.raises(ValueError):
            part.write(lba, bytes(512 * count))
    for first, sectors in ((0, 17), (-1, 4), (16, 0)):
        with pytest.raises(ValueError, match="partition of"):
            Partition(image, first, sectors)
