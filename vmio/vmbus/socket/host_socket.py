"""The host's end of one connection: a device of the bus that lives as long as the connection does.

    socket.on_change = look          called when bytes have come, room has come, the other side has ended, or all is over
    socket.read()                    what has come; the guest has room for as much again
    socket.send(data)                goes as the ring has room, `unsent` says how many bytes still wait
    socket.finish()                  no more will come from here; when neither side has more to say, the channel is taken back
    socket.abort("why")              it ends at once

A guest that doesn't read, or whose host doesn't, stands still: at most `UNREAD` records of it are in the host's hands.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Buffer
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.packets import Packet, RingCorrupt
from vmio.vmbus.socket.stream import SocketStream
from vmio.vmbus.socket.wire import MAX_PAYLOAD, OFFER

UNREAD = 4                      # records that were taken from the ring and not read yet
OPENS_NS = 5_000_000_000        # a guest has so long to open what it is offered (OpenVMM vmbus_server/src/hvsock.rs),
CLOSES_NS = 8_000_000_000       # and to end its side after `close` (Linux hyperv_transport.c, HVS_CLOSE_TIMEOUT)


class HostSocket(BusDevice):
    """`service` is what was connected to, `endpoint` who connects: a GUID each, in wire bytes; `from_host` says which side is which.

    `over` is None while it lives, then why it doesn't: "" if both sides had ended, or a sentence.
    """

    offer_flags = m.HVSOCK
    for_one_life = True
    batch, queue_depth = UNREAD, UNREAD
    guest: Guest

    def __init__(self, host: Root, guest: Guest, service: bytes, endpoint: bytes, from_host: bool) -> None:
        super().__init__(host, guest, endpoint)
        self.class_id, self.from_host = service, from_host
        self.offer_user = OFFER.pack(from_host=int(from_host))
        self.on_change: Callable[[], None] | None = None
        self.on_over: Callable[[], None] | None = None      # for its service
        self.stream: SocketStream | None = None     # from its opening on
        self.over: str | None = None
        self._unread: deque[tuple[bytes, Answerable]] = deque()
        self._unsent = bytearray()
        self._finish = False
        self._timer = guest.clock.call_later(OPENS_NS, partial(self.abort, "the guest has not opened it"))

    @property
    def service(self) -> bytes:
        """What was connected to."""
        return self.class_id

    @property
    def endpoint(self) -> bytes:
        """Who connects."""
        return self.instance_id

    # For the host's program.

    @property
    def ended(self) -> bool:
        """Nothing will come any more, and all has been read."""
        return not self._unread and (self.over is not None or self.stream is not None and self.stream.ended)

    @property
    def records(self) -> int:
        """Records that went both ways."""
        return 0 if self.stream is None else self.stream.records

    @property
    def unsent(self) -> int:
        """Bytes that wait for room."""
        return len(self._unsent)

    def read(self) -> bytes:
        """Return all that has come since the last call."""
        found = b"".join(data for data, _ in self._unread)
        self._let_go()
        if self.worker is not None:
            self.worker.signalled()         # it may have stopped taking
        self._retire_if_done()
        return found

    def send(self, data: Buffer) -> None:
        """Send bytes, as the ring has room.  ValueError after `finish`."""
        if self._finish:
            raise ValueError(f"socket: {len(data)} bytes after it was finished")
        if self.over is None:
            self._unsent += data
            self._pump()

    def finish(self) -> None:
        """Say that no more will come from here, when all has been sent."""
        self._finish = True
        self._pump()

    def close(self) -> None:
        """Finish, throw away what comes, and be over in `CLOSES_NS` at the latest, whatever the guest does."""
        self.on_change = self._throw_away
        self.finish()
        self._throw_away()
        if self.over is None:
            self._timer.cancel()
            self._timer = self.guest.clock.call_later(CLOSES_NS, partial(self.abort, "the guest has not ended its side"))

    def abort(self, reason: str = "") -> None:
        """End it now; what was read before is the host's, all else is lost."""
        if self.over is None:
            self._end(reason)
            self._take_back()

    # The channel.

    def opened(self, end: ChannelEnd) -> None:
        """The guest has opened the channel: the connection is made."""
        self._timer.cancel()
        self.stream = SocketStream(end, MAX_PAYLOAD)
        super().opened(end)
        end.on_signal = self._signalled
        self.host.at(0, lambda _: self._pump())     # the guest hears first that it is open

    def packet(self, request: Answerable, packet: Packet) -> None:
        """Take one record of the guest's."""
        assert self.stream is not None      # a packet comes while it is open
        data = self.stream.data(packet)
        if data:
            self._unread.append((data, request))
        else:
            request.end()
        self._changed()
        self._retire_if_done()

    def closed(self) -> Event | None:
        """The channel is closed, by either side: nothing of it is in the guest's memory any more."""
        for _, request in self._unread:
            request.end()
        event = super().closed()
        self._end("the guest has closed its channel")
        self.host.at(0, lambda _: self._take_back())
        return event

    def failed(self, error: Exception) -> None:
        """The guest has written nonsense: that ends this connection, and nothing else."""
        self._end(str(error))
        super().failed(error)

    def _signalled(self) -> None:
        """The guest has written or read something."""
        if self.worker is not None:
            self.worker.signalled()
        self._pump()

    def _pump(self) -> None:
        """Send what waits, as far as the ring has room."""
        stream, before = self.stream, len(self._unsent)
        if stream is None or self.over is not None or stream.finished:
            return
        try:
            del self._unsent[:stream.send(self._unsent)]
            while self._unsent and stream.ask_for_room():      # the guest has read meanwhile
                del self._unsent[:stream.send(self._unsent)]
            if self._finish and not self._unsent:
                stream.finish()
        except RingCorrupt as error:
            self.failed(error)
            return
        if len(self._unsent) < before:
            self._changed()
        self._retire_if_done()

    def _let_go(self) -> None:
        while self._unread:
            self._unread.popleft()[1].end()

    def _throw_away(self) -> None:
        if self._unread:
            self.read()

    def _retire_if_done(self) -> None:
        """Both sides have said that they are done, and all was read: the host takes the channel back, as it always does."""
        if self.over is None and self.stream is not None and self.stream.finished and self.stream.ended and not self._unread:
            self.abort()

    def _end(self, reason: str) -> None:
        if self.over is None:
            self.over = reason
            self._timer.cancel()
            self._unsent.clear()
            self._changed()
            if self.on_over is not None:
                self.on_over()

    def _take_back(self) -> None:
        if self.server is not None and self.channel is not None and self.channel.can("rescind"):
            self.server.rescind(self.channel)

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()
