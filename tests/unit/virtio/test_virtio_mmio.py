"""virtio-mmio: the conversation that a real Linux had with QEMU's device, and what a driver may do wrong."""

import json

import pytest

from tests.virtio_rig import Memory
from vmio import data
from vmio.machine.bus import BadAccess
from vmio.machine.lines import Line
from vmio.machine.storage import Image
from vmio.virtio import features as f
from vmio.virtio import mmio
from vmio.virtio.blk import Blk, MediumStore
from vmio.virtio.blk_wire import HEADER, IN
from vmio.virtio.queue import SplitDriver

AT = {name: offset for offset, name in mmio.NAMES.items()}
TABLES, BUFFERS = 0x10_0000, 0x80_0000


def disk(sectors=2048, size=1024):
    """(registers of a disk, its line, its memory, its medium): word i of sector L is 256 L + i."""
    memory, line = Memory(64 << 20), Line("virtio")
    medium = Image(bytearray(b"".join((256 * lba + i).to_bytes(8, "little") for lba in range(sectors) for i in range(64))), "disk")
    device = Blk(memory, MediumStore(medium), (size,), "VMIO0001")
    return mmio.VirtioMmio(device, line), line, memory, medium


def test_a_real_linux_conversation():
    """Each store of Linux's driver, in its order; the statuses it waits for stick, and each request is three accesses and one interrupt."""
    registers, line, memory, medium = disk()
    trace = json.loads(data.path("golden/linux_virtio_mmio.json").read_text())
    edges, counted, status, requests, driver = [], [], [], 0, None
    line.connect(lambda level: edges.append(level))
    edges.clear()
    for op, *rest in trace["ops"]:
        if op == "load":
            offset, = rest
            size = {0x114: 2, 0x118: 1, 0x119: 1, 0x11A: 2, 0x134: 2}.get(offset, 4)
            value = registers.read(offset, size)
            counted.append(("load", offset))
            if offset == AT["status"]:
                status.append(value)
            if offset == AT["interrupt_status"]:
                assert value == mmio.QUEUE_ISR
        elif op == "store":
            offset, value = rest
            counted.append(("store", offset))
            if offset == AT["queue_notify"]:
                lba = 8 * (requests % 16)
                memory.write(BUFFERS, HEADER.pack(type=IN, sector=lba))
                driver.add([(BUFFERS, 16)], [(BUFFERS + 0x1000, 4096), (BUFFERS + 0x2000, 1)], requests)
                assert driver.publish()
            registers.write(offset, 4, value)
            if offset == AT["queue_ready"]:
                where = registers.device.setups[0]
                driver = SplitDriver(memory, where.size, where.descriptors, where.driver, where.device, tables=TABLES, event_idx=True)
            if offset == AT["interrupt_ack"]:
                assert driver.reap() == (requests, 4097) and not driver.sleep()
                assert memory.read(BUFFERS + 0x1000, 4096) == medium.read(lba, 8) and memory.read(BUFFERS + 0x2000, 1) == b"\0"
                requests += 1
        else:
            assert line.level == rest[0], (len(counted), rest)
    assert status == [0, 1, 3, 11, 11, 15] and requests == 15
    assert edges == [1, 0] * 15 and registers.read(AT["status"], 4) == 0
    first = counted.index(("store", AT["queue_notify"]))
    assert (sum(op == "load" for op, _ in counted[:first]), sum(op == "store" for op, _ in counted[:first])) == (28, 20)


def test_what_a_probe_reads():
    registers, *_ = disk()
    assert registers.read(0, 4).to_bytes(4, "little") == b"virt"
    assert [registers.read(at, 4) for at in (4, 8)] == [2, 2]
    for half, bits in ((0, 0x3000_6E54), (1, 0x101)):
        registers.write(AT["device_features_sel"], 4, half)
        assert registers.read(AT["device_features"], 4) == bits
    registers.write(AT["device_features_sel"], 4, 2)
    assert registers.read(AT["device_features"], 4) == 0
    assert registers.read(AT["shm_len_low"], 4) == registers.read(AT["shm_base_high"], 4) == 0xFFFF_FFFF


@pytest.mark.parametrize("offset, size", [(0x70, 1), (0x72, 2), (0x71, 4), (0x70, 8)])
def test_registers_are_whole(offset, size):
    registers, *_ = disk()
    with pytest.raises(BadAccess, match="registers have 32 bits"):
        registers.read(offset, size)
    with pytest.raises(BadAccess, match="registers have 32 bits"):
        registers.write(offset, size, 1)


def test_a_queue_that_is_not_there_and_one_that_is_ready():
    registers, *_ = disk(size=128)
    registers.write(AT["queue_sel"], 4, 1)
    assert registers.read(AT["queue_num_max"], 4) == 0
    for name, value in (("queue_num", 8), ("queue_desc_low", 4096), ("queue_ready", 1)):
        registers.write(AT[name], 4, value)
    assert registers.read(AT["queue_ready"], 4) == 0
    registers.write(AT["queue_sel"], 4, 0)
    registers.write(AT["queue_num"], 4, 129)                  # more than there are
    assert registers.device.setups[0].size == 128
    registers.write(AT["queue_num"], 4, 16)
    registers.write(AT["queue_driver_high"], 4, 1)
    registers.write(AT["queue_ready"], 4, 1)
    registers.write(AT["queue_num"], 4, 32)                   # too late
    registers.write(AT["queue_driver_high"], 4, 2)
    setup = registers.device.setups[0]
    assert (setup.size, setup.driver, setup.enabled) == (16, 1 << 32, True)
    registers.write(AT["queue_ready"], 4, 0)
    assert registers.read(AT["queue_ready"], 4) == 0 and setup.driver == 0


def test_a_broken_queue_sets_needs_reset_and_says_so_by_the_line():
    registers, line, memory, _ = disk(size=8)
    for name, value in (("status", 1), ("status", 3), ("driver_features_sel", 1), ("driver_features", 1), ("status", 11),
                        ("queue_num", 6), ("queue_ready", 1), ("status", 15)):
        registers.write(AT[name], 4, value)
    assert registers.read(AT["status"], 4) == 15 | f.NEEDS_RESET and line.level == 1
    assert registers.device.broken == "queue 0: split queue: 6 entries; a power of two up to 32768"
    assert registers.read(AT["interrupt_status"], 4) == mmio.CONFIG_ISR
    registers.write(AT["queue_notify"], 4, 0)
    registers.write(AT["queue_notify"], 4, 77)
    registers.write(AT["status"], 4, 0)
    assert registers.read(AT["status"], 4) == line.level == 0 and registers.device.broken is None
