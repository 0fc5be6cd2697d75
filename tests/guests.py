"""Guests with a bus, for tests that look at one of its ends alone: the one place where tests switch a VMBus on."""

from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.vmbus.bus.server import VmbusServer


def on_a_bus(host, name=None, ram_mib=4, vcpus=1, **options):
    """(guest, server): a new guest of `host` that knows its hypervisor; `options` are those of `VmbusServer`."""
    guest = host.guest(name, ram_mib, vcpus)
    enable_enlightenments(guest)
    return guest, VmbusServer(guest, **options)
