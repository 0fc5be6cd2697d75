"""A guest that seals what it sends to its host: TLS 1.3's records over a socket, whose other end is somebody behind the host.

    socket = SealedSocket((yield from sockets.connect(service)), Sealer(ours), Opener(theirs), rate)
    yield from socket.send(data)            a record of at most 16 KiB each
    data = yield from socket.receive()      one record's content; b"" when no more will come

A socket's bytes lie in a ring that the host reads anyway, and the host's program hands them on.  Both have records in their hands then,
and no keys.  Source: RFC 8446, 5.1 (records in a stream of bytes).
"""

from collections import deque

from vmio.drivers.container.socket import GuestSocket
from vmio.drivers.errors import DriverError
from vmio.drivers.sealed import Records
from vmio.hypervisor.contracts import Steps
from vmio.machine.contracts import Buffer
from vmio.machine.crypto.records import MAX_PLAIN, OVERHEAD, Opener, RecordRefused, Sealer


class SealedSocket(Records):
    """`socket` with records in it; `refused` is why no more will come, or None."""

    def __init__(self, socket: GuestSocket, sealer: Sealer, opener: Opener, rate: int) -> None:
        super().__init__(socket.cpu, sealer, opener, rate)
        self.socket = socket
        self.refused: RecordRefused | None = None
        self._kept, self._opened = bytearray(), deque[bytes]()      # the beginning of a record; contents that nobody has received

    def send(self, data: Buffer) -> Steps[None]:
        """Send all of it.  `DriverError` when the host has taken the connection away."""
        for at in range(0, len(data), MAX_PLAIN):
            yield from self.socket.send(self.seal(data[at:at + MAX_PLAIN]))

    def receive(self) -> Steps[bytes]:
        """Return the content of the next record, b"" when no more will come; `DriverError` for what the other side did not send like this."""
        while not self._opened:
            if self.refused is not None:
                raise DriverError(f"socket: {self.refused}")
            came = yield from self.socket.receive()
            if not came:
                if self._kept:
                    raise DriverError(f"socket: it ends with {len(self._kept):,} bytes of a record that has more")
                return b""
            self._kept += came
            self._open()
        return self._opened.popleft()

    def _open(self) -> None:
        """All records that are whole."""
        try:
            for content in self.opener.take(self._kept):
                self.took(len(content) + OVERHEAD)
                self._opened.append(content)
        except RecordRefused as refused:
            self.refused = refused
