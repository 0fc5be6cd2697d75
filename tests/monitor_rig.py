"""Guests with devices whose channels have a bit in their monitor page, and a client that uses it."""

from tests.bus_rig import machine, new_client
from tests.echo_device import EchoClient, EchoDevice, offer

LATENCY = 1_000            # 100 ns units
NS = 100 * LATENCY


def monitored(devices=1, **options):
    """(host, guest, server, devices), each device with that latency."""
    host, guest, server, each = machine(0, **options)
    for n in range(devices):
        device = EchoDevice(host, n + 1)
        device.monitor_latency = LATENCY
        each.append(offer(server, device))
    return host, guest, server, each


def opened(cpu, relid=1):
    """Steps to a client with monitor pages and an echo on its first channel."""
    client = new_client(cpu, monitored=True)
    yield from client.connect()
    yield from client.request_offers()
    echo = EchoClient(client, client.channels[relid])
    yield from echo.open()
    return client, echo
