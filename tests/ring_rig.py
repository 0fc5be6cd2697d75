"""Rings in memory of their own, for tests of both their ends."""

from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import AddressSpace, PageTable
from vmio.machine.window import Window
from vmio.vmbus.bus.packets import GpaRange
from vmio.vmbus.bus.ring import READ, WRITE, RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory

PAYLOAD = bytes(range(1, 65))
RANGE = GpaRange(8192, 0x10, (7, 8, 9))


def make(pages=2, start=0, **options):
    memory = FlatMemory(pages)
    format_ring(memory)
    memory.store32(WRITE, start)
    memory.store32(READ, start)
    return memory, RingWriter(memory, **options), RingReader(memory)


def paged(pages):
    """Guest pages, backwards, so that no two neighbours in the ring are neighbours in memory."""
    host = HostMemory(1 << 20)
    table = PageTable(host)
    table.map(0x10000, host.allocate(64), 64 * 4096, 3)
    return Window(AddressSpace(host, table), [0x10 + 2 * i for i in reversed(range(pages))])
