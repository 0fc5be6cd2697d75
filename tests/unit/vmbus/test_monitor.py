"""Monitor pages: what guest and host say about them, when a signal comes, what it costs."""

import pytest

from tests.bus_rig import new_client, run
from tests.echo_device import EchoDevice, offer
from tests.monitor_rig import LATENCY, NS, monitored, opened
from tests.raw_guest import RawGuest
from vmio.machine.probes import watch
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.monitor_page import MONITOR_PAGE, MONITOR_PARAMETER, pending_word

TO_GUEST, TO_HOST = 0x30_0000, 0x30_1000


def test_the_pages_layout():
    """Linux drivers/hv/hyperv_vmbus.h, hv_monitor_page; OpenVMM hvdef, HvMonitorPage."""
    offsets = {field.name: field.offset for field in MONITOR_PAGE.fields}
    assert offsets == {"group_enable": 0, "reserved1": 4, **{f"pending{n}": 8 + 8 * n for n in range(4)},
                       **{f"armed{n}": 12 + 8 * n for n in range(4)}, "reserved2": 0x28, "next_check": 0x40, "latency": 0x240,
                       "reserved3": 0x340, "parameters": 0x440, "reserved4": 0x840}
    assert (MONITOR_PAGE.size, MONITOR_PARAMETER.size) == (4096, 8)
    assert [pending_word(n) for n in (0, 31, 32, 127)] == [(8, 1), (8, 1 << 31), (16, 1), (32, 1 << 31)]


def test_an_offer_comes_with_a_bit_and_the_page_says_what_it_means():
    host, guest, server, _ = monitored(40)
    plain = offer(server, EchoDevice(host, 99))

    def program(cpu):
        client = new_client(cpu, monitored=True)
        yield from client.connect()
        yield from client.request_offers()
        return client

    client = run(host, guest, program)
    offers = [client.channels[relid].offer for relid in range(1, 42)]
    assert [(o.monitor_allocated, o.monitor_id) for o in offers] == [(1, n) for n in range(40)] + [(0, 0)]
    assert client.channels[41].trigger is None and plain.channel.monitor_id is None
    page = client.monitor_pages[1]
    assert client.channels[33].trigger == (page + 16, 1)                                  # id 32: group 1, bit 0
    data = guest.memory.read(page, 4096)
    assert data[0:4] == bytes([3, 0, 0, 0]) and data[4:0x240] == bytes(0x23C)             # two groups, nothing pending
    assert data[0x240:0x240 + 80] == LATENCY.to_bytes(2, "little") * 40 and data[0x290:0x440] == bytes(0x1B0)
    assert data[0x440:0x448] == bytes.fromhex("01200000 0000 0000") and data[0x578:0x580] == bytes.fromhex("28200000 0000 0000")
    assert data[0x580:] == bytes(0xA80)
    assert guest.memory.read(client.monitor_pages[0], 4096) == bytes(4096)


def test_no_bit_without_pages_and_no_more_than_there_are():
    host, guest, server, _ = monitored(130)

    def program(cpu, monitored):
        client = new_client(cpu, monitored=monitored)
        yield from client.connect()
        yield from client.request_offers()
        bits = [each.offer.monitor_allocated for each in client.channels.values()]
        yield from client.unload()
        return bits

    assert run(host, guest, lambda cpu: program(cpu, False)) == [0] * 130
    assert run(host, guest, lambda cpu: program(cpu, True)) == [1] * 128 + [0] * 2
    assert server.monitor.page is None and not server.monitor.channels and guest.polled_by is None


