"""NetVSC and NetVSP together: what the driver asks, how frames share records and signals, and what happens when there is no room."""

import pytest

from tests.netvsp_rig import Peer
from vmio.drivers.errors import DriverError
from vmio.host.net.echo import Echo
from vmio.host.net.switch import VirtualSwitch
from vmio.machine.checkpoint import from_json, to_json
from vmio.machine.net.cable import Cable
from vmio.machine.net.headers import ARP, ICMP, IPV4, parse
from vmio.machine.probes import watch
from vmio.modes import Machine, attachment
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r

MAC, FAR = bytes.fromhex("00155d000001"), bytes.fromhex("020000000009")


def machine(checkpoints=False, **options):
    whole, cable = Machine(checkpoints=checkpoints), Cable()
    guest = whole.guest("a").attach(attachment("net", "split", address=MAC, **options), backend=cable.ends[0])
    whole.power_on()
    return guest, Peer(cable.ends[1]), cable


def frame(number=0, size=60, to=FAR, source=MAC):
    return (to + source + b"\x08\x00" + number.to_bytes(2, "big")).ljust(size, b"\0")


def sent(card):
    while card.pending:
        yield from card.wait()


def test_the_start_up_says_what_linux_says_in_its_order():
    guest, _, _ = machine()
    vsp, said = guest.attachments[0].vsp, []
    take, answer = vsp.packet, vsp.control.answer
    vsp.packet = lambda request, packet, channel=0: (said.append(n.HEAD.parse(packet.payload).type) if packet.kind != 11 else None,
                                                     take(request, packet, channel))

    def asked(message):
        kind = r.HEAD.parse(message).type
        said.append((kind, r.QUERY.parse(message).oid if kind in (4, 5) else 0))
        return answer(message)
    vsp.control.answer = asked
    card, = guest.run(lambda cpu, card: (yield from sent(card)) or [card])
    oids = [(2, 0), (4, 0x10106), (4, 0x1010101), (4, 0x10216), (4, 0xFC01020D), (5, 0xFC01020C), (4, 0x10114), (4, 0x10107), (4, 0x10203), (5, 0x1010E)]
    assert [each for each in said if each != 107] == [1, 125, 100, 101, 104, *oids]
    assert (card.version, card.address, card.mtu, card.up, card.speed, card.max_messages) == (n.V6_1, MAC, 1500, True, 10**10, 8)


@pytest.mark.parametrize("version", n.VERSIONS)
def test_each_version_carries_frames_both_ways(version):
    guest, peer, _ = machine(versions=(version,))

    def program(cpu, card):
        assert card.send(frame())
        yield from sent(card)
        peer.end.send(frame(to=MAC, source=FAR))
        while not (got := card.reap()):
            yield from card.wait()
        return card.version, got
    assert guest.run(program) == (version, [frame(to=MAC, source=FAR)]) and peer.got == [frame()]


def test_no_version_in_common_is_an_error():
    guest, _, _ = machine(versions=())
    with pytest.raises(DriverError, match="no protocol version in common"):
        guest.run(lambda cpu, card: iter(()))


@pytest.mark.parametrize("batch, more, records", [(None, True, 3), (None, False, 20), (1, True, 20), (4, True, 5)])
def test_frames_share_records_while_more_is_said_to_come(batch, more, records):
    guest, peer, _ = machine(batch=batch)

    def program(cpu, card):
        before = cpu.exits.total
        for number in range(20):
            assert card.send(frame(number), more=more and number < 19)
        yield from sent(card)
        return card.records, card.end.events, cpu.exits.total - before
    count, _, exits = guest.run(program)
    assert count == records and peer.got == [frame(number) for number in range(20)]
    assert exits <= 4         # one signal, for the ring was empty, and some HLTs: never one a frame


def test_a_ring_that_is_nearly_full_stops_the_driver_until_a_fifth_is_free():
    guest, peer, _ = machine(ring_kib=8)            # 4,096 bytes: 64 a record
    states = []

    def program(cpu, card):
        yield from cpu.pay()
        number = 0
        while number < 300:
            if card.send(frame(number)):
                number += 1
            else:
                free = card._free_percent()
                states.append((card.stopped, free))
                yield from card.wait()
        yield from sent(card)
        return card.refused
    assert guest.run(program) == 0 and peer.got == [frame(number) for number in range(300)]
    assert states and all(stopped and free < 10 for stopped, free in states[:1])


