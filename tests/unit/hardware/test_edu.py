"""The teaching device: registers, factorial, DMA both ways, interrupts by pin and by message, behind an IOMMU or not."""

import pytest

from vmio.devices.pci.header import COMMAND, COMMAND_MASTER, COMMAND_MEMORY
from vmio.hardware import edu
from vmio.hardware.edu import Edu
from vmio.hardware.edu_pci import MSI, EduFunction
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import READ
from vmio.modes import Machine
from vmio.oracle.qtest import Door
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id


@pytest.fixture
def device():
    made = Edu(Clock(), HostMemory(1 << 20))
    made.edges = []
    made.interrupt = made.edges.append
    return made


def dma(device, source, destination, count, command):
    for register, value in ((edu.SOURCE, source), (edu.DESTINATION, destination), (edu.COUNT, count),
                            (edu.COMMAND, command)):
        device.write(register, 8, value)


def test_identity_and_liveness(device):
    assert device.read(edu.IDENTITY, 4) == 0x010000ED
    device.write(edu.LIVENESS, 4, 0x12345678)
    assert device.read(edu.LIVENESS, 4) == 0xEDCBA987
    device.write(edu.IDENTITY, 4, 0)
    assert device.read(edu.IDENTITY, 4) == 0x010000ED


def test_sizes_and_places_that_are_none(device):
    assert device.read(edu.IDENTITY, 1) == device.read(edu.IDENTITY, 2) == 0
    assert device.read(edu.IDENTITY, 8) == (1 << 64) - 1 and device.read(0x30, 4) == 0xFFFF_FFFF
    assert device.read(edu.SOURCE + 4, 4) == 0xFFFF_FFFF and device.read(edu.IDENTITY + 2, 4) == 0
    device.write(edu.SOURCE, 2, 7)
    device.write(0x5000, 8, 7)
    assert device.read(edu.SOURCE, 8) == 0


def test_factorial_takes_its_time_and_interrupts(device):
    device.factorial_ns = 500
    device.write(edu.STATUS, 4, edu.INTERRUPT_WHEN_DONE)
    device.write(edu.FACTORIAL, 4, 10)
    assert device.read(edu.STATUS, 4) == edu.COMPUTING | edu.INTERRUPT_WHEN_DONE
    device.write(edu.FACTORIAL, 4, 3)            # it is busy
    device.clock.advance_to(500)
    assert device.read(edu.FACTORIAL, 4) == 3628800 and device.read(edu.INTERRUPTS, 4) == edu.FACTORIAL_DONE
    assert device.edges == [1]
    device.write(edu.ACKNOWLEDGE, 4, edu.FACTORIAL_DONE)
    assert device.edges == [1, 0]


@pytest.mark.parametrize("n,expected", [(0, 1), (1, 1), (13, 6227020800 % 2**32), (33, 1 << 31), (34, 0), (0xFFFF_FFFF, 0)])
def test_factorials_modulo_2_to_the_32(device, n, expected):
    device.write(edu.FACTORIAL, 4, n)
    device.clock.advance_to(1)
    assert device.read(edu.FACTORIAL, 4) == expected


def test_dma_there_and_back(device):
    device.memory.write(0x2FF0, bytes(range(32)))
    dma(device, 0x2FF0, edu.BUFFER + 8, 32, edu.RUN)
    assert device.read(edu.COMMAND, 4) == edu.RUN
    device.write(edu.SOURCE, 8, 0)               # not while it runs
    device.clock.advance_to(edu.DMA_NS - 1)
    assert device.read(edu.COMMAND, 4) == edu.RUN
    device.clock.advance_to(edu.DMA_NS)
    assert device.read(edu.COMMAND, 4) == 0 and device.read(edu.SOURCE, 8) == 0x2FF0
    dma(device, edu.BUFFER + 8, 0x5000, 32, edu.RUN | edu.TO_MEMORY | edu.INTERRUPT)
    device.clock.advance_to(2 * edu.DMA_NS)
    assert device.memory.read(0x5000, 32) == bytes(range(32))
    assert device.read(edu.COMMAND, 4) == edu.TO_MEMORY | edu.INTERRUPT
    assert device.read(edu.INTERRUPTS, 4) == edu.DMA_DONE and device.edges == [1]


