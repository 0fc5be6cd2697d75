"""Virtqueues: how a driver lends buffers to a device, and gets them back.

The device's half is `SplitQueue` or `PackedQueue`; both have the same methods:

    queue = SplitQueue(memory, size=128, descriptors=0x1000, driver=0x2000, device=0x3000,
                       indirect=True, event_idx=True, on_broken=print)
    queue.awake()                          no kicks, please: we are looking already
    while (chain := queue.take()) is not None:
        header = chain.fetch(0, 16)        bytes that the driver has written; None if memory refused
        chain.store(0, data)               bytes for the driver to read
        queue.put(chain, len(data))        it is the driver's again, with so many bytes written
    if queue.must_interrupt(): ...         once for all that was put since the last time
    if queue.rest(): ...                   kicks, please; True: more has come meanwhile, take it

`memory` has `read(address, length)` and `write(address, data)` and raises `MemoryFault` or
`TranslationFault` for what can't be reached: a guest's RAM, or what a front end has mapped for us.
Whatever a hostile driver does, no method raises: `queue.broken` has the sentence then, `on_broken`
is told it once, and `take` gives nothing any more; the device shows DEVICE_NEEDS_RESET.
`queue.position` is the pair (available, used) with which another object goes on.

The driver's half is `SplitDriver` or `PackedDriver`: `add`, `publish`, `reap`.
"""

from vmio.virtio.queue.chain import Chain
from vmio.virtio.queue.event import need_event
from vmio.virtio.queue.packed import PackedQueue
from vmio.virtio.queue.packed_driver import PackedDriver
from vmio.virtio.queue.split import SplitQueue
from vmio.virtio.queue.split_driver import SplitDriver

__all__ = ["Chain", "PackedDriver", "PackedQueue", "SplitDriver", "SplitQueue", "need_event"]
