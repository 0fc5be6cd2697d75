"""Messages on a Unix stream: they come in pieces, with file descriptors beside them, and go out whole."""

import array
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from vmio.machine.contracts import Buffer
from vmio.oracle.vhost_user.wire import HEADER, MAX_PAYLOAD, NEED_REPLY, REPLY, VERSION, VERSION_MASK, Request

MAX_DESCRIPTORS = 253           # that Linux sends beside one message (SCM_MAX_FD)


class ProtocolError(Exception):
    """What a front end has sent that can't be answered; the text says what, and the conversation is over."""


@dataclass
class Message:
    """What has come: a number, flags, a payload, and descriptors, which are closed with it unless somebody takes them."""

    request: int
    flags: int
    payload: bytes
    fds: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return what the specification calls it."""
        return Request(self.request).name if self.request in Request.__members__.values() else f"number {self.request}"

    @property
    def needs_reply(self) -> bool:
        """Whether an answer is asked for, also where there is usually none."""
        return bool(self.flags & NEED_REPLY)

    def close(self) -> None:
        """Close the descriptors that nobody has taken."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


class Stream:
    """A connected socket to a front end."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        peer.setblocking(False)
        self._bytes = bytearray()
        self._fds: list[int] = []

    def receive(self) -> Message | None:
        """Return the next message, or None if not all of it has come yet.

        EOFError where the front end has ended the conversation; ProtocolError for what is no message.
        """
        while True:
            missing = self._missing()
            if not missing:
                return self._take()
            try:
                data, beside, _, _ = self.peer.recvmsg(missing, socket.CMSG_SPACE(4 * MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            except ConnectionError:
                data, beside = b"", []
            for level, kind, rights in beside:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._fds += array.array("i", rights[:len(rights) // 4 * 4])
            if not data:
                if self._bytes:
                    raise ProtocolError(f"the front end has gone in the middle of a message, after {len(self._bytes)} bytes of it")
                raise EOFError
            self._bytes += data

    def _missing(self) -> int:
        """How many bytes the message that is coming needs, as far as known."""
        if len(self._bytes) < HEADER.size:
            return HEADER.size - len(self._bytes)
        header = HEADER.parse(self._bytes)
        if header.flags & VERSION_MASK != VERSION:
            raise ProtocolError(f"message {header.request} is of version {header.flags & VERSION_MASK}; version {VERSION} is spoken here")
        if header.flags & REPLY:
            raise ProtocolError(f"message {header.request} is an answer, and nothing was asked")
        if header.size > MAX_PAYLOAD:
            raise ProtocolError(f"message {header.request} announces {header.size:,} bytes; none has more than {MAX_PAYLOAD:,}")
        return HEADER.size + header.size - len(self._bytes)

    def _take(self) -> Message:
        header = HEADER.parse(self._bytes)
        message = Message(header.request, header.flags, bytes(self._bytes[HEADER.size:]), self._fds)
        self._bytes, self._fds = bytearray(), []
        return message

    def reply(self, request: int, payload: Buffer, fds: Iterable[int] = ()) -> None:
        """Answer a message.  EOFError where nobody reads the answer."""
        data = HEADER.pack(request=request, flags=VERSION | REPLY, size=len(payload)) + bytes(payload)
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = self.peer.sendmsg([data], beside)
        except (ConnectionError, BlockingIOError) as error:
            raise EOFError from error
        if sent < len(data):            # some hundred bytes don't fit: it has not read its answers for long
            raise EOFError

    def close(self) -> None:
        """Close the descriptors of a message that never came to its end."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []
