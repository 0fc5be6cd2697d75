"""Channels and buses that end, and begin again: close, rescind, unload, reset."""

import pytest

from tests.bus_rig import echoes, machine, new_client, run
from tests.echo_device import EchoClient, EchoDevice, offer
from tests.raw_guest import RING, RawGuest, converse
from vmio.drivers.errors import DriverError
from vmio.drivers.vmbus import Rescinded
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.host_channel import OpenRefused, State


def test_close_and_reopen():
    host, guest, server, (device,) = machine()

    def program(cpu):
        client, echo = yield from echoes()(cpu)
        gpa = echo.end.outgoing.memory.pages[0] * 4096
        for _ in range(3):
            yield from client.close(echo.channel)
            assert device.channel.state is State.OFFERED and not server.gpadls.by_handle
            yield from echo.open(gpa=gpa)
            assert (yield from echo.ask(b"again   ")) == b"again   "

    run(host, guest, program)
    assert (device.opens, device.closes, device.echoed) == (4, 3, 5)
    assert not server.refused


def test_closing_waits_for_the_device():
    host, guest, server, (device,) = machine()
    device.service_ns = 5_000_000

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        echo.end.send(b"in flight", 77, want_completion=True)
        yield from cpu.hlt(2_000_000)   # the device has taken it
        assert device.working == 1
        yield from client.close(echo.channel)
        assert device.working == 0

    run(host, guest, program)
    assert device.echoed == 1 and device.channel.ring is None


def test_closing_and_opening_back_to_back():
    """CLOSE has no answer: the OPEN may come while the device still lets go."""
    host, guest, server, (device,) = machine()
    device.service_ns = 3_000_000

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        echo.end.send(b"in flight", 77)
        yield from cpu.hlt(2_000_000)
        old, echo.channel.gpadl, echo.channel.end = echo.channel.gpadl, None, None
        yield from client._post(m.CLOSECHANNEL.pack(relid=1))
        yield from echo.open()
        yield from client.teardown_gpadl(echo.channel, old)
        assert (yield from echo.ask(b"fresh...")) == b"fresh..."

    run(host, guest, program)
    assert device.opens == 2 and not server.refused


def test_rescind_with_a_request_in_flight():
    host, guest, server, (device, other) = machine(2)
    device.service_ns = 5_000_000
    told = []

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        echo.channel.on_rescind = lambda: told.append(cpu.now)
        second = EchoClient(client, client.channels[2])
        yield from second.open()
        echo.end.send(b"in flight", 77)
        server.guest.host.at(cpu.now + 1_000_000, lambda _: server.rescind(device.channel))
        while not told:
            yield from cpu.hlt(10**8)
        assert echo.channel.rescinded and device.channel.state is State.RESCINDED
        echo.channel.signal()
        assert echo.channel.lost_signals == 1
        yield from client.release(echo.channel)
        assert (yield from second.ask(b"neighbour")) == b"neighbour".ljust(16, b"\0")
        return client

    client = run(host, guest, program)
    assert device.channel.state is State.GONE and list(server.channels) == [2] == list(client.channels)
    assert device.echoed == 1 and not server.refused
    assert list(server.gpadls.of(1)) == []


def test_a_released_relid_comes_back_with_a_new_device():
    host, guest, server, (device,) = machine()
    late = []

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        client.on_offer = late.append
        server.guest.host.at(cpu.now, lambda _: server.rescind(device.channel))
        while not echo.channel.rescinded:
            yield from cpu.hlt(10**8)
        yield from client.release(echo.channel)
        yield from cpu.hlt(10**6)
        fresh = offer(server, EchoDevice(host, 9))
        while not late:
            yield from cpu.hlt(10**8)
        again = EchoClient(client, late[0])
        yield from again.open()
        assert (yield from again.ask(b"hot-plug")) == b"hot-plug"
        return fresh

    assert run(host, guest, program).channel.relid == 1


