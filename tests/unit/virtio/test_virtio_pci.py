"""A virtio device in a PCI slot: what a driver finds, vectors, doorbells, and the window in configuration space.

The four golden traces (`tests/golden`) hold layout, negotiation, rings and the ISR byte against QEMU's device.
"""

import pytest

from tests.virtio_rig import Memory
from vmio.devices.pci.wire import MSIX_ENABLE
from vmio.machine.storage import Image
from vmio.virtio import features as f
from vmio.virtio import pci_wire as p
from vmio.virtio.blk import Blk, MediumStore
from vmio.virtio.pci import MSIX_AT, VirtioFunction

AT = {field.name: (field.offset, min(field.size, 4)) for field in p.COMMON_CONFIG.fields}


class Function:
    """A disk's function on memory of its own; `sent` are its messages, (address, data)."""

    def __init__(self, queues=1):
        self.memory = Memory()
        self.device = Blk(self.memory, MediumStore(Image(bytearray(64 * 512), "disk")), (8,) * queues, "S")
        self.function = VirtioFunction(self.device)
        self.sent = []
        self.function.message = lambda address, data: self.sent.append((address, data))
        self.function.reach(self.memory)
        self.function.write(4, 2, 6)
        self.bar = self.function.bars[p.BAR].registers

    def get(self, name):
        return self.bar.read(*AT[name])

    def put(self, name, value):
        self.bar.write(*AT[name], value)

    def up(self):
        """As far as DRIVER_OK, with the queue's parts at 10000h, 20000h, 30000h."""
        for value in (0, 1, 3):
            self.put("device_status", value)
        self.put("driver_feature_select", 1)
        self.put("driver_feature", 1)
        self.put("device_status", 11)
        for name, value in (("queue_desc", 0x10000), ("queue_driver", 0x20000), ("queue_device", 0x30000), ("queue_enable", 1)):
            self.put(name, value)
        self.put("device_status", 15)
        return self


def test_identity():
    function = Function().function
    assert [function.get(at, 2) for at in (0, 2, 0x2C, 0x2E)] == [0x1AF4, 0x1042, 0x1AF4, 0x1100]
    assert function.get(8, 1) == 1 and function.get(9, 3) == 0x010000 and function.get(0x3D, 1) == 1


def test_common_registers_and_what_is_only_read():
    it = Function(queues=2)
    assert it.get("num_queues") == 2 and it.get("queue_size") == 8 and it.get("queue_msix_vector") == 0xFFFF
    for name in ("num_queues", "config_generation", "queue_notify_off", "device_feature"):
        before = it.get(name)
        it.put(name, 1)
        assert it.get(name) == before
    it.put("queue_select", 1)
    assert it.get("queue_notify_off") == 1
    it.put("queue_size", 4)
    assert it.get("queue_size") == 4
    it.put("queue_size", 9)
    assert it.get("queue_size") == 4                       # no more than there are
    it.bar.write(AT["queue_desc"][0] + 4, 4, 3)
    it.put("queue_desc", 0x1000)
    assert it.device.setups[1].descriptors == 0x3_0000_1000
    assert (it.get("queue_desc"), it.bar.read(AT["queue_desc"][0] + 4, 4)) == (0x1000, 3)
    it.put("queue_select", 2)
    assert it.get("queue_size") == 0 and it.get("queue_notify_off") == 0
    it.put("queue_enable", 1)
    assert it.get("queue_enable") == 0 and not it.device.queues


def test_features_must_be_offered_and_version_1_among_them():
    it = Function()
    for low, high, kept in ((0, 0, 3), (1, 1, 3), (0, 1 << 3, 3), (0, 1, 11)):
        for value in (0, 1, 3):
            it.put("device_status", value)
        for half, bits in enumerate((low, high)):
            it.put("driver_feature_select", half)
            it.put("driver_feature", bits)
        it.put("device_status", 11)
        assert it.get("device_status") == kept, (low, high)
    it.put("driver_feature_select", 0)
    it.put("driver_feature", 0x3000_0000)                  # after FEATURES_OK it is too late
    assert it.device.agreed == f.VERSION_1


@pytest.mark.parametrize("high, tried", [(1, (7,)), (1 << 3, (11, 15))])
def test_nothing_begins_with_features_that_were_not_accepted(high, tried):
    """FEATURES_OK was left out, or refused: DRIVER_OK is not taken either."""
    it = Function()
    for value in (0, 1, 3):
        it.put("device_status", value)
    it.put("driver_feature_select", 1)
    it.put("driver_feature", high)
    it.put("queue_enable", 1)
    for value in tried:
        it.put("device_status", value)
    assert it.get("device_status") == 3 and not it.device.queues
    assert Function().up().get("device_status") == 15


