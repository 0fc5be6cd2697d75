"""The host's packet loop for any device: answers, messages of its own accord, and what ends a channel."""

from tests import guests
from tests.bus_rig import LIMIT, new_client
from tests.echo_device import ECHO_CLASS, EchoClient
from vmio.modes import Machine
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.bus.packets import COMPLETION, INBAND
from vmio.vmbus.bus.ring import RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory


class Clerk(BusDevice):
    """Answers what wants an answer; b"hold" waits for `release`, b"news" is a message first, b"large" an answer of 8 KiB, b"bye" the end."""

    class_id = ECHO_CLASS

    def __init__(self, host, guest=None):
        super().__init__(host, guest, bytes(16))
        self.held, self.seen = [], []

    def packet(self, request, packet):
        word = packet.payload.rstrip(b"\0")
        self.seen.append(word)
        if not packet.wants_completion:
            request.end()
        elif word == b"hold":
            self.held.append((request, packet.transaction_id))
        else:
            worker = self.worker
            if word == b"bye":
                self.channel.fail("gone")
                self.post(b"first")
            if word in (b"news", b"bye"):
                worker.post(b"first")
            request.complete(bytes(8192) if word == b"large" else word, packet.transaction_id)


class Bench:
    """A `Clerk` over rings in buffers of their own."""

    def __init__(self, pages=4):
        self.host = Machine(memory_mib=1).host
        self.device, self.errors, self.signals = Clerk(self.host), [], []
        self.device.channel = self
        out, back = FlatMemory(pages), FlatMemory(pages)
        format_ring(out), format_ring(back)
        host_end = ChannelEnd(RingWriter(back), RingReader(out), lambda: self.signals.append(self.host.env.now))
        self.end = ChannelEnd(RingWriter(out), RingReader(back), host_end.interrupted)
        self.device.opened(host_end)

    def fail(self, error):
        self.errors.append(error)
        self.device.closed()

    def run(self):
        self.host.env.run()
        return [(packet.kind, packet.transaction_id, packet.payload.rstrip(b"\0")) for packet in self.end.packets()]


def test_a_message_comes_before_the_answer_that_was_sent_after_it():
    bench = Bench()
    bench.end.send(b"news", 5, want_completion=True)
    assert bench.run() == [(INBAND, 0, b"first"), (COMPLETION, 5, b"news")]


def test_a_message_wakes_the_worker_and_costs_its_wake_up():
    bench = Bench()
    bench.run()
    began = bench.host.env.now
    bench.device.post(b"hello")
    assert bench.signals == []
    assert bench.run() == [(INBAND, 0, b"hello")]
    assert bench.signals == [began + bench.host.costs.worker_wakeup_ns]


def test_nothing_is_sent_before_the_guest_has_heard_that_its_channel_is_open():
    bench = Bench()
    bench.device.post(b"hello")          # in `opened`, so to say
    assert bench.signals == []
    assert bench.run() == [(INBAND, 0, b"hello")]


def test_a_message_does_not_wait_for_the_answers_of_its_batch():
    """What is in flight may wait for the guest's reaction to it."""
    bench = Bench()
    bench.end.send(b"hold", 1, want_completion=True)
    bench.run()
    bench.device.post(b"hello")
    assert bench.run() == [(INBAND, 0, b"hello")]
    request, number = bench.device.held.pop()
    assert request.complete(b"late", number) is True and request.complete(b"twice", number) is False
    assert bench.run() == [(COMPLETION, 1, b"late")]


def test_messages_that_find_no_room_come_in_order_when_there_is_some():
    bench = Bench(pages=2)
    bench.run()
    for n in range(300):                        # 4,096 bytes hold 127 of them
        bench.device.worker.post(b"%d" % n)
    got = []
    while batch := bench.run():
        got += batch
    assert got == [(INBAND, 0, b"%d" % n) for n in range(300)]


def test_a_packet_without_an_answer_is_nothing_to_wait_for():
    bench = Bench()
    bench.end.send(b"just so you know")
    assert bench.run() == [] and bench.device.seen == [b"just so you know"]
    assert bench.device.closed() is None


def test_who_has_gone_gets_no_message_and_a_late_answer_is_dropped():
    bench = Bench()
    bench.end.send(b"hold", 1, want_completion=True)
    bench.run()
    worker, drained = bench.device.worker, bench.device.closed()
    worker.post(b"hello")
    assert not drained.triggered
    request, number = bench.device.held.pop()
    assert request.complete(b"late", number) is False
    assert bench.run() == [] and drained.triggered and worker.dropped == 1


def test_a_channel_that_ends_while_its_packet_is_answered_sends_nothing_more():
    bench = Bench()
    bench.end.send(b"bye", 1, want_completion=True)
    assert bench.run() == [] and bench.errors == ["gone"] and bench.signals == []


def test_an_answer_that_never_fits_ends_the_channel_and_nothing_else():
    bench = Bench(pages=2)
    bench.end.send(b"large", 1, want_completion=True)
    assert bench.run() == []
    assert [str(error) for error in bench.errors] == ["a record of 8216 bytes never fits in a ring of 4096"]
    bench = Bench(pages=2)
    bench.run()
    bench.device.worker.post(bytes(8192))
    bench.run()
    assert len(bench.errors) == 1 and bench.device.worker is None


def test_polling_leaves_the_signals_off():
    bench = Bench()
    bench.end.send(b"a", 1, want_completion=True)
    bench.host.env.run()
    assert [packet.transaction_id for packet in bench.end.packets(stay_awake=True)] == [1]
    assert bench.end.incoming.state()["mask"] == 1 and bench.end.incoming.state()["used"] == 0
    assert list(bench.end.packets()) == [] and bench.end.incoming.state()["mask"] == 0


def test_the_recipe():
    """CONTRIBUTING, "Add a device on VMBus": three lines of a class, offered and used by a guest."""
    class Echo(BusDevice):
        class_id = ECHO_CLASS

        def packet(self, request, packet):
            request.complete(packet.payload, packet.transaction_id)

    host = Machine(memory_mib=64).host
    guest, server = guests.on_a_bus(host, ram_mib=8)
    channel = Echo(host, guest, instance_id=bytes(16)).offer(server)

    def program(cpu):
        client = new_client(cpu)
        yield from client.connect()
        offered, = yield from client.request_offers()
        echo = EchoClient(client, offered)
        yield from echo.open()
        return (yield from echo.ask(b"and back"))
    assert host.run((guest.cpu, program), limit_ns=LIMIT) == [b"and back"]
    assert channel.state is State.OPEN and channel.device.worker.completed == 1
