"""One side's half of a socket: bytes become records of its ring, and records bytes.  Host and guest use the same class.

    stream = SocketStream(end, MAX_PAYLOAD)
    stream.send(data)            how many bytes of it were taken: 0 when the ring is full
    stream.finish()              no more will come; there is always room to say so
    stream.data(packet)          bytes; b"" when the other side has said so

No record may be written that would leave less room than the last one needs, so a side that is stuck can always end.
Public sources: Linux net/vmw_vsock/hyperv_transport.c (hvs_channel_writable_bytes, hvs_stream_enqueue, hvs_update_recv_data),
OpenVMM vm/devices/vmbus/vmbus_async/src/pipe.rs.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from vmio.machine.contracts import Buffer
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import INBAND, PIPE, PIPE_DATA, Packet, RingCorrupt
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.socket.wire import FIN_BYTES, MAX_PAYLOAD, record_bytes

T = TypeVar("T")


class SocketStream:
    """`limit` bytes at most go into one record.  `finished`: we have said that no more will come; `ended`: the other side has."""

    def __init__(self, end: ChannelEnd, limit: int) -> None:
        self.end, self.limit = end, limit
        self.finished = self.ended = False
        self.sent = self.received = self.records = 0       # bytes, bytes, records of both directions

    @property
    def writable(self) -> int:
        """How many bytes the next record may have, as the ring is now; a multiple of 8 below the limit, and 0 after `finish`."""
        if self.finished:
            return 0
        free = self._latched(self.end.outgoing.available) - FIN_BYTES - record_bytes(1)      # a ring is never filled completely
        return max(0, min(free & ~7, self.limit))

    def send(self, data: Buffer) -> int:
        """Send as much of `data` as has room, in one record or several; returns how many bytes."""
        at, data = 0, bytes(data)
        while at < len(data):
            size = min(self.writable, len(data) - at)
            if not size:
                break
            self._write(data[at:at + size])
            at += size
        self.sent += at
        return at

    def ask_for_room(self) -> bool:
        """Have the other side signal when the next record has room; True if it has already."""
        try:
            self._latched(partial(self.end.outgoing.make_room, record_bytes(min(self.limit, self._least)) + FIN_BYTES))
        except RingFull:
            return False
        return True

    def finish(self) -> None:
        """Say that no more will come, once."""
        if not self.finished:
            self.finished = True
            self._write(b"")

    def data(self, packet: Packet) -> bytes:
        """Return the bytes of one record, b"" if it says that no more will come; `RingCorrupt` for what no honest peer sends."""
        payload = packet.payload
        if packet.kind != INBAND or len(payload) < PIPE.size:
            raise RingCorrupt(f"socket: a record of type {packet.kind:#x} with {len(payload)} bytes; in-band, {PIPE.size} or more")
        kind, size = PIPE.struct.unpack_from(payload)
        if kind != PIPE_DATA:
            raise RingCorrupt(f"socket: a pipe's packet of type {kind:#x}; {PIPE_DATA} is data")
        if size > min(len(payload) - PIPE.size, MAX_PAYLOAD):
            raise RingCorrupt(f"socket: {size} bytes said, {len(payload) - PIPE.size} there; at most {MAX_PAYLOAD}")
        if self.ended:
            raise RingCorrupt(f"socket: {size} bytes after the end of all")
        self.ended = not size
        self.received += size
        self.records += 1
        return payload[PIPE.size:PIPE.size + size]

    @property
    def _least(self) -> int:
        """Bytes worth waking up for: a Linux guest waits for room for its largest record; a small ring never has that."""
        return (self.end.outgoing.size - 2 * FIN_BYTES) // 2 & ~7

    def _latched(self, call: Callable[[], T]) -> T:
        """What `call()` gives; a ring that is corrupt stays so, for all who use this end."""
        try:
            return call()
        except RingCorrupt as error:
            self.end.error = self.end.error or error
            raise

    def _write(self, data: bytes) -> None:
        self.end.send(PIPE.pack(size=len(data)) + data)
        self.records += 1