def test_each_queue_has_the_vector_that_it_was_given():
    it = Function().up()
    it.put("queue_msix_vector", 2)                         # there are two, 0 and 1
    assert it.get("queue_msix_vector") == p.NO_VECTOR
    it.put("queue_msix_vector", 1)
    it.put("config_msix_vector", 0)
    assert (it.get("queue_msix_vector"), it.get("config_msix_vector")) == (1, 0)
    tables = it.function.bars[p.TABLES_BAR].registers
    for vector in (0, 1):
        for at, value in ((0, 0xFEE0_0000), (8, 0x40 + vector), (12, 0)):
            tables.write(16 * vector + at, 4, value)
    it.function.write(MSIX_AT + 2, 2, MSIX_ENABLE)
    it.device.interrupt(0)
    it.device.config_changed()
    assert it.sent == [(0xFEE0_0000, 0x41), (0xFEE0_0000, 0x40)] and it.get("config_generation") == 1
    tables.write(16 + 12, 4, 1)                            # masked: it waits
    it.device.interrupt(0)
    assert len(it.sent) == 2 and tables.read(p.PENDING, 4) == 2
    tables.write(16 + 12, 4, 0)
    assert it.sent[2:] == [(0xFEE0_0000, 0x41)]
    it.put("queue_msix_vector", p.NO_VECTOR)
    it.device.interrupt(0)
    assert len(it.sent) == 3


def test_the_pin_is_up_until_the_isr_byte_is_read_and_silent_with_messages():
    it = Function().up()
    it.device.interrupt(0)
    it.device.config_changed()
    assert it.function._asserted == 1
    assert it.bar.read(p.ISR_AT, 1) == 3 and it.function._asserted == 0 and it.bar.read(p.ISR_AT, 1) == 0
    it.device.interrupt(0)
    it.function.write(MSIX_AT + 2, 2, MSIX_ENABLE)
    assert it.function._asserted == 0
    it.function.write(MSIX_AT + 2, 2, 0)
    assert it.function._asserted == 1
    it.put("device_status", 0)
    assert it.function._asserted == 0 and it.bar.read(p.ISR_AT, 1) == 0


def test_a_doorbell_is_a_queues():
    it = Function(queues=2).up()
    kicked = []
    it.device.kick = kicked.append
    for at, size in ((0, 2), (4, 2), (4, 4), (5, 1), (0xFFC, 4)):
        it.bar.write(p.NOTIFY_AT + at, size, 0)
    assert kicked == [0, 1, 1, 1, 1023] and it.bar.read(p.NOTIFY_AT, 4) == 0
    Function().up().bar.write(p.NOTIFY_AT + 0xFFC, 4, 0)   # no such queue: nothing


def test_the_window_in_configuration_space():
    it = Function()

    def select(bar, offset, length):
        for at, size, value in ((4, 1, bar), (8, 4, offset), (12, 4, length)):
            it.function.write(0x84 + at, size, value)
    select(4, AT["queue_size"][0], 2)
    assert it.function.read(0x94, 2) == 8
    it.function.write(0x94, 2, 4)
    assert it.get("queue_size") == 4
    for bar, offset, length in ((1, 0, 4), (4, 0x4000, 4), (4, 0, 3), (4, 2, 4), (4, 0xFFFF_FFFC, 4)):
        select(bar, offset, length)
        it.function.write(0x94, 4, 0xFFFF_FFFF)
        assert it.function.read(0x94, 4) == 0


def test_a_queue_may_be_reset_alone():
    it = Function().up()
    assert it.get("queue_enable") == 1
    it.put("queue_reset", 1)
    assert it.get("queue_enable") == it.get("queue_reset") == 0 and not it.device.queues
    for name, value in (("queue_desc", 0x10000), ("queue_driver", 0x20000), ("queue_device", 0x30000), ("queue_enable", 1)):
        it.put(name, value)
    assert it.device.queues[0].position == (0, 0)


def test_without_bus_mastering_the_first_kick_breaks_it():
    it = Function().up()
    it.function.write(4, 2, 2)
    it.bar.write(p.NOTIFY_AT, 2, 0)
    assert "no bus master" in it.device.broken and it.get("device_status") == 15 | f.NEEDS_RESET


def test_state_goes_and_comes_back():
    it, other = Function().up(), Function()
    it.put("queue_msix_vector", 1)
    it.device.interrupt(0)
    other.function.restore(it.function.save())
    assert other.function.save() == it.function.save() and other.function._asserted == 1
    assert other.get("queue_msix_vector") == 1


@pytest.mark.parametrize("size", [1, 2, 4])
def test_no_access_of_any_size_raises(size):
    it = Function(queues=2)
    for offset in range(0, p.BAR_BYTES, size):
        assert 0 <= it.bar.read(offset, size) < 1 << 8 * size
        it.bar.write(offset, size, (1 << 8 * size) - 1)
        it.bar.write(offset, size, 1)