def test_opening_what_is_rescinded_meanwhile():
    host, guest, server, (device,) = machine()

    def program(cpu):
        client = new_client(cpu)
        yield from client.connect()
        (channel,) = yield from client.request_offers()
        server.guest.host.at(cpu.now, lambda _: server.rescind(device.channel))
        with pytest.raises((Rescinded, DriverError)):
            yield from client.open(channel)
        while not channel.rescinded:
            yield from cpu.hlt(10**8)
        yield from client.release(channel)
        yield from cpu.hlt(10**6)

    run(host, guest, program)
    assert not server.channels and device.opens == 0


def test_a_device_may_refuse():
    host, guest, server, (device,) = machine()
    device.opened = lambda end: (_ for _ in ()).throw(OpenRefused("busy"))

    def program(cpu):
        client = new_client(cpu)
        yield from client.connect()
        (channel,) = yield from client.request_offers()
        with pytest.raises(DriverError, match="refused"):
            yield from client.open(channel)
        assert device.channel.state is State.OFFERED and not server.gpadls.by_handle
        del device.opened
        echo = EchoClient(client, channel)
        yield from echo.open()
        yield from echo.ask(b"now")

    run(host, guest, program)
    assert device.echoed == 1


def test_unload_and_start_again():
    host, guest, server, (device, other) = machine(2)

    def program(cpu):
        client, echo = yield from echoes()(cpu)
        yield from client.unload()
        assert server.version is None and not server.gpadls.by_handle
        assert device.channel.state is State.OFFERED
        client, echo = yield from echoes()(cpu)
        assert len(client.channels) == 2

    run(host, guest, program)
    assert (device.opens, device.closes, device.echoed) == (2, 1, 4)


def test_a_guest_that_starts_anew_without_unload():
    host, guest, server, (device,) = machine()

    def program(cpu):
        yield from echoes()(cpu)
        yield from echoes()(cpu)

    run(host, guest, program)
    assert (device.opens, device.closes) == (2, 1)


def test_a_reset_guest_starts_again():
    host, guest, server, (device,) = machine()
    run(host, guest, echoes())
    guest.enlightened.reset()
    assert guest.cpu.apic.isr == 0
    run(host, guest, echoes())
    assert (device.opens, device.closes, device.echoed) == (2, 1, 4)


def test_a_guest_in_use_is_not_destroyed():
    host, guest, server, (device,) = machine()
    run(host, guest, echoes())
    with pytest.raises(ValueError, match="channels 1 are in use"):
        guest.destroy()
    guest.enlightened.reset()
    host.env.run(until=host.env.now + 10**6)
    guest.destroy()


def test_what_was_answered_before_a_reset_does_not_reach_who_comes_after():
    """UNLOAD waits for the device; the guest is reset meanwhile, and the late answer is nobody's."""
    host, guest, server, (device,) = machine()
    device.service_ns = 5_000_000

    def before(cpu):
        client, echo = yield from echoes(1)(cpu)
        echo.end.send(b"in flight", 77)
        yield from cpu.hlt(2_000_000)
        yield from client._post(m.UNLOAD.pack())
        yield from cpu.hlt(1_000_000)

    run(host, guest, before)
    assert device.channel.state is State.CLOSING
    guest.enlightened.reset()

    def after(cpu):
        raw = RawGuest(cpu)
        yield from raw.post(m.INITIATE_CONTACT.pack(version=m.V5_3), m.CONTACT_CONNECTION)
        while not raw.inbox:
            yield from cpu.hlt(10**6)
        return [message.type for message in (yield from raw.replies())]

    assert run(host, guest, after) == [15] and device.channel.state is State.OFFERED


def test_after_unload_no_channel_is_known_until_it_is_offered_again():
    def script(raw, server):
        (unloaded,) = yield from raw.say(m.UNLOAD.pack())
        assert unloaded.type == 17
        yield from raw.connect(offers=False)
        assert (yield from raw.say(*m.gpadl_messages(1, 7, RING))) == [] and not server.gpadls.by_handle
        offers = yield from raw.say(m.REQUESTOFFERS.pack())
        assert [offer.type for offer in offers] == [1, 4]
        (created,) = yield from raw.say(*m.gpadl_messages(1, 7, RING))
        assert created.status == 0

    server = converse(script)
    assert server.refused == {"no such channel": 1}
