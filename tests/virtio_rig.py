"""Virtqueues without a machine: memory that remembers what was read, a driver and a device on it, rings written by hand."""

import struct

from vmio.machine.memory import MemoryFault
from vmio.virtio.queue import PackedDriver, PackedQueue, SplitDriver, SplitQueue
from vmio.virtio.queue.driver import DriverQueue
from vmio.virtio.queue.wire import DESCRIPTOR, PACKED

TABLE, DRIVER, DEVICE, TABLES, BUFFERS = 0x1_0000, 0x2_0000, 0x3_0000, 0x4_0000, 0x8_0000


class Memory:
    """1 MiB; `reads` are the (address, bytes) that were read since `reads.clear()`."""

    def __init__(self, size=1 << 20):
        self.bytes, self.reads = bytearray(size), []

    def _check(self, address, length):
        if not 0 <= address <= len(self.bytes) - length:
            raise MemoryFault(f"[{address:#x}, +{length:#x}): memory ends at {len(self.bytes):#x}")

    def read(self, address, length):
        self._check(address, length)
        self.reads.append((address, length))
        return bytes(self.bytes[address:address + length])

    def write(self, address, data):
        self._check(address, len(data))
        self.bytes[address:address + len(data)] = data

    def fetched_twice(self):
        """Addresses that were read more than once."""
        seen, twice = set(), set()
        for address, length in self.reads:
            for at in range(address, address + length):
                (twice if at in seen else seen).add(at)
        return sorted(twice)


def pair(kind, size=8, indirect=False, event_idx=False, in_order=False, memory=None):
    """(memory, driver's half, device's half) of a fresh queue."""
    memory = memory or Memory()
    options = {"in_order": in_order} if kind == "split" else {}
    tables = TABLES if indirect else None
    assert size * DriverQueue.TABLE_BYTES <= BUFFERS - TABLES or not indirect
    driver = {"split": SplitDriver, "packed": PackedDriver}[kind](memory, size, TABLE, DRIVER, DEVICE, tables=tables, event_idx=event_idx, **options)
    return memory, driver, device(kind, memory, size, indirect, event_idx, in_order)


def device(kind, memory, size=8, indirect=False, event_idx=False, in_order=False, **where):
    """The device's half alone; `said` collects what it is told of breaks."""
    said = []
    queue = {"split": SplitQueue, "packed": PackedQueue}[kind](
        memory, size, TABLE, DRIVER, DEVICE, indirect=indirect, event_idx=event_idx, in_order=in_order, on_broken=said.append, **where)
    queue.said = said
    return queue


def descriptors(memory, *rows, at=TABLE):
    """Write (address, bytes, flags, next) from `at` on."""
    for i, row in enumerate(rows):
        memory.write(at + 16 * i, DESCRIPTOR.struct.pack(*row))


def packed(memory, *rows, at=TABLE):
    """Write (address, bytes, id, flags) from `at` on."""
    for i, row in enumerate(rows):
        memory.write(at + 16 * i, PACKED.struct.pack(*row))


def available(memory, *heads, index=None):
    """Write an available ring: flags 0, index, heads from slot 0 on."""
    memory.write(DRIVER, struct.pack(f"<HH{len(heads)}H", 0, len(heads) if index is None else index, *heads))
