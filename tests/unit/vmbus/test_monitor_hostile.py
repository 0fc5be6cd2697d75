"""Monitor pages in hostile hands: a guest's that writes all over them or takes them away, a host's that offers what is no bit."""

import pytest

from tests.bus_rig import LIMIT, machine, new_client, run
from tests.echo_device import EchoClient
from tests.monitor_rig import monitored, opened
from vmio.hypervisor.guest import GuestFault
from vmio.modes import Machine
from vmio.vmbus.bus import messages as m


def test_a_guest_that_writes_all_over_its_page():
    """Whatever it says - latency 0, other connections, bits that mean nothing, all of it again and again - changes nothing."""
    host, guest, server, (device, other) = monitored(2)
    _, neighbour, quiet, (theirs,) = machine(1, host=host)

    def attacker(cpu):
        client, echo = yield from opened(cpu)
        page = client.monitor_pages[1]
        for word in (0xFFFF_FFFF, 0, 0x0000_2001):
            for _ in range(50):
                cpu.write(page, word.to_bytes(4, "little") * 1024)
                yield from cpu.pay()
                cpu.compute(10_000)
        yield from cpu.hlt(1_000_000)
        cpu.write(page, bytes(4096))
        return (yield from echo.ask(b"well, no"))

    def honest(cpu):
        client = new_client(cpu)
        yield from client.connect()
        yield from client.request_offers()
        echo = EchoClient(client, client.channels[1])
        yield from echo.open()
        for n in range(20):
            yield from echo.ask(b"%8d" % n)
        return theirs.channel.signals

    answer, signals = host.run((guest.cpu, attacker), (neighbour.cpu, honest), limit_ns=LIMIT)
    assert answer == b"well, no" and signals == 20 and neighbour.cpu.spurious == 0 and not quiet.refused
    assert other.channel.signals == 0 and device.closes == 0                     # closed: its bit goes nowhere
    assert server.monitor.signals < 2 * 40 and len(host.env._queue) < 50          # at most one a look, however often it asks


def test_a_page_that_is_taken_away_or_covered():
    host, guest, server, (device,) = monitored()

    def program(cpu):
        client, echo = yield from opened(cpu)
        page = client.monitor_pages[1]
        echo.channel.signal()
        guest.take_ram(page, 4096)
        yield from cpu.hlt(1_000_000)
        assert server.monitor.signals == 0
        guest.give_ram(page, 4096)
        cpu.wrmsr(0x4000_0073, page | 1)                    # the VP assist page over it: what lies beneath is looked at
        cpu.store(page + 8, 4, 1)
        yield from cpu.hlt(1_000_000)
        assert server.monitor.signals == 0
        cpu.wrmsr(0x4000_0073, 0)
        return (yield from echo.ask(b"and back"))

    assert run(host, guest, program) == b"and back" and server.monitor.signals == 1


def test_an_idle_guests_page_keeps_nobody_busy():
    host, guest, server, _ = monitored()

    def program(cpu):
        yield from opened(cpu)
        yield from cpu.hlt()

    with pytest.raises(GuestFault, match="nothing will raise"):
        host.run((guest.cpu, program))


def test_a_hostile_hosts_monitor_id_is_no_address():
    host, guest, server, (device,) = monitored()

    def program(cpu):
        client, _ = yield from opened(cpu)
        server._send(m.OFFERCHANNEL.pack(relid=9, monitor_id=200, monitor_allocated=1, connection_id=0x2009))
        yield from cpu.hlt(1_000_000)
        return client.channels[9].trigger

    assert run(host, guest, program) is None


def test_monitor_pages_of_a_guest_that_was_destroyed():
    host, guest, server, _ = monitored(1, host=Machine(memory_mib=64).host)

    def program(cpu):
        client = new_client(cpu, monitored=True)
        yield from client.connect()
        yield from client.request_offers()

    run(host, guest, program)
    guest.destroy()
    host.env.run(until=host.env.now + 10**6)
    assert server.monitor.signals == 0
