"""Guest and host of the bus together: bring-up to unload, over the wire only."""

import ast
from pathlib import Path

import pytest

from vmio.modes import Machine
import vmio.drivers
from tests.bus_rig import LIMIT, echoes, machine, new_client, run
from tests.echo_device import ECHO_CLASS, EchoClient, EchoDevice, offer
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.bus.server import VmbusServer


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
    # 5 posts: contact, offers, GPADL header and body, open.  7 WRMSR: 6 to set up, an EOM for the answer that
    # found the slot taken.
    assert counts[0] == {"VMCALL": 5, "WRMSR": 7, "RDMSR": 6, "CPUID": 4, "HLT": 4}
    assert counts[1] == {"VMCALL": 1, "HLT": 1}


def test_with_auto_eoi_an_echo_costs_two_exits_too():
    host, guest, _, _ = machine(apic="emulated")
    counts = []

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        before = cpu.exits.by_reason()
        yield from echo.ask(b"x" * 64)
        counts.append(cpu.exits.by_reason() - before)

    run(host, guest, program)
    assert counts == [{"VMCALL": 1, "HLT": 1}]


def test_a_masked_sint_costs_its_own_signals_and_no_later_one():
    """The answer that came while SINT 2 was masked lies in the ring; the five after it interrupt again."""
    host, guest, server, _ = machine()

    def program(cpu):
        _, echo = yield from echoes(1)(cpu)
        sint, events = cpu.rdmsr(tlfs.SINT0 + 2), guest.enlightened.synics[0].events
        cpu.wrmsr(tlfs.SINT0 + 2, sint | tlfs.MASKED)
        yield from cpu.pay()
        echo.end.send(b"unheard!", 99, want_completion=True)
        assert not (yield from cpu.hlt(1_000_000)) and guest.enlightened.synics[0].events == events
        cpu.wrmsr(tlfs.SINT0 + 2, sint)
        echo.look(cpu)                          # who masks looks for himself
        assert echo.answers.pop(99) == b"unheard!"
        before = echo.end.interrupts
        for n in range(5):
            assert (yield from echo.ask(b"%8d" % n)) == b"%8d" % n
        return echo.end.interrupts - before

    assert run(host, guest, program) == 5 and not server.refused


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
    host = Machine(memory_mib=64).host
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
            assert (yield from cpu.hlt(watchdog_ns=10**9))
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
        server.guest.host.at(cpu.now, lambda _: subs.append(offer(server, EchoDevice(host, 1), device.channel)))
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
    allowed = {"messages", "monitor_page", "packets", "ring", "channel"}
    for name in ("vmbus", "synic", "pages"):
        tree = ast.parse((Path(vmio.drivers.__file__).parent / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("vmio.vmbus"):
                used = {a.name for a in node.names} if node.module == "vmio.vmbus.bus" else {node.module.split(".")[3]}
                assert used <= allowed, (name, used)


def test_guest_pages():
    pages = GuestPages(0x1000, 0x4000)
    assert pages.take() == 0x1000 and pages.take(2) == 0x2000
    with pytest.raises(ValueError, match="0 are left"):
        pages.take()
    with pytest.raises(ValueError, match="multiples"):
        GuestPages(1, 0x1000)
