"""The three sockets of a process in a container: the host listens, the agent connects, and each is closed by who writes to it."""

from collections.abc import Callable
from functools import partial

from vmio.host.gcs.bridge import BridgeClosed
from vmio.vmbus.socket.host_socket import HostSocket
from vmio.vmbus.socket.service import SocketService
from vmio.vmbus.socket.wire import service_of

MAX_OUTPUT = 1 << 20        # bytes that are kept of each of a process's two outputs


class Stdio:
    """`output` has what came; `done` is an event for when both outputs have ended.

    A process that writes more than is kept is too much for its host: `refuse(reason)`.
    """

    def __init__(self, sockets: SocketService, ports: dict[str, int], stdin: bytes, refuse: Callable[[str], None]) -> None:
        self.sockets, self.ports, self._stdin, self._refuse = sockets, ports, stdin, refuse
        self.output = {"StdOut": bytearray(), "StdErr": bytearray()}
        self.bytes = 0              # in both directions
        self.done = sockets.host.env.event()
        self.done.defused = True
        self._open = set(self.output)
        self._connected: list[HostSocket] = []
        for name, port in ports.items():
            sockets.listen(service_of(port), partial(self._accepted, name))

    def end(self, reason: str = "") -> None:
        """Listen no more; without a process there is nothing to come.  With a `reason` who waits for it is told so."""
        for port in self.ports.values():
            self.sockets.ignore(service_of(port))
        if not self.done.triggered:
            for socket in self._connected:
                socket.abort(reason)
            if not self.done.triggered:
                self.done.fail(BridgeClosed(reason))

    def _accepted(self, name: str, socket: HostSocket) -> None:
        self.sockets.ignore(service_of(self.ports[name]))       # one connection each
        self._connected.append(socket)
        if name == "StdIn":
            self.bytes += len(self._stdin)
            socket.send(self._stdin)
            socket.close()
        else:
            socket.on_change = partial(self._look, name, socket)

    def _look(self, name: str, socket: HostSocket) -> None:
        data, kept = socket.read(), self.output[name]
        if len(kept) + len(data) > MAX_OUTPUT:
            return self._refuse(f"GCS: a process has written more than {MAX_OUTPUT:,} bytes to its {name}")
        kept += data
        self.bytes += len(data)
        if socket.ended and name in self._open:
            self._open.remove(name)
            if socket.over is None:
                socket.finish()         # nothing goes that way: it is over
            if not self._open and not self.done.triggered:
                self.done.succeed()
