"""StorVSC's further channels: one for each vCPU but the first, with rings, interrupts and requests of its own.

    queue = queue_of(queues, cpu)        whose surface is the disk's: submit, flush_ring, wait, reap

A vCPU that has a channel shares nothing with the others on the way of its requests.
Linux: drivers/scsi/storvsc_drv.c (handle_multichannel_storage, handle_sc_creation).
"""

from collections.abc import Sequence

from vmio.drivers.channels import further_cpus
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.storvsc_queue import StorQueue
from vmio.drivers.storvsc_shared import SharedQueue
from vmio.drivers.storvsc_start import ask
from vmio.drivers.vmbus import GuestChannel
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.vmbus.storage import vstor as v

ANY_STATUS = range(1, 1 << 32)     # whatever the host says against it: the disk has its primary channel


def open_all(disk: StorQueue, allowed: int) -> Steps[list[StorQueue]]:
    """Ask for sub-channels and open what is offered: a queue each.  Fewer, or none, are no error.

    `allowed` is what the host has announced; vCPUs are online that have their SynIC (`VmBusClient.add_cpu`).
    """
    queues: list[StorQueue] = []
    further = further_cpus(disk.client, disk.cpu, allowed)
    if not further:
        return queues
    packet = v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=v.REQUEST_COMPLETION, subchannels=len(further))
    if (yield from ask(disk, packet, "sub-channels", refusals=ANY_STATUS)) is None:
        return queues
    for cpu, channel in zip(further, (yield from disk.client.offered(disk.channel, len(further)))):
        if channel.end is not None:
            continue                   # it is in use already
        queue = _another(disk, channel, cpu)
        try:
            yield from queue.open()
        except DriverTimeout:
            raise
        except DriverError:
            continue                   # Linux, too, goes on without a sub-channel that it can't open
        queues.append(queue)
    return queues


def _another(disk: StorQueue, channel: GuestChannel, cpu: VCpu) -> StorQueue:
    """Return a queue of the same disk on another of its channels, for the requests of another vCPU; not yet open."""
    queue = StorQueue(disk.client, channel, disk.ring_kib, disk.signals, disk.lun, disk.queue_depth, cpu)
    queue.version, queue.max_bytes = disk.version, disk.max_bytes
    return queue


def queue_of(queues: Sequence[StorQueue], cpu: VCpu) -> StorQueue | SharedQueue:
    """Return the queue for the requests of a vCPU, of a disk's `queues`: its own channel's, or a way to one of the others'."""
    for queue in queues:
        if queue.cpu is cpu:
            return queue
    shared = queues[cpu.index % len(queues)]
    return next((each for each in shared.sharers if isinstance(each, SharedQueue) and each.cpu is cpu), None) or SharedQueue(shared, cpu)