def test_a_signal_costs_no_exit_and_waits_for_the_hosts_look():
    host, guest, server, (device,) = monitored()

    def program(cpu):
        _, echo = yield from opened(cpu)
        yield from echo.ask(b"to begin")
        watch(device.channel.end, "hears", lambda: seen.append(host.env.now))
        found = []
        for wait in (1, 30_000, 99_000, 250_000):
            cpu.compute(wait)
            yield from cpu.pay()
            before, sent = cpu.exits.by_reason(), cpu.now
            assert (yield from echo.ask(b"%8d" % wait)) == b"%8d" % wait
            found.append((sent, dict(cpu.exits.by_reason() - before), device.channel.end.interrupts))
        return found, echo.channel.lost_signals

    seen = []
    found, lost = run(host, guest, program)
    assert [exits for _, exits, _ in found] == [{"HLT": 1}] * 4 and lost == 0
    since = server.monitor.since
    assert seen == [since + ((sent - since) // NS + 1) * NS for sent, _, _ in found]
    assert server.monitor.signals == device.channel.signals == 5 and server.hypervisor.signalled == 0
    assert guest.memory.read(server.monitor.page + 8, 4) == bytes(4)                      # the host has taken the bit


def test_a_guest_that_works_on_is_found_in_time():
    """It sets its bit and computes for milliseconds without a word to anybody: the look after the store finds it."""
    host, guest, server, (device,) = monitored()

    def program(cpu):
        _, echo = yield from opened(cpu)
        watch(device.channel.end, "hears", lambda: seen.append(host.env.now))
        for ns in (5_000_000, True, 3_000_000):
            cpu.compute(20_000)
            yield from cpu.pay()
            sent.append(cpu.now)
            echo.channel.signal()
            cpu.compute(ns)
            yield from cpu.hlt(500_000)

    seen, sent = [], []
    run(host, guest, program)
    assert seen == [server.monitor.since + ((at - server.monitor.since) // NS + 1) * NS for at in sent]


def test_bits_that_are_set_between_two_looks_are_one_look():
    """Three channels signalled within one latency are found at the same instant, each once."""
    host, guest, server, devices = monitored(3)

    def program(cpu):
        client = new_client(cpu, monitored=True)
        yield from client.connect()
        yield from client.request_offers()
        for channel in client.channels.values():
            yield from client.open(channel)
        for device in devices:
            watch(device.channel.end, "hears", lambda: seen.append(host.env.now))
        yield from cpu.hlt(1_000_000)
        for channel in client.channels.values():
            for _ in range(5):
                channel.signal()
            cpu.compute(1_000)
        before = cpu.exits.by_reason()
        yield from cpu.hlt(1_000_000)
        return dict(cpu.exits.by_reason() - before)

    seen = []
    assert run(host, guest, program) == {"HLT": 1, "WRMSR": 1}      # and the timer that the sleep arms
    assert len(seen) == 3 and len(set(seen)) == 1 and (seen[0] - server.monitor.since) % NS == 0


def test_each_channel_has_its_own_latency():
    """Two bits of one word: the host takes the one whose time has come, and leaves the other."""
    host, guest, server, devices = monitored(2)
    devices[1].channel.latency = 3 * LATENCY

    def program(cpu):
        client = new_client(cpu, monitored=True)
        yield from client.connect()
        yield from client.request_offers()
        for channel in client.channels.values():
            yield from client.open(channel)
        for n, device in enumerate(devices):
            watch(device.channel.end, "hears", lambda n=n: seen.setdefault(n, (host.env.now - server.monitor.since) / NS))
        yield from cpu.hlt(server.monitor.since + 3 * NS - cpu.now % (3 * NS) + 3 * NS)
        for channel in client.channels.values():
            channel.signal()
        yield from cpu.hlt(2_000_000)

    seen = {}
    run(host, guest, program)
    assert seen[0] == int(seen[0]) and seen[1] % 3 == 0 and 0 < seen[1] - seen[0] <= 2


def test_a_bit_that_was_taken_back_is_no_signal():
    host, guest, server, (device,) = monitored()

    def program(cpu):
        _, echo = yield from opened(cpu)
        gpa, bit = echo.channel.trigger
        echo.channel.signal()
        yield from cpu.hlt(1_000)
        assert server.monitor.due
        cpu.store(gpa, 4, 0)
        yield from cpu.hlt(1_000_000)
        return device.channel.signals

    assert run(host, guest, program) == 0 and not server.monitor.due


def test_low_latency_goes_by_the_hypercall():
    """Linux: vmbus_setevent bypasses the page for a channel that is marked so."""
    host, guest, server, (device,) = monitored()

    def program(cpu):
        _, echo = yield from opened(cpu)
        echo.channel.low_latency = True
        before = cpu.exits.by_reason()
        yield from echo.ask(b"at once.")
        return dict(cpu.exits.by_reason() - before)

    assert run(host, guest, program) == {"VMCALL": 1, "HLT": 1} and server.monitor.signals == 0


def test_who_polls_is_found_too():
    host, guest, server, (device,) = monitored()

    def program(cpu):
        _, echo = yield from opened(cpu)
        yield from cpu.pay()
        echo.channel.end.send(b"poll for", 1, want_completion=True)
        while 1 not in echo.answers:
            yield from cpu.spin()
            echo.look(cpu)
        return echo.answers[1]

    assert run(host, guest, program) == b"poll for" and server.monitor.signals == 1


@pytest.mark.parametrize("pages, supported", [
    ((TO_GUEST, TO_HOST), 1), ((0, 0), 1), ((TO_GUEST, TO_GUEST), 1), ((TO_GUEST, 0), 0), ((0, TO_HOST), 0), ((TO_GUEST, TO_HOST + 8), 0),
    ((TO_GUEST + 1, TO_HOST), 0), ((TO_GUEST, 8 << 20), 0), ((1 << 40, TO_HOST), 0), ((TO_GUEST, 0xFFFF_FFFF_FFFF_F000), 0),
    ((TO_GUEST, 0x10_1000), 0), ((0x10_1000, TO_HOST), 0)])          # the hypercall page
def test_which_pages_a_contact_may_bring(pages, supported):
    host, guest, server, _ = monitored()

    def program(cpu):
        raw = RawGuest(cpu)
        return (yield from raw.say(m.INITIATE_CONTACT.pack(version=m.V5_3, monitor_page1=pages[0], monitor_page2=pages[1])))

    (answer,) = run(host, guest, program)
    assert answer.supported == supported
    assert server.monitor.page == (pages[1] if supported and pages[1] else None)


def test_a_new_contact_and_a_reset_forget_the_old_page():
    host, guest, server, (device,) = monitored()

    def program(cpu):
        client, echo = yield from opened(cpu)
        old = client.monitor_pages[1]
        yield from client.unload()
        cpu.store(old + 8, 4, 1)                            # plain RAM again
        yield from cpu.hlt(1_000_000)
        assert cpu.load(old + 8, 4) == 1 and device.channel.monitor_id is None
        client, echo = yield from opened(cpu)
        assert client.monitor_pages[1] == old                   # zeroed before it is shown again
        return (yield from echo.ask(b"and anew"))

    assert run(host, guest, program) == b"and anew" and server.monitor.signals == 1
    guest.enlightened.reset()
    host.env.run(until=host.env.now + 1_000_000)
    assert guest.polled_by is None and not server.monitor.channels


def test_a_rescinded_channels_bit_is_free_for_the_next():
    host, guest, server, (first, second) = monitored(2)

    def program(cpu):
        client, _ = yield from opened(cpu)
        server.rescind(first.channel)
        yield from cpu.hlt(1_000_000)
        page = client.monitor_pages[1]
        assert cpu.load(page + 0x240, 2) == LATENCY
        yield from client.release(client.channels[1])
        yield from cpu.hlt(1_000_000)
        assert cpu.load(page + 0x240, 2) == 0 and cpu.load(page + 0x440, 4) == 0
        third = EchoDevice(host, 7)
        third.monitor_latency = 50
        offer(server, third)
        yield from cpu.hlt(1_000_000)
        return third.channel.monitor_id, cpu.load(page + 0x240, 2)

    assert run(host, guest, program) == (0, 50)