def test_a_command_without_run_is_nothing(device):
    dma(device, 0, edu.BUFFER, 16, edu.TO_MEMORY)
    assert device.read(edu.COMMAND, 8) == 0


def test_dma_past_the_buffer_moves_nothing(device):
    device.memory.write(0, b"\xAA" * 8192)
    for destination, count in ((edu.BUFFER, 4097), (edu.BUFFER + 4000, 97), (0, 16), (edu.BUFFER - 1, 2),
                               (edu.BUFFER, 1 << 63)):
        dma(device, 0, destination, count, edu.RUN)
        device.clock.advance_to(device.clock.now + edu.DMA_NS)
        assert device.read(edu.COMMAND, 4) == 0
    assert device.buffer == bytes(4096)
    dma(device, 0, edu.BUFFER, 4096, edu.RUN)
    device.clock.advance_to(device.clock.now + edu.DMA_NS)
    assert device.buffer == b"\xAA" * 4096


def test_addresses_have_28_bits(device):
    device.memory.write(0x3000, b"low")
    dma(device, 0x3000 | 1 << 28, edu.BUFFER, 3, edu.RUN)
    device.clock.advance_to(edu.DMA_NS)
    assert device.buffer[:3] == b"low"


def test_behind_an_iommu_a_refused_page_reads_as_zeros():
    host = Machine(memory_mib=16).host
    iommu = Iommu(host.memory)
    requester = requester_id(0, 3)
    domain, spa = iommu.domain(), host.memory.allocate(1)
    domain.map(0x10000, spa, 4096, READ)
    iommu.attach(requester, domain)
    iommu.enable()
    host.memory.write(spa, b"\x55" * 4096)
    device = Edu(Clock(), iommu.space(requester))
    device.buffer[:] = b"\x11" * 4096
    dma(device, 0x10FF0, edu.BUFFER, 32, edu.RUN)        # 16 bytes mapped, 16 not
    device.clock.advance_to(edu.DMA_NS)
    assert device.buffer[:33] == b"\x55" * 16 + bytes(16) + b"\x11" and device.faults == 1
    dma(device, edu.BUFFER, 0x10000, 16, edu.RUN | edu.TO_MEMORY)
    device.clock.advance_to(2 * edu.DMA_NS)
    assert host.memory.read(spa, 1) == b"\x55" and [row[3] for row in iommu.faults.taken()] == ["read"]


class Memory(HostMemory):
    """A megabyte, and above it the messages that were `sent`."""

    def __init__(self):
        super().__init__(1 << 20)
        self.sent = []

    def write(self, address, data):
        if address >> 20 == 0xFEE:
            self.sent.append((address, int.from_bytes(data, "little")))
        else:
            super().write(address, data)


def in_a_slot(memory=None):
    memory = memory or Memory()
    device, pin = Edu(Clock(), memory), Line()
    function = EduFunction(device)
    function.intx = pin
    function.reach(memory)
    return device, function, pin


def test_as_a_pci_function():
    device, function, pin = in_a_slot()
    assert function.read(0, 4) == 0x11E81234 and function.read(8, 4) == 0x00FF0010
    assert function.read(0x34, 1) == MSI and function.read(MSI, 4) == 0x00800005
    device.write(edu.RAISE, 4, 2)
    assert pin.level == 1 and function.read(6, 1) & 8
    device.write(edu.ACKNOWLEDGE, 4, 2)
    assert pin.level == 0