def test_a_stopped_driver_does_not_start_again_before_a_fifth_is_free():
    guest, _, _ = machine(ring_kib=8)

    def program(cpu, card):
        yield from cpu.pay()
        while card.send(frame()):
            pass
        assert card.stopped
        card._look(cpu)                             # an interrupt, and the host has taken nothing yet
        assert card.stopped and card._free_percent() < 10
        yield from sent(card)
        assert not card.stopped
    guest.run(program)


def test_no_section_free_stops_it_too():
    guest, peer, _ = machine(ring_kib=128)

    def program(cpu, card):
        sections = len(card.free_sections)
        accepted = [card.send(frame(number)) for number in range(sections + 5)]
        yield from sent(card)
        assert card.send(frame())
        yield from sent(card)
        return sections, accepted.count(True)
    assert guest.run(program) == (170, 170) and len(peer.got) == 171


def test_a_large_segment_goes_by_pages_and_comes_out_in_frames():
    guest, peer, _ = machine()
    payload = bytes(range(256)) * 200
    tcp = bytes.fromhex("04d2005000000001000000075018020000000000")
    head = IPV4.pack(length=0, protocol=6, source=b"\x0a\0\0\1", destination=b"\x0a\0\0\2")

    def program(cpu, card):
        assert card.send_large(FAR + MAC + b"\x08\x00" + head + tcp + payload, 1460, 34) and not card.send_large(frame(), 1460, 34)
        yield from sent(card)
        return card.records
    assert guest.run(program) == 1 and len(peer.got) == 36 and b"".join(each[54:] for each in peer.got) == payload


def test_what_comes_is_taken_in_order_and_given_back_at_the_end_of_a_poll():
    guest, peer, _ = machine()

    def program(cpu, card):
        yield from cpu.pay()
        for number in range(40):
            assert peer.end.send(frame(number, to=MAC, source=FAR))
        got, before, interrupts = [], card.end.incoming.received, cpu.interrupts
        while len(got) < 40:
            yield from card.wait()
            got += card.reap()
        yield from card.wait(cpu.now + 1_000_000)
        return got, card.end.incoming.received - before, cpu.interrupts - interrupts
    got, records, interrupts = guest.run(program)
    assert got == [frame(number, to=MAC, source=FAR) for number in range(40)] and records <= 2 and interrupts <= 2
    vsp = guest.attachments[0].vsp
    assert not vsp.outstanding and len(vsp.receive_buffer.free) == vsp.receive_buffer.sections - 16


def test_the_link_goes_and_comes():
    guest, _, cable = machine()

    def program(cpu, card):
        seen = []
        for up in (False, True):
            cable.link(up)
            while card.up is not up:
                yield from card.wait()
            seen.append(card.up)
        return seen
    assert guest.run(program) == [False, True]


def test_closed_and_gone_all_memory_is_the_guests_again():
    guest, peer, _ = machine()

    def program(cpu, card):
        card.send(frame())
        yield from card.close()
        with pytest.raises(DriverError, match="NetVSC: closed"):
            card.send(frame())
        yield from card.init()
        card.send(frame(1))
        yield from sent(card)
        yield from card.close()
        return len(guest.platform.bus.gpadls.by_handle)
    assert guest.run(program) == 0 and peer.got == [frame(), frame(1)] and not guest.platform.bus.refused


def test_a_card_that_is_taken_away_is_an_error():
    guest, _, _ = machine()

    def program(cpu, card):
        yield from cpu.pay()
        guest.platform.bus.rescind(guest.attachments[0].vsp.channel)
        with pytest.raises(DriverError, match="taken the card away"):
            while True:
                yield from card.wait(cpu.now + 10**9)
    guest.run(program)


