"""The host's end of a socket against a guest that writes into the ring: lengths, kinds, ends, and indices as `fuzz_ring` has them."""

import struct

from tests.fuzz import fuzz_ring
from tests.fuzz.engine import bruised, number
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.socket.stream import SocketStream
from vmio.vmbus.socket.wire import FIN_BYTES, MAX_PAYLOAD

KINDS = ("put",) * 8 + ("receive",) * 8 + ("send", "read") * 3 + ("store", "tear", "sleep", "finish")


class Machine(fuzz_ring.Machine):
    """`stream` is the host's; the guest's records are pipe's packets, nearly right."""

    def open(self):
        super().open()
        self.stream = SocketStream(self.host, MAX_PAYLOAD)

    def record(self, dice):
        data = dice.randbytes(dice.choice((1, 7, 8, 9, 200, dice.randrange(1, 1500))))
        size = len(data) if dice.random() < 0.9 else dice.choice((0, len(data) + 7, len(data) + 1, number(dice, 32)))
        pipe = 1 if dice.random() < 0.97 else number(dice, 32)
        body = bruised(dice, struct.pack("<II", pipe, size) + data, 0.03)
        body += bytes(-len(body) % 8)
        kind = 6 if dice.random() < 0.97 else dice.choice((6, 0xB, dice.randrange(16)))
        return struct.pack("<HHHHQ", kind, 2, 2 + len(body) // 8, 0, number(dice, 64)) + body

    def act(self, dice, kind):
        stream = self.stream
        if kind == "receive":
            packet, ended, received = self.host.receive(), stream.ended, stream.received
            if packet is None:
                return self.sleep()
            try:
                data = stream.data(packet)
            except RingCorrupt as error:
                self.host.error = error         # as the channel's worker does
                assert (stream.ended, stream.received) == (ended, received), "a record that was refused counts"
                raise
            assert not ended and len(data) <= min(MAX_PAYLOAD, len(packet.payload) - 8) and stream.ended == (not data)
            assert packet.kind == 6 and stream.received == received + len(data)
            return kind, len(data) > 0, len(data) // 100
        if kind == "send":
            data = dice.randbytes(dice.randrange(6000))
            sent = stream.send(data)
            assert sent <= len(data) and (stream.finished and not sent or self.host.outgoing._free > FIN_BYTES)
            return kind, sent // 500, stream.ask_for_room()
        if kind == "finish":
            stream.finish()                     # it has room, whatever was sent before
            return kind, stream.writable
        return super().act(dice, kind)
