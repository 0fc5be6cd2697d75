"""Sub-channels as the host serves them, and as no honest guest uses them."""

import pytest

from tests.smp_rig import DATA, Smp
from tests.storage_rig import srb
from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.storage import vstor as v


class Queue:
    """One channel, opened by hand: `ask(payload)` waits for the answer."""

    def __init__(self, client, channel):
        self.client, self.channel, self.cpu, self.answers = client, channel, client.cpu, {}

    def open(self, **options):
        self.end = yield from self.client.open(self.channel, pages=4, on_signal=self._look, **options)
        return self

    def _look(self, cpu):
        for packet in self.end.packets():
            self.answers[packet.transaction_id] = packet.payload

    def send(self, payload, number, ranges=()):
        yield from self.cpu.pay()
        self.end.send(payload, number, want_completion=True, ranges=ranges)

    def ask(self, payload, number=5, ranges=(), wait=1_000_000):
        """The answer, or None if none comes in `wait` ns."""
        self.answers.pop(number, None)
        yield from self.send(payload, number, ranges)
        until = self.cpu.now + wait
        while number not in self.answers and self.cpu.now < until:
            yield from self.cpu.hlt(until - self.cpu.now)
        return self.answers.get(number)

    def control(self, operation, **fields):
        layout = {v.QUERY_PROTOCOL_VERSION: v.VERSION, v.CREATE_SUB_CHANNELS: v.SUBCHANNELS}.get(operation, v.PACKET)
        return v.PACKET.parse((yield from self.ask(layout.pack(operation=operation, flags=1, **fields)))).status

    def reads(self):
        """READ(10) of sector 7: is it there?"""
        payload, ranges = srb(bytes((0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0)), 512, gpa=DATA)
        answer = yield from self.ask(payload, 9, ranges)
        return answer is not None and v.SRB.parse(answer).srb_status == v.SRB_SUCCESS


def spoil(queue):
    """A write index that is none."""
    queue.end.outgoing.memory.store32(0, 3)
    queue.channel.signal()


def before_the_end(client, sub=2):
    """The primary, opened by hand, with `sub` sub-channels made before END_INITIALIZATION: (primary, [channels])."""
    channel, = yield from client.request_offers()
    primary = yield from Queue(client, channel).open()
    for operation, fields in ((v.BEGIN_INITIALIZATION, {}), (v.QUERY_PROTOCOL_VERSION, {"version": v.WIN10}), (v.QUERY_PROPERTIES, {}),
                              (v.CREATE_SUB_CHANNELS, {"subchannels": sub})):
        assert (yield from primary.control(operation, **fields)) == 0
    return primary, (yield from client.offered(channel, sub))


def by_hand(program, **options):
    """Run `program(smp, cpu, client)` in a guest of its own; returns the `Smp`."""
    smp = Smp(1, max_subchannels=3, **options)

    def whole(cpu):
        client = VmBusClient(cpu, GuestPages(0x10_0000, DATA))
        yield from client.connect()
        yield from program(smp, cpu, client)

    smp.host.run((smp.guest.cpu, whole), limit_ns=10**10)
    return smp


def test_a_sub_channel_that_is_opened_too_early_waits_for_the_start_up():
    """OpenVMM, WorkerState::run: what comes before END_INITIALIZATION stays in the ring."""
    def program(smp, cpu, client):
        primary, (first, second) = yield from before_the_end(client)
        early = yield from Queue(client, first).open()
        payload, _ = srb(bytes(6))
        assert (yield from early.ask(payload)) is None
        assert (yield from early.ask(v.PACKET.pack(operation=v.END_INITIALIZATION, flags=1), 6)) is None and not smp.vsp.ready
        assert (yield from primary.control(v.CREATE_SUB_CHANNELS, subchannels=1)) == v.INVALID_DEVICE_STATE
        assert (yield from primary.control(v.END_INITIALIZATION)) == 0
        yield from cpu.hlt(1_000_000)
        assert v.SRB.parse(early.answers[5]).srb_status == v.SRB_SUCCESS
        assert v.PACKET.parse(early.answers[6]).status == v.INVALID_DEVICE_STATE
        late = yield from Queue(client, second).open()
        for queue in (primary, early, late):
            assert (yield from queue.reads())

    by_hand(program)


@pytest.mark.parametrize("operation", sorted(set(v.OPERATIONS) - {v.EXECUTE_SRB}))
def test_the_start_up_is_the_primarys(operation):
    """OpenVMM, handle_packet: sub-channels take requests and resets; all else is out of place there."""
    resets = v.RESET_LUN, v.RESET_ADAPTER, v.RESET_BUS

    def program(smp, cpu, client):
        primary, (first, _) = yield from before_the_end(client)
        assert (yield from primary.control(v.END_INITIALIZATION)) == 0
        queue = yield from Queue(client, first).open()
        assert (yield from queue.control(operation, **({"subchannels": 3} if operation == v.CREATE_SUB_CHANNELS else {}))) == (
            0 if operation in resets else v.INVALID_DEVICE_STATE)
        assert len(smp.server.channels) == 3 and smp.vsp.ready
        for each in (primary, queue):
            assert (yield from each.reads())

    by_hand(program)


