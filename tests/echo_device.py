"""A device for tests of the bus: it answers each packet with the same bytes, in its own time."""

from vmio.machine.layout import guid_bytes
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.ring import RingFull

ECHO_CLASS = guid_bytes("11111111-2222-3333-4444-555555555555")


class EchoDevice:
    """Host side.  `service_ns` a packet; `closed()` drains what was received already."""

    class_id = ECHO_CLASS

    def __init__(self, host, number=1, service_ns=2000):
        self.host, self.env, self.service_ns = host, host.env, service_ns
        self.instance_id = number.to_bytes(16, "little")
        self.channel = self.end = self._wake = self._running = None
        self.opens = self.closes = self.echoed = self.spurious = 0

    def opened(self, end):
        self.end = end
        self.opens += 1
        self._running = self.env.process(self._serve(end))

    def signalled(self):
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed()
        else:
            self.spurious += 1

    def closed(self):
        self.end = None
        self.closes += 1
        if self._running.is_alive and self._running is not self.env.active_process:
            if self._wake is not None and not self._wake.triggered:
                self._wake.succeed()
            return self._running

    def _serve(self, end):
        try:
            while self.end is end:
                end.begin_read()
                while (packet := end.receive()) is not None:
                    yield from self.host.work(self.service_ns)
                    if self.end is not end:
                        return
                    while not self._answered(end, packet):
                        yield from self._sleep()
                        if self.end is not end:
                            return
                if not end.end_read():
                    yield from self._sleep()
        except (RingCorrupt, ValueError) as error:   # ValueError: an answer that can never fit
            self.channel.fail(error)


    def _answered(self, end, packet):
        try:
            end.send_completion(packet.payload, packet.transaction_id, wait=True)
        except RingFull:
            return False
        self.echoed += 1
        return True

    def _sleep(self):
        self._wake = self.env.event()
        yield self._wake
        yield from self.host.work(self.host.costs.wakeup_ns)


def offer(server, device, primary=None):
    """Offer it and let it know its channel."""
    device.channel = server.offer(device, primary)
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
        end = self.channel.end
        end.begin_read()
        while True:
            while (packet := end.receive()) is not None:
                self.answers[packet.transaction_id] = packet.payload
            if not end.end_read():
                return

    def ask(self, payload):
        number, self.next = self.next, self.next + 1
        yield from self.cpu.pay()
        self.end.send(payload, number, want_completion=True)
        while number not in self.answers:
            if not (yield from self.cpu.hlt(10**9)):
                raise AssertionError("no answer")
        return self.answers.pop(number)
