"""What an honest guest does on the bus after everything: it connects, opens each device, and hears its echoes."""

from tests.echo_device import EchoClient
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient

LIMIT = 60 * 10**9
FIRST, PAGES = 0x200, 8     # where the hostile guest's ring pages are


def echo_all(server, rounds):
    """An honest guest: opens every channel there is, and hears each echo."""
    def program(cpu):
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x38_0000))
        yield from client.connect()
        channels = yield from client.request_offers()
        for channel in channels:
            echo = EchoClient(client, channel)
            yield from echo.open(pages=2)
            for n in range(rounds):
                assert (yield from echo.ask(b"%8d" % n)) == b"%8d" % n
        yield from client.unload()
        assert not server.gpadls.by_handle and server.gpadls.pages == 0
        return len(channels)
    return program
