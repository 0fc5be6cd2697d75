"""Guest and host of the bus together: bring-up to unload, over the wire only."""

import ast
from pathlib import Path

import pytest

import vmio.drivers
from tests.echo_device import ECHO_CLASS, EchoClient, EchoDevice, offer
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import Rescinded, VmBusClient
from vmio.hypervisor.host import Host
from vmio.vmbus import messages as m
from vmio.vmbus.host_channel import OpenRefused, State
from vmio.vmbus.hypercalls import enable_enlightenments
from vmio.vmbus.server import VmbusServer

LIMIT = 30 * 10**9


def machine(devices=1, vcpus=1, auto_eoi=False, **options):
    host = Host()
    guest = host.guest(ram_mib=8, vcpus=vcpus)
    enable_enlightenments(guest, auto_eoi)
    server = VmbusServer(guest, **options)
    return host, guest, server, [offer(server, EchoDevice(host, n + 1)) for n in range(devices)]


def new_client(cpu, **options):
    return VmBusClient(cpu, GuestPages(0x10_0000, 0x80_0000), **options)


def run(host, guest, program):
    return host.run((guest.cpu, program), limit_ns=LIMIT)[0]


def echoes(count=2, **options):
    """A whole bring-up: connect, offers, open the first, `count` echoes."""
    def program(cpu):
        client = new_client(cpu)
        yield from client.connect()
        channels = yield from client.request_offers()
        echo = EchoClient(client, channels[0])
        yield from echo.open(**options)
        for n in range(count):
            assert (yield from echo.ask(b"%8d" % n)) == b"%8d" % n
        return client, echo
    return program


def test_bring_up_and_echo():
    host, guest, server, (device,) = machine()
    client, echo = run(host, guest, echoes())
    assert client.version == server.version == m.V5_3
    assert (device.opens, device.echoed) == (1, 2)
    assert device.channel.state is State.OPEN and device.channel.signals == 2
    assert echo.end.interrupts == 2 and echo.end.events == 2
    assert echo.channel.offer.interface_type == ECHO_CLASS and echo.channel.offer.connection_id == 0x2001
    assert not server.refused and client.ignored == 0
    assert guest.cpu.spurious == 0


def test_exits_of_a_bring_up_and_of_one_echo():
    host, guest, _, _ = machine()
    counts = []

    def program(cpu):
        client, echo = yield from echoes(0)(cpu)
        counts.append(cpu.exits.by_reason())
        yield from echo.ask(b"x" * 64)
        counts.append(cpu.exits.by_reason() - counts[0])

    run(host, guest, program)
    # 5 posts: contact, offers, GPADL header and body, open.  12 WRMSR: 6 to set up, an EOI for each of the 5
    # answers, an EOM for the one that found the slot taken.
    assert counts[0] == {"VMCALL": 5, "WRMSR": 12, "RDMSR": 6, "CPUID": 4, "HLT": 4}
    assert counts[1] == {"VMCALL": 1, "HLT": 1, "WRMSR": 1}


def test_without_eoi_an_echo_costs_two_exits():
    host, guest, _, _ = machine(auto_eoi=True)
    counts = []

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        before = cpu.exits.by_reason()
        yield from echo.ask(b"x" * 64)
        counts.append(cpu.exits.by_reason() - before)

    run(host, guest, program)
    assert counts == [{"VMCALL": 1, "HLT": 1}]


def test_posts_and_signals_are_rows_of_their_own():
    host, guest, _, _ = machine()
    run(host, guest, echoes(3))
    rows = {row.address: row.count for row in guest.cpu.exits.rows if row.reason == "VMCALL"}
    assert rows == {0x5C: 5, 0x5D: 3}


@pytest.mark.parametrize("version", m.LINUX_VERSIONS)
def test_every_version_of_linux(version):
    host, guest, server, (device,) = machine(versions=(version,))
    client, _ = run(host, guest, echoes())
    assert client.version == version and device.echoed == 2


def test_no_version_in_common():
    host, guest, _, _ = machine(versions=(m.V6_0,))
    with pytest.raises(DriverError, match="no version"):
        run(host, guest, echoes())


def test_no_bus_at_all():
    host = Host()
    guest = host.guest()
    with pytest.raises(DriverError, match="privileges"):
        run(host, guest, echoes())
    enable_enlightenments(guest)     # SynIC, but nobody at the message ports
    with pytest.raises(DriverError, match="no version"):
        run(host, guest, echoes())
    with pytest.raises(ValueError, match="enlightenments"):
        VmbusServer(host.guest())


@pytest.mark.parametrize("pages", [2, 13, 14, 27, 28, 200, 260])
def test_rings_of_many_sizes(pages):
    """Header alone, with one body, with two, with more than the port has buffers."""
    host, guest, server, (device,) = machine()
    client, _ = run(host, guest, echoes(3, pages=pages))
    assert device.echoed == 3 and server.gpadls.pages == 2 * pages
    assert device.channel.ring.whole_pages == tuple(range(device.channel.ring.whole_pages[0],
                                                          device.channel.ring.whole_pages[0] + 2 * pages))


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
        yield from client.close(echo.channel)
        assert not device._running.is_alive

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
        server.at(cpu.now + 1_000_000, lambda _: server.rescind(device.channel))
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
        server.at(cpu.now, lambda _: server.rescind(device.channel))
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
        server.at(cpu.now, lambda _: server.rescind(device.channel))
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


