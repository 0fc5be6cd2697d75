"""Several channels of one device: further ones, each for a vCPU of its own, are offered on request, opened, and closed again.

Linux asks for as many as it has processors online, less one, or as the host allows, and binds each to the
next processor: drivers/hv/channel_mgmt.c (init_vp_index), vmbus_disconnect_ring() in channel.c.
"""

from vmio.drivers.vmbus import GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu


def further_cpus(client: VmBusClient, first: VCpu, allowed: int) -> list[VCpu]:
    """Return the vCPUs that a device may have a further channel for, `allowed` at most: those that are online on the bus, but its first."""
    return [cpu for cpu in client.cpus if cpu is not first][:max(allowed, 0)]


def let_go(client: VmBusClient, primary: GuestChannel, *lent: int) -> Steps[None]:
    """After the host has taken a device away: have rings and `lent` GPADLs back, and release the channels' numbers."""
    family = [*reversed(client.subchannels(primary)), primary]
    for channel in family:
        yield from client.close(channel)
    for handle in lent:
        yield from client.teardown_gpadl(primary, handle)
    for channel in family:
        yield from client.release(channel)


def close_all(client: VmBusClient, primary: GuestChannel) -> Steps[None]:
    """Close a device's further channels and then its primary; what the host takes back is released, so that its number is free."""
    further = client.subchannels(primary)
    for channel in (*reversed(further), primary):
        yield from client.close(channel)
    for channel in further:
        yield from client.taken_back(channel)
        yield from client.release(channel)
