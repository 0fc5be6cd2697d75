"""StorVSC's further channels: one for each vCPU but the first, with rings, interrupts and requests of its own.

    queue = queue_of(disk, cpu)        whose surface is the disk's: submit, flush_ring, wait, reap

A vCPU that has a channel shares nothing with the others on the way of its requests.  Linux asks
for as many as it has processors online, less one, or as the host allows, and binds each to the
next processor: drivers/scsi/storvsc_drv.c (handle_multichannel_storage, handle_sc_creation),
drivers/hv/channel_mgmt.c (init_vp_index).
"""

from typing import Any

from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.storvsc_shared import SharedQueue
from vmio.drivers.storvsc_start import ask
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.vmbus.storage import vstor as v

ANY_STATUS = range(1, 1 << 32)     # whatever the host says against it: the disk has its primary channel


def open_all(disk: Any, allowed: int) -> Steps[list]:
    """Ask for sub-channels and open what is offered: a queue each.  Fewer, or none, are no error.

    `allowed` is what the host has announced; vCPUs are online that have their SynIC (`VmBusClient.add_cpu`).
    """
    client = disk.client
    queues: list[Any] = []
    further = [cpu for cpu in client.cpus if cpu is not disk.cpu]
    number = min(len(further), allowed)
    if not number:
        return queues
    packet = v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=v.REQUEST_COMPLETION, subchannels=number)
    if (yield from ask(disk, packet, "sub-channels", refusals=ANY_STATUS)) is None:
        return queues
    for cpu, channel in zip(further, (yield from client.offered(disk.channel, number))):
        queue = _another(disk, channel, cpu)
        try:
            yield from queue.open()
        except DriverTimeout:
            raise
        except DriverError:
            continue                   # Linux, too, goes on without a sub-channel that it can't open
        queues.append(queue)
    return queues


def _another(disk: Any, channel: Any, cpu: VCpu) -> Any:
    """Return a queue of the same disk on another of its channels, for the requests of another vCPU; not yet open."""
    queue = type(disk)(disk.client, channel, disk.ring_kib, disk.signals, disk.lun, disk.queue_depth, cpu)
    queue.version, queue.max_bytes = disk.version, disk.max_bytes
    return queue


def close_all(disk: Any) -> Steps:
    """Close the sub-channels and then the primary; what the host takes back is released, so that its number is free."""
    client = disk.client
    further = client.subchannels(disk.channel)
    for channel in (*reversed(further), disk.channel):
        yield from client.close(channel)
    for channel in further:
        yield from client.taken_back(channel)
        yield from client.release(channel)


def queue_of(disk: Any, cpu: VCpu) -> Any:
    """Return the queue for the requests of a vCPU: its own channel's, or a way to one of the others'."""
    queues = disk, *disk.further
    for queue in queues:
        if queue.cpu is cpu:
            return queue
    shared = queues[cpu.index % len(queues)]
    return next((each for each in shared.sharers if each.cpu is cpu), None) or SharedQueue(shared, cpu)
