"""A queue of a virtio driver without indirect tables: its parts have a page each, and all of a device's queues interrupt by one vector."""

from vmio.drivers.contracts import VirtioTransport
from vmio.hypervisor.contracts import Cpu
from vmio.machine.contracts import Tag
from vmio.machine.memory import PAGE
from vmio.virtio.queue.driver import DriverQueue
from vmio.virtio.queue.split_driver import SplitDriver

RINGS = 3 * PAGE                         # bytes of a queue's parts
ENTRIES = 64                             # of a queue at most: a device may offer more


def queue(cpu: Cpu, transport: VirtioTransport, number: int, at: int, event_idx: bool) -> DriverQueue:
    """Lay the parts of queue `number` out at the address `at`, and tell the device where; returns the driver's half."""
    size = min(transport.queue_size(number), ENTRIES)
    places = at, at + PAGE, at + 2 * PAGE
    cpu.write(at, bytes(RINGS))
    transport.set_queue(number, size, places, 1)
    return SplitDriver(cpu, size, *places, event_idx=event_idx)


def next_back(each: DriverQueue) -> tuple[Tag, int] | None:
    """Return the (token, bytes written) that comes back next; None if there is none, and an interrupt will say when there is."""
    while (answer := each.reap()) is None:
        if not each.sleep():
            return None
    return answer
