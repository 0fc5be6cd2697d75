"""Sockets to the host, the guest's half: connect, listen, accept; a channel of the bus for each connection.

    sockets = Sockets(client)
    socket = yield from sockets.connect(service_of(0x4000_0000))
    sockets.listen(service_of(109))
    socket = yield from sockets.accept(service_of(109))

The order is Linux's: net/vmw_vsock/hyperv_transport.c (hvs_connect, hvs_open_connection).
"""

from collections import deque
from collections.abc import Callable

from vmio.drivers.container.socket import GuestSocket
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.vmbus import TIMEOUT_NS, GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.messages import Message
from vmio.vmbus.socket.wire import LINUX_PAYLOAD, OFFER, RING_PAGES, service_of

FIRST_PORT = 1024           # of those that a guest's own ends have


class Sockets:
    """`pages` a ring, its control page among them; `payload` bytes at most in one record."""

    def __init__(self, client: VmBusClient, pages: int = RING_PAGES, payload: int = LINUX_PAYLOAD) -> None:
        self.client, self.cpu, self.pages, self.payload = client, client.cpu, pages, payload
        self._port = FIRST_PORT
        self._offered: dict[bytes, GuestChannel] = {}           # endpoint of ours -> what the host answers with
        self._listening: dict[bytes, deque[GuestChannel]] = {}  # service -> who wants to connect
        self._others: Callable[[GuestChannel], None] | None = client.on_offer
        client.on_offer = self._offer

    def connect(self, service: bytes) -> Steps[GuestSocket]:
        """Connect to a service of the host's; a generator.  `DriverError` if nobody listens there, `DriverTimeout` without an answer."""
        client, endpoint = self.client, service_of(self._port)
        self._port += 1
        key = Message.TL_CONNECT_RESULT, endpoint
        client._expect(*key)
        yield from client._post(m.TL_CONNECT_REQUEST.pack(endpoint=endpoint, service=service))
        arrived = yield from client._while(lambda: endpoint not in self._offered and client._expected[key] is None)
        answer, channel = client._expected.pop(key), self._offered.pop(endpoint, None)
        if channel is not None:
            return (yield from self._opened(channel))
        if not arrived or answer is None:
            raise DriverTimeout(f"socket: no answer to a connection in {TIMEOUT_NS:,} ns")
        raise DriverError(f"socket: the host refuses the connection, status {answer.status:#x}")

    def listen(self, service: bytes) -> None:
        """Let the host connect to this service from now on."""
        self._listening.setdefault(service, deque())

    def accept(self, service: bytes) -> Steps[GuestSocket]:
        """Wait for the next connection to a service that we listen to; a generator.  `DriverTimeout` if none comes."""
        waiting = self._listening[service]
        if not (yield from self.client._while(lambda: not waiting)):
            raise DriverTimeout(f"socket: nobody has connected in {TIMEOUT_NS:,} ns")
        return (yield from self._opened(waiting.popleft()))

    def _opened(self, channel: GuestChannel) -> Steps[GuestSocket]:
        socket = GuestSocket(self.client, channel, self.payload)
        try:
            yield from socket.open(self.pages)
        except DriverError:
            if channel.rescinded:
                yield from self.client.release(channel)
            raise
        return socket

    def _offer(self, channel: GuestChannel) -> None:
        """In the interrupt: an offer is a socket's, and then the answer to our request, or somebody who wants to connect."""
        offer = channel.offer
        if not offer.flags & m.HVSOCK:
            if self._others is not None:
                self._others(channel)
        elif OFFER.parse(offer.user).from_host:
            waiting = self._listening.get(offer.interface_type)
            if waiting is not None:         # else nobody opens it, and the host takes it back
                waiting.append(channel)
        else:
            self._offered[offer.instance] = channel
