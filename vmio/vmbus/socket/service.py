"""Sockets of one guest, the host's half: who listens, who is connected, and how many there may be.

    sockets = SocketService(host, guest, server)
    sockets.listen(service_of(0x4000_0000), accepted)      accepted(socket) when the guest has connected
    socket = sockets.connect(service_of(109))              the host connects; the guest accepts if it listens there

A guest that connects to what nobody listens to is told so.  Each connection is a channel of the bus, whose numbers are few:
with `MOST` of them under way, or not given back by the guest, it is told no, too.
Public source: OpenVMM vm/devices/vmbus/vmbus_server/src/hvsock.rs.
"""

from collections import Counter
from collections.abc import Callable

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.vmbus.bus.server import VmbusServer
from vmio.vmbus.socket.host_socket import HostSocket
from vmio.vmbus.socket.wire import MAX_LISTEN_PORT, service_of

MOST = 64               # connections of a guest whose channels it has not given back


class SocketService:
    """`sockets` are those under way, `made` counts all, `refused` what the guest was told no for."""

    def __init__(self, host: Root, guest: Guest, server: VmbusServer) -> None:
        self.host, self.guest, self.server = host, guest, server
        self.sockets: list[HostSocket] = []
        self.made = self._records = 0
        self.refused: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()        # why connections are over
        self._listeners: dict[bytes, Callable[[HostSocket], None]] = {}
        self.held = 0                           # channels that the guest has not given back
        self.next_port = MAX_LISTEN_PORT + 1    # a real host's endpoints are random; here two runs are equal
        server.on_connect = self._asked

    @property
    def records(self) -> int:
        """Records of all connections so far, of both directions."""
        return self._records + sum(each.records for each in self.sockets)

    def listen(self, service: bytes, accepted: Callable[[HostSocket], None]) -> None:
        """Call `accepted(socket)` for each connection to this service.  ValueError if somebody listens there."""
        if service in self._listeners:
            raise ValueError(f"socket: somebody listens to {service.hex()} already")
        self._listeners[service] = accepted

    def ignore(self, service: bytes) -> None:
        """Listen no more; connections that there are go on."""
        self._listeners.pop(service, None)

    def connect(self, service: bytes) -> HostSocket:
        """Return a connection to what the guest listens to; it is `over` after five seconds if it does not.  ValueError with too many."""
        if self.held >= MOST:
            raise ValueError(f"guest {self.guest.name}: {self.held} sockets; at most {MOST}")
        self.next_port += 1
        return self._offer(HostSocket(self.host, self.guest, service, service_of(self.next_port - 1), True))

    def _asked(self, endpoint: bytes, service: bytes) -> bool:
        """The guest wants to connect; False if it may not."""
        accepted = self._listeners.get(service)
        if accepted is None:
            self.refused["nobody listens"] += 1
        elif self.held >= MOST or not self.server.free_channels:
            self.refused["too many"] += 1
        elif any(each.endpoint == endpoint for each in self.sockets):
            self.refused["endpoint in use"] += 1
        else:
            accepted(self._offer(HostSocket(self.host, self.guest, service, endpoint, False)))
            return True
        return False

    def _offer(self, socket: HostSocket) -> HostSocket:
        self.sockets.append(socket)
        self.made += 1
        self.held += 1
        socket.on_over = lambda: self._over(socket)
        socket.offer(self.server).on_released = lambda: self._released(socket)
        return socket

    def _over(self, socket: HostSocket) -> None:
        self.sockets.remove(socket)
        self._records += socket.records
        self.ended[socket.over or "both sides had ended"] += 1

    def _released(self, socket: HostSocket) -> None:
        """The guest has given the channel back, or has left the bus."""
        self.held -= 1
        socket.abort("the guest has left the bus")