def test_opened_twice_the_second_is_refused_and_the_first_lives():
    def program(smp, cpu, client):
        primary, (first, _) = yield from before_the_end(client)
        assert (yield from primary.control(v.END_INITIALIZATION)) == 0
        queue = yield from Queue(client, first).open()
        end, gpadl, look = first.end, first.gpadl, first.on_signal
        first.end = None
        with pytest.raises(DriverError, match="refused to open it"):
            yield from client.open(first, pages=2)
        first.end, first.gpadl, first.on_signal = end, gpadl, look
        assert (yield from queue.reads()) and (yield from primary.reads())

    smp = by_hand(program)
    assert smp.server.refused == {"OPENCHANNEL in state open": 1}


@pytest.mark.parametrize("gpadl_of", ["primary", "sibling", "nobody"])
def test_rings_are_those_of_the_channel_itself(gpadl_of):
    def program(smp, cpu, client):
        primary, (first, second) = yield from before_the_end(client)
        yield from Queue(client, first).open()
        handle = {"primary": primary.channel.gpadl, "sibling": first.gpadl, "nobody": 77}[gpadl_of]
        yield from client._post(m.OPENCHANNEL.pack(relid=second.relid, open_id=1, gpadl=handle, downstream_page=4))
        yield from cpu.hlt(1_000_000)
        assert smp.server.channels[second.relid].state is State.OFFERED

    smp = by_hand(program)
    assert smp.server.refused == {"OPENCHANNEL without a GPADL fit for rings": 1}


def test_the_primary_is_closed_first_with_requests_in_flight():
    """The sub-channels go with it; the pages are the guest's again when the disk has let go of them."""
    def program(smp, cpu, client):
        primary, channels = yield from before_the_end(client)
        assert (yield from primary.control(v.END_INITIALIZATION)) == 0
        backend = smp.vsp.disks[0][1]
        backend.hold = True
        for number, channel in enumerate(channels):
            queue = yield from Queue(client, channel).open()
            payload, ranges = srb(bytes((0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0)), 512, gpa=DATA)
            yield from queue.send(payload, 9, ranges)
        yield from cpu.hlt(1_000_000)
        assert len(backend.held) == 2
        yield from client.close(primary.channel)
        for channel in channels:
            yield from client.taken_back(channel)
            assert smp.server.channels[channel.relid].in_use
        smp.host.at(cpu.now + 5_000_000, lambda _: (backend.release(), backend.release()))
        closed = cpu.now
        for channel in channels:
            yield from client.release(channel)
        assert cpu.now >= closed + 5_000_000                  # TORNDOWN waits for the disk
        backend.hold = False
        yield from cpu.hlt(1_000_000)
        assert list(smp.server.channels) == [1] and not smp.server.gpadls.by_handle
        again = yield from Queue(client, primary.channel).open()
        for operation, fields in ((v.BEGIN_INITIALIZATION, {}), (v.QUERY_PROTOCOL_VERSION, {"version": v.WIN10}),
                                  (v.QUERY_PROPERTIES, {}), (v.END_INITIALIZATION, {}), (v.CREATE_SUB_CHANNELS, {"subchannels": 3})):
            assert (yield from again.control(operation, **fields)) == 0
        assert len((yield from client.offered(primary.channel, 3))) == 3
        assert (yield from again.reads())

    by_hand(program)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_nonsense_in_one_ring_ends_that_channel_alone(which):
    def program(smp, cpu, client):
        primary, channels = yield from before_the_end(client)
        assert (yield from primary.control(v.END_INITIALIZATION)) == 0
        queues = [primary]
        for channel in channels:
            queues.append((yield from Queue(client, channel).open()))
        spoil(queues.pop(which))
        yield from cpu.hlt(1_000_000)
        assert [c.state for c in smp.server.channels.values()].count(State.FAILED) == 1
        for queue in queues:
            assert (yield from queue.reads())

    assert by_hand(program).vsp.corrupt == 1


def test_what_is_in_flight_is_bounded_by_channel():
    def program(smp, cpu, client):
        primary, (first, second) = yield from before_the_end(client)
        assert (yield from primary.control(v.END_INITIALIZATION)) == 0
        smp.vsp.disks[0][1].hold = True
        queues = [primary]
        for channel in (first, second):
            queues.append((yield from Queue(client, channel).open()))
        payload, ranges = srb(bytes((0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0)), 512, gpa=DATA)
        for queue in queues:
            for number in range(40):
                yield from queue.send(payload, number, ranges)
        yield from cpu.hlt(3_000_000)
        assert smp.vsp.in_flight == 3 * 8
        smp.vsp.disks[0][1].hold = False
        while smp.vsp.disks[0][1].held:
            smp.vsp.disks[0][1].release()
            yield from cpu.hlt(100_000)
        assert [len(queue.answers) for queue in queues] == [40] * 3

    by_hand(program, queue_depth=8)
