"""Network cards that come and go, and devices that come and go for ever: what was lost is counted, nothing is used up."""

import pytest

from tests.live_rig import DATA, MS, Ledger, at, check, keep_busy, machine_with
from vmio.experiments.pattern import pattern
from vmio.host.net.port import SwitchPort
from vmio.host.net.switch import VirtualSwitch
from vmio.machine.net.cable import Cable
from vmio.machine.overlay import Overlay
from vmio.modes import attachment
from vmio.modes.live import State


class Listener:
    """A station that keeps what it hears in `heard`."""

    def __init__(self, heard):
        self.heard = heard

    def receive(self, frame):
        self.heard.append(frame)
        return True

    def link_changed(self, up):
        pass


def test_a_card_comes_and_goes_and_what_it_lost_is_counted():
    machine, guest = machine_with()
    machine.power_on()
    switch = VirtualSwitch(machine.host.env)
    address, peer = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
    port, heard, kept = switch.port("a", address), [], {}

    switch.port("peer", peer).connect(Listener(heard))

    def program(cpu, disk):
        ledgers, start = [Ledger(disk, DATA)], machine.host.env.now
        kept["device"] = machine.add(guest, attachment("net", "split", address=address), backend=port)
        while not (news := (yield from guest.follow(cpu))):
            yield from cpu.hlt(50_000)
        (_, card), = news
        for number in range(300):
            while not card.send(peer + address + b"\x88\xb5" + number.to_bytes(46, "big"), more=number % 5 != 4):
                yield from card.wait(cpu.now + 50_000)
            if number == 250:
                break
        at(machine, cpu.now, lambda: machine.remove(kept["device"]))
        yield from cpu.hlt(100_000)
        assert (yield from guest.follow(cpu)) == [("removed", card)]
        yield from cpu.hlt(100_000)
        yield from keep_busy(cpu, guest, ledgers, start + 2 * MS)
        return card, ledgers[0]

    (card, ledger), = machine.run((guest, program))
    assert isinstance(port, SwitchPort) and port.station is None
    numbers = [int.from_bytes(frame[14:], "big") for frame in heard]
    assert numbers == list(range(len(numbers))) and len(numbers) + card.lost >= card.sent == 251 and not card.pending
    check(ledger, guest.media[0])
    assert kept["device"].state is State.GONE and len(guest.platform.bus.channels) == 1 and not guest.platform.bus.gpadls.by_handle.keys() - {
        guest.platform._client.channels[1].gpadl}


def test_a_virtual_function_comes_and_goes():
    machine, guest = machine_with()
    machine.power_on()
    cable = Cable()
    address = bytes.fromhex("02000000000a")
    heard, kept = [], {}

    cable.ends[1].connect(Listener(heard))

    def program(cpu, disk):
        kept["device"] = machine.add(guest, attachment("net", "passthrough", address=address), backend=cable.ends[0])
        while not (news := (yield from guest.follow(cpu))):
            yield from cpu.hlt(50_000)
        (_, card), = news
        for number in range(100):
            assert card.send(b"\xff" * 6 + address + b"\x88\xb5" + number.to_bytes(46, "big"))
        machine.remove(kept["device"])
        while not (news := (yield from guest.follow(cpu))):
            yield from cpu.hlt(50_000)
        yield from cpu.hlt(50_000)                 # its number is free when the host has heard that we are done
        return news == [("removed", card)], card.lost

    assert machine.run((guest, program)) == [(True, 0)]
    assert [int.from_bytes(frame[14:], "big") for frame in heard] == list(range(100))
    assert kept["device"].state is State.GONE and guest.platform.devices == 1


@pytest.mark.parametrize("mode", ["split", "passthrough"])
def test_fifty_times_the_same_and_nothing_is_used_up(mode):
    """Numbers, channels, the guest's memory and addresses, the host's memory: all come back."""
    machine, guest = machine_with(later_mib=8)
    machine.power_on()
    before = []

    def program(cpu, disk):
        for _ in range(50):
            device = machine.add(guest, attachment("disk", mode), Overlay(pattern(1)))
            while not (news := (yield from guest.follow(cpu))):
                yield from cpu.hlt(50_000)
            (_, driver), = news
            driver.submit("write", 0, 8, DATA, 0)
            driver.flush_ring()
            yield from driver.wait()
            assert driver.reap() == [(0, None)]
            machine.remove(device)
            while not (yield from guest.follow(cpu)):
                yield from cpu.hlt(50_000)
            yield from cpu.hlt(50_000)
            assert device.state is State.GONE and guest.platform.devices == 1
            vm = guest.guest
            before.append((len(guest.platform.bus.channels), guest.later_pages.next, guest.platform.mmio.next, machine.host.memory.free_pages,
                           len(vm.lent), len(vm.vetoes), len(vm.releases)))
        return True

    assert machine.run((guest, program)) == [True]
    assert len(set(before)) == 1
