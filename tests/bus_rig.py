"""A host, a guest with the bus on, echo devices on it, and the guest's client, for tests of the guest's side."""

from tests import guests
from tests.echo_device import EchoClient, EchoDevice, offer
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.modes import Machine

LIMIT = 30 * 10**9


def machine(devices=1, vcpus=1, apic="virtualized", host=None, **options):
    host = host or Machine(memory_mib=64, apic=apic).host
    guest, server = guests.on_a_bus(host, ram_mib=8, vcpus=vcpus, **options)
    return host, guest, server, [offer(server, EchoDevice(host, n + 1)) for n in range(devices)]


def new_client(cpu, **options):
    return VmBusClient(cpu, GuestPages(0x10_0000, 0x80_0000), **options)


def run(host, guest, program):
    return host.run((guest.cpu, program), limit_ns=LIMIT)[0]


def echoes(count=2, **options):
    """A whole bring-up: connect, offers, open the first, `count` echoes."""
    def program(cpu):
        client = new_client(cpu)
        yield from client.connect()
        channels = yield from client.request_offers()
        echo = EchoClient(client, channels[0])
        yield from echo.open(**options)
        for n in range(count):
            assert (yield from echo.ask(b"%8d" % n)) == b"%8d" % n
        return client, echo
    return program