@pytest.mark.parametrize("options, said", [({"ring_kib": 6}, "ring_kib 6: 8 to"), ({"address": b"\1" * 6}, "a group's")])
def test_options_that_cant_be(options, said):
    with pytest.raises(ValueError, match=said):
        machine(**options)[0].run(lambda cpu, card: iter(())) if "address" not in options else attach_group(options["address"])


def attach_group(address):
    whole = Machine()
    whole.guest().attach(attachment("net", "split", address=address), backend=Cable().ends[0])
    whole.power_on()


def test_a_frame_that_is_too_long_is_refused():
    guest, _, _ = machine()

    def program(cpu, card):
        with pytest.raises(DriverError, match="1,515 bytes; at most 1,514"):
            card.send(frame(size=1515))
        yield from cpu.pay()
    guest.run(program)


def test_two_guests_at_a_switch_and_somebody_who_answers():
    whole = Machine(cores=4)
    switch = VirtualSwitch(whole.host.env)
    other = bytes.fromhex("00155d000002")
    echo = Echo(switch.port("host", FAR), FAR, b"\x0a\0\0\1")
    seen = []
    watch(switch, "forwarded", lambda name, vlan, each, took: seen.append((name, took)))
    guests = [whole.guest(name).attach(attachment("net", "split", address=address), backend=switch.port(name, address))
              for name, address in (("a", MAC), ("b", other))]
    whole.power_on()

    def asks(cpu, card):
        arp = ARP.pack(operation=1, sender=MAC, sender_ip=b"\x0a\0\0\5", target_ip=b"\x0a\0\0\1")
        card.send(b"\xff" * 6 + MAC + b"\x08\x06" + arp)
        while not (got := card.reap()):
            yield from card.wait()
        assert ARP.parse(got[0], 14)[-4:] == (FAR, b"\x0a\0\0\1", MAC, b"\x0a\0\0\5")
        ping = IPV4.pack(length=20 + 8 + 4, protocol=1, source=b"\x0a\0\0\5", destination=b"\x0a\0\0\1") + ICMP.pack(type=8) + b"ping"
        card.send(FAR + MAC + b"\x08\x00" + ping)
        while not (got := card.reap()):
            yield from card.wait()
        return parse(got[0]).source, got[0][34], got[0][42:46]

    def listens(cpu, card):
        while not (got := card.reap()):
            yield from card.wait()
        return got
    answers, heard = whole.run((guests[0], asks), (guests[1], listens))
    assert answers == (b"\x0a\0\0\1", 0, b"ping") and [each[:6] for each in heard] == [b"\xff" * 6]
    assert seen == [("a", ["host", "b"]), ("host", ["a"]), ("a", ["host"]), ("host", ["a"])] and echo.answered == {"arp": 1, "echo": 1}


def talk(peer):
    def program(cpu, card):
        got = []
        for number in range(12):
            card.send(frame(number), more=number % 3 < 2)
            if number % 4 == 3:
                yield from card.wait()
            got += card.reap()
        while len(got) < 12:
            yield from card.wait()
            got += card.reap()
        yield from sent(card)
        return [cpu.now, len(got), card.records]
    return program


class Mirror(Peer):
    """Answers each frame at once, so that nothing of its own is to come."""

    def receive(self, each):
        self.got.append(each)
        self.end.send(each[6:12] + each[:6] + each[12:])
        return True


def test_a_checkpoint_anywhere_goes_on_to_the_same_end():
    def made():
        guest, peer, cable = machine(checkpoints=True)
        cable.ends[1].connect(None)
        return guest, Mirror(cable.ends[1])
    guest, peer = made()
    run = guest.machine.start((guest, talk(peer)))
    states, step = [], 0
    while run.step():
        step += 1
        if step % 23 == 0:
            states.append((to_json(guest.machine.save()), len(peer.got)))
    wanted = run.to_the_end()
    assert len(states) > 8
    counts = guest.attachments[0].vsp.sent, guest.attachments[0].vsp.received
    for text, before in states[::3]:
        other, other_peer = made()
        result = other.machine.restore(from_json(text), (other, talk(other_peer))).to_the_end()
        vsp = other.attachments[0].vsp
        assert (vsp.sent, vsp.received) == counts and before + len(other_peer.got) == len(peer.got) == 12
        assert result == wanted
