"""A device for tests of the bus, the smallest there is: it answers each packet with the same bytes, in its own time."""

from vmio.machine.layout import guid_bytes
from vmio.vmbus.bus.device import BusDevice

ECHO_CLASS = guid_bytes("11111111-2222-3333-4444-555555555555")


class EchoDevice(BusDevice):
    """Host side.  `service_ns` a packet; `working`: packets that it has in hand."""

    class_id = ECHO_CLASS

    def __init__(self, host, number=1, service_ns=2000):
        super().__init__(host, None, number.to_bytes(16, "little"))
        self.service_ns = service_ns
        self.opens = self.closes = self.echoed = self.working = 0

    def opened(self, end):
        self.opens += 1
        super().opened(end)

    def closed(self):
        self.closes += 1
        return super().closed()

    def packet(self, request, packet):
        self.host.env.process(self._echo(request, packet))

    def _echo(self, request, packet):
        self.working += 1
        yield from self.host.cores.work(self.service_ns)
        self.working -= 1
        self.echoed += request.complete(packet.payload, packet.transaction_id)


def offer(server, device, primary=None):
    """Offer it, and return it."""
    device.offer(server, primary)
    return device


class EchoClient:
    """Guest side: `ask(payload)` waits for the answer."""

    def __init__(self, client, channel):
        self.client, self.channel, self.cpu = client, channel, client.cpu
        self.answers = {}
        self.next = 1

    def open(self, **options):
        self.end = yield from self.client.open(self.channel, on_signal=self.look, **options)

    def look(self, cpu):
        for packet in self.channel.end.packets():
            self.answers[packet.transaction_id] = packet.payload

    def ask(self, payload):
        number, self.next = self.next, self.next + 1
        yield from self.cpu.pay()
        self.end.send(payload, number, want_completion=True)
        while number not in self.answers:
            if not (yield from self.cpu.hlt(watchdog_ns=10**9)):
                raise AssertionError("no answer")
        return self.answers.pop(number)
