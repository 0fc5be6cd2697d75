"""One connection, the guest's end.

    yield from socket.send(data)         waits while the ring is full
    data = yield from socket.receive()   waits for bytes; b"" when the host has said that no more will come
    yield from socket.shutdown()         no more will come from here
    yield from socket.close()            and have the rings' pages back

What the host has sent lies in the ring until it is received: a guest that doesn't read lets its host stand still.
"""

from vmio.drivers.errors import DriverError
from vmio.drivers.vmbus import GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.contracts import Buffer
from vmio.vmbus.socket.stream import SocketStream

CLOSES_NS = 8_000_000_000       # the host has so long to end its side (Linux hyperv_transport.c, HVS_CLOSE_TIMEOUT)
PATIENCE_NS = 10_000_000_000    # between two looks at a host that sends nothing; a signal wakes us long before


class GuestSocket:
    """`stream` counts what went each way."""

    stream: SocketStream        # from `open` on

    def __init__(self, client: VmBusClient, channel: GuestChannel, payload: int) -> None:
        self.client, self.channel, self.cpu, self._payload = client, channel, client.cpu, payload

    def open(self, pages: int) -> Steps[None]:
        """Open the channel that the host has offered, with so many pages a ring."""
        end = yield from self.client.open(self.channel, pages=pages, on_signal=self._signalled)
        self.stream = SocketStream(end, self._payload)

    def send(self, data: Buffer) -> Steps[None]:
        """Send all of it.  `DriverError` when the host has taken the connection away."""
        yield from self.cpu.pay()
        at = 0
        while at < len(data):
            if self.channel.rescinded:
                raise DriverError(f"socket: the connection is over, {len(data) - at} bytes are not sent")
            sent = self.stream.send(data[at:])
            at += sent
            if not sent and not self.stream.ask_for_room():
                yield from self.cpu.hlt(watchdog_ns=PATIENCE_NS)

    def receive(self) -> Steps[bytes]:
        """Return the bytes of the next record; b"" when no more will come."""
        end, stream = self.stream.end, self.stream
        while not stream.ended:
            packet = end.receive()
            if packet is not None:
                end.commit()
                return stream.data(packet)
            if self.channel.rescinded:
                break
            yield from self.cpu.hlt(watchdog_ns=PATIENCE_NS)
        return b""

    def shutdown(self) -> Steps[None]:
        """Say that no more will come from here; there is always room to say so."""
        yield from self.cpu.pay()
        if not self.channel.rescinded:
            self.stream.finish()

    def close(self) -> Steps[None]:
        """End it: wait until the host has ended its side, 8 s at most, and give the channel back.  What comes meanwhile is lost."""
        client, channel = self.client, self.channel
        yield from self.shutdown()
        deadline = self.cpu.now + CLOSES_NS
        while not channel.rescinded and self.cpu.now < deadline:
            while not self.stream.ended and (packet := self.stream.end.receive()) is not None:
                self.stream.end.commit()
                self.stream.data(packet)
            if not channel.rescinded:
                yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)
        yield from client.close(channel)
        yield from client.taken_back(channel)
        yield from client.release(channel)

    def _signalled(self, cpu: Cpu) -> None:
        """In the interrupt: nothing to do, the program that waits looks by itself."""
