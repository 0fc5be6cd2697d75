"""A guest with sockets to its host, whose program sends back what comes."""

from tests import bus_rig
from vmio.drivers.container.sockets import Sockets
from vmio.vmbus.socket.service import SocketService
from vmio.vmbus.socket.wire import service_of

PORT = service_of(0x4000_0000)


def echoed(kept):
    """What a host's program does with a connection: it sends back what comes, and ends when the guest ends."""
    def accepted(socket):
        kept.append(socket)

        def look():
            data = socket.read()
            if data:
                socket.send(data)
            if socket.ended and socket.over is None:
                socket.finish()
        socket.on_change = look
    return accepted


def driven(script, accepted=echoed):
    """Run `script(sockets, service, kept)` as the guest, by its driver; returns what it returned, and (server, service, kept)."""
    host, guest, server, _ = bus_rig.machine(devices=0)
    service, kept = SocketService(host, guest, server), []
    service.listen(PORT, accepted(kept))

    def program(cpu):
        client = bus_rig.new_client(cpu)
        yield from client.connect()
        yield from client.request_offers()
        found = yield from script(Sockets(client), service, kept)
        yield from cpu.hlt(1_000_000)       # what the guest has said last is heard
        return found
    return bus_rig.run(host, guest, program), server, service, kept


def rest(cpu, ns):
    """Sleep so long, whatever interrupts."""
    until = cpu.now + ns
    while cpu.now < until:
        yield from cpu.hlt(until - cpu.now)