def test_two_channels_at_once():
    host, guest, server, devices = machine(2)

    def program(cpu):
        client = new_client(cpu)
        yield from client.connect()
        ends = [EchoClient(client, c) for c in (yield from client.request_offers())]
        for echo in ends:
            yield from echo.open(pages=4)
        for n in range(20):
            for echo in ends:
                echo.end.send(b"%7d." % n, n + 100, want_completion=True)
        while any(len(echo.answers) < 20 for echo in ends):
            assert (yield from cpu.hlt(10**9))
        assert all(list(echo.answers) == list(range(100, 120)) for echo in ends)

    run(host, guest, program)
    assert [d.echoed for d in devices] == [20, 20]


def test_many_offers_come_one_slot_at_a_time():
    host, guest, server, devices = machine(70)

    def program(cpu):
        client = new_client(cpu)
        yield from client.connect()
        channels = yield from client.request_offers()
        assert [c.relid for c in channels] == list(range(1, 71))
        echo = EchoClient(client, channels[-1])
        yield from echo.open(pages=2)
        assert (yield from echo.ask(b"relid 70")) == b"relid 70"

    run(host, guest, program)


def test_a_sub_channel_lives_with_its_primary():
    host, guest, server, (device,) = machine()
    subs = []

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        server.at(cpu.now, lambda _: subs.append(offer(server, EchoDevice(host, 1), device.channel)))
        while 2 not in client.channels:
            yield from cpu.hlt(10**8)
        channel = client.channels[2]
        assert channel.offer.subchannel == 1 and channel.offer.instance == echo.channel.offer.instance
        second = EchoClient(client, channel)
        yield from second.open()
        assert (yield from second.ask(b"sub")) == b"sub".ljust(8, b"\0")
        yield from client.close(channel)
        yield from client.close(echo.channel)
        assert channel.rescinded
        yield from client.release(channel)
        yield from cpu.hlt(10**6)

    run(host, guest, program)
    assert list(server.channels) == [1]


def test_a_second_vcpu_takes_a_channels_interrupts():
    host, guest, server, (device,) = machine(vcpus=2)
    first, second = guest.vcpus
    shared = {}

    def boss(cpu):
        client = shared["client"] = new_client(cpu)
        yield from client.connect()
        yield from client.request_offers()
        while "ready" not in shared:
            yield from cpu.hlt(10**5)
        echo = shared["echo"] = EchoClient(client, client.channels[1])
        yield from echo.open(cpu=second)
        while "done" not in shared:
            yield from cpu.hlt(10**5)
        taken = second.interrupts
        yield from client.retarget(echo.channel, first)
        yield from echo.ask(b"to me now")
        assert second.interrupts == taken and device.channel.target_vp == 0

    def helper(cpu):
        while "client" not in shared:
            yield from cpu.hlt(10**5)
        shared["client"].add_cpu(cpu)
        shared["ready"] = True
        while "echo" not in shared or not getattr(shared["echo"], "end", None):
            yield from cpu.hlt(10**5)
        shared["echo"].cpu = cpu
        yield from shared["echo"].ask(b"from the second")
        shared["echo"].cpu = first
        shared["done"] = True

    host.run((first, boss), (second, helper), limit_ns=LIMIT)
    assert device.echoed == 2


def test_a_silent_host_is_a_timeout():
    host, guest, server, _ = machine()
    server._handle = lambda *message: iter(())

    def program(cpu):
        with pytest.raises(DriverTimeout, match="VERSION_RESPONSE"):
            yield from new_client(cpu).connect()

    run(host, guest, program)


def test_a_hostile_host_is_ignored():
    host, guest, server, (device,) = machine()

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        for junk in (b"", b"\x01", m.OFFERCHANNEL.pack(relid=0), m.OFFERCHANNEL.pack(relid=1),
                     m.OFFERCHANNEL.pack(relid=2048), m.GPADL_TORNDOWN.pack(gpadl=5), m.VERSION_RESPONSE.pack(),
                     m.RESCIND_CHANNELOFFER.pack(relid=99), b"\xff" * 240):
            server._send(junk)
        guest.enlightened.synics[0].signal(2, 60)
        yield from cpu.hlt(10**6)
        while server._outgoing or guest.enlightened.synics[0].queues[2]:
            yield from cpu.hlt(10**6)
        assert client.ignored == 9
        assert (yield from echo.ask(b"and goes on")) == b"and goes on".ljust(16, b"\0")

    run(host, guest, program)


def test_the_driver_imports_nothing_of_the_host():
    allowed = {"messages", "tlfs", "wire", "packets", "ring", "ringmemory", "channel"}
    for name in ("vmbus", "synic", "pages"):
        tree = ast.parse((Path(vmio.drivers.__file__).parent / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("vmio.vmbus"):
                used = {a.name for a in node.names} if node.module == "vmio.vmbus" else {node.module.split(".")[2]}
                assert used <= allowed, (name, used)


def test_guest_pages():
    pages = GuestPages(0x1000, 0x4000)
    assert pages.take() == 0x1000 and pages.take(2) == 0x2000
    with pytest.raises(ValueError, match="0 are left"):
        pages.take()
    with pytest.raises(ValueError, match="multiples"):
        GuestPages(1, 0x1000)