def test_no_dma_without_bus_mastering():
    device, function, _ = in_a_slot()
    dma(device, 0, edu.BUFFER, 16, edu.RUN)
    device.clock.advance_to(edu.DMA_NS)
    assert device.faults == 1
    function.write(COMMAND, 2, COMMAND_MASTER | COMMAND_MEMORY)
    dma(device, 0, edu.BUFFER, 16, edu.RUN)
    device.clock.advance_to(2 * edu.DMA_NS)
    assert device.faults == 1


def test_by_message():
    memory = Memory()
    device, function, pin = in_a_slot(memory)
    function.write(COMMAND, 2, COMMAND_MASTER)
    function.write(MSI + 4, 4, 0xFEE0_1003)
    function.write(MSI + 12, 2, 0x41)
    function.write(MSI + 2, 2, 0x71)         # asks for 128 vectors, has one
    assert function.read(MSI + 2, 2) == 0x81
    device.write(edu.RAISE, 4, 1)
    device.write(edu.RAISE, 4, 1)
    assert memory.sent == [(0xFEE0_1000, 0x41)] * 2 and pin.level == 0


def test_save_and_restore_in_the_middle_of_a_transfer(device):
    device.memory.write(0, b"moving")
    dma(device, 0, edu.BUFFER, 6, edu.RUN)
    device.write(edu.LIVENESS, 4, 5)
    state = device.save()
    other = Edu(Clock(), device.memory)
    other.restore(state)
    assert other.save() == state
    other.clock.advance_to(edu.DMA_NS)
    assert other.buffer[:6] == b"moving" and other.read(edu.COMMAND, 4) == 0
    other.reset()
    assert other.read(edu.LIVENESS, 4) == 0 and other.buffer == bytes(4096)


def test_what_has_ended_is_not_saved_as_under_way(device):
    """A transfer that ended at this very ns must not run a second time in the twin."""
    dma(device, 0, edu.BUFFER, 6, edu.RUN)
    device.clock.advance_to(edu.DMA_NS)
    assert device.save()["due"] == {}
    device.write(edu.FACTORIAL, 4, 3)
    assert device.save()["due"] == {"factorial": edu.DMA_NS}


def test_the_door_knows_its_devices():
    with pytest.raises(ValueError, match="device toaster: choose from edu, intel-iommu"):
        Door(devices=["toaster"])
    door = Door(devices=["edu"])
    for line in ("outl 0xcf8 0x80001810", "outl 0xcfc 0xe0000000", "outl 0xcf8 0x80001804", "outw 0xcfc 6"):
        door.answer(line)
    assert door.answer("readl 0xe0000000") == ["OK 0x00000000010000ed"]
    assert door.iommu is None


def test_a_function_is_reset_saved_and_moved():
    device, function, pin = in_a_slot()
    function.write(COMMAND, 2, COMMAND_MASTER)
    device.write(edu.RAISE, 4, 1)
    state = function.save()
    function.reset()
    assert pin.level == 0 and device.read(edu.INTERRUPTS, 4) == 0 and not function.is_master
    function.restore(state)
    assert pin.level == 1 and function.is_master
    elsewhere = HostMemory(1 << 20)
    elsewhere.write(0, b"here")
    function.reach(elsewhere)
    dma(device, 0, edu.BUFFER, 4, edu.RUN)
    device.clock.advance_to(edu.DMA_NS)
    assert device.buffer[:4] == b"here"


def test_a_message_that_is_refused_is_lost():
    host = Machine(memory_mib=16).host
    iommu = Iommu(host.memory)
    iommu.interrupts.enabled = True
    space = iommu.space(requester_id(0, 3))
    device, function, _ = in_a_slot(space)
    function.write(COMMAND, 2, COMMAND_MASTER)
    function.write(MSI + 4, 4, 0xFEE0_0000)
    function.write(MSI + 2, 2, 1)
    device.write(edu.RAISE, 4, 1)
    assert (function.messages, function.blocked) == (1, 1) and iommu.interrupts.refused == 1
    function.write(COMMAND, 2, 0)
    device.write(edu.RAISE, 4, 1)
    assert function.blocked == 2 and iommu.interrupts.refused == 1
