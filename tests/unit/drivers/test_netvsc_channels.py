"""A card with a channel for each vCPU: flows are spread by the host's hash, and each vCPU sends on its own."""

import ipaddress
import struct

import pytest

from vmio.drivers.errors import DriverError
from vmio.machine.checkpoint import from_json, to_json
from vmio.machine.net.cable import Cable
from vmio.modes import Machine, attachment
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.net.rss import toeplitz

from tests.unit.drivers.test_netvsc import FAR, MAC, Peer, frame, sent

KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")


def machine(vcpus, **options):
    whole, cable = Machine(cores=4), Cable()
    guest = whole.guest("a", vcpus=vcpus).attach(attachment("net", "split", address=MAC, **options), backend=cable.ends[0])
    whole.power_on()
    return guest, Peer(cable.ends[1])


def flow(port):
    """A TCP frame to the guest, and the channel of four by which it comes."""
    ips = ipaddress.ip_address("10.0.0.9").packed + ipaddress.ip_address("10.0.0.1").packed
    ports = struct.pack(">HH", port, 80)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + ips
    return (MAC + FAR + b"\x08\x00" + head + ports).ljust(60, b"\0"), toeplitz(KEY, ips + ports) % 128 % 4


def test_each_vcpu_sends_on_its_own_channel_and_gets_its_flows():
    guest, peer = machine(4)
    flows = [flow(port) for port in range(1000, 1040)]
    wanted = [[each for each, channel in flows if channel == number] for number in range(4)]
    assert all(wanted)

    def program(number):
        def one(cpu, queue):
            assert queue.send(frame(number))
            yield from sent(queue)
            if number == 0:
                yield from cpu.hlt(10_000_000)            # the others are listening by then
                yield from cpu.pay()
                for each, _ in flows:
                    assert peer.end.send(each)
            got = []
            while len(got) < len(wanted[number]):
                yield from queue.wait()
                got += queue.reap()
            return got, queue.sent
        return one
    results = guest.machine.run((guest, [program(number) for number in range(4)]))
    assert results == [(each, 1) for each in wanted] and sorted(peer.got) == [frame(number) for number in range(4)]
    vsp = guest.attachments[0].vsp
    assert len(vsp.subchannels) == 3 and all(each.channel.state is State.OPEN for each in vsp.subchannels) and not vsp.corrupt


def test_the_host_tells_which_channel_sends_what_and_close_takes_all_of_them_back():
    guest, peer = machine(3)

    def first(cpu, card):
        assert card.table == tuple(entry % 3 for entry in range(16)) and len(card.further) == 2
        yield from cpu.hlt(5_000_000)
        yield from card.close()
        yield from card.init()
        assert card.send(frame())
        yield from sent(card)
        return len(card.further)

    def other(cpu, queue):
        assert queue.sent == 0
        yield from cpu.hlt(1_000)
    assert guest.machine.run((guest, [first, other, other]))[0] == 2
    assert peer.got == [frame()] and not guest.platform.bus.refused


def test_a_guest_that_is_no_more_leaves_its_port_to_another():
    whole, cable = Machine(), Cable()
    guest = whole.guest("a").attach(attachment("net", "split", address=MAC), backend=cable.ends[0])
    whole.power_on()
    guest.run(lambda cpu, card: card.close())
    assert cable.ends[0].station is guest.attachments[0].vsp
    guest.guest.destroy()
    Peer(cable.ends[0])


def test_a_checkpoint_holds_all_channels():
    def made():
        whole, cable = Machine(cores=4, checkpoints=True), Cable()
        guest = whole.guest("a", vcpus=2).attach(attachment("net", "split", address=MAC), backend=cable.ends[0])
        whole.power_on()
        return guest, Peer(cable.ends[1])

    def program(number):
        def one(cpu, queue):
            for each in range(6):
                assert queue.send(frame(10 * number + each))
                yield from cpu.hlt(50_000)
            yield from sent(queue)
            return queue.sent
        return one
    programs = [program(0), program(1)]
    guest, peer = made()
    run, states, step = guest.machine.start((guest, programs)), [], 0
    while run.step():
        step += 1
        if step % 20 == 0:
            states.append((to_json(guest.machine.save()), len(peer.got)))
    wanted = run.to_the_end()
    assert len(peer.got) == 12 and len(states) > 5
    for text, before in states[1::2]:
        other, other_peer = made()
        assert other.machine.restore(from_json(text), (other, programs)).to_the_end() == wanted
        assert [*peer.got[:before], *other_peer.got] == peer.got


@pytest.mark.parametrize("options", [{"max_subchannels": 0}, {"versions": (0x40000,)}])
def test_a_host_without_sub_channels_leaves_the_first_vcpu_its_card(options):
    guest, peer = machine(2, **options)

    def first(cpu, card):
        assert card.further == [] and card.send(frame())
        yield from sent(card)
        with pytest.raises(DriverError, match="vCPU 1 has no channel; 1 are open"):
            card.on(guest.guest.vcpus[1])
    guest.run(first)
    assert peer.got == [frame()]
