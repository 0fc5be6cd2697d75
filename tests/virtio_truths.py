"""What the panel of *Speak virtio* must show: places by counting descriptors, who was told by a run of the queue itself, VMBus by a run of its rings."""

from tests.panel_rig import Truth
from vmio.experiments import queueload, ringload
from vmio.experiments.queueload import QueueParams
from vmio.experiments.ringload import LoadParams

REQUESTS = 48


def panel(virtqueue, event_idx, indirect, entries, pieces, queue_depth, batch):
    one = queueload.run(QueueParams(virtqueue, entries, indirect, event_idx, pieces, queue_depth, batch))
    other = ringload.run(LoadParams(queue_depth=queue_depth, batch=batch, ring_kib=64, request_bytes=64))
    slots = 1 if indirect else pieces + 2               # header and status
    at_once = min(queue_depth, entries // slots, REQUESTS)
    told = {"kicks": one.kicks, "interrupts": one.interrupts, "VMBus: signals": other.signals, "VMBus: interrupts": other.interrupts}
    looks = {name: count / REQUESTS for name, count in one.looks.items()}
    us = [one.virtual_ns / 1000 / REQUESTS, other.virtual_ns / 1000 / REQUESTS]
    rows = [number for count in told.values() for number in (count, count / REQUESTS)]
    return Truth([REQUESTS, queue_depth, batch, pieces, slots, entries, at_once * slots, at_once, one.full, *us, REQUESTS, *rows],
                 charts=[told, looks])
