"""Guests that don't let go: the host has its device back all the same, and what they still do reaches nobody."""

import pytest

from tests.live_rig import DATA, MS, Ledger, at, check, keep_busy, machine_with
from vmio.drivers.errors import DriverError
from vmio.drivers.vmbus import Rescinded
from vmio.experiments.pattern import pattern
from vmio.hypervisor.hyperv import tlfs
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment
from vmio.modes.live import State
from vmio.vmbus.pci.vpci import EJECT_NS


def test_a_guest_that_never_answers_an_eject_loses_the_device_after_a_minute():
    machine, guest = machine_with()
    machine.power_on()
    medium, device = Overlay(pattern(1)), []

    def program(cpu, disk):
        device.append(machine.add(guest, attachment("disk", "passthrough"), medium))
        while not (news := (yield from guest.follow(cpu))):
            yield from cpu.hlt(50_000)
        (_, driver), = news
        machine.remove(device[0])
        asked = machine.host.env.now
        driver.submit("write", 0, 8, DATA, "meanwhile")          # it goes on using it, and it is still its own
        driver.flush_ring()
        yield from driver.wait()
        assert driver.reap() == [("meanwhile", None)] and device[0].state is State.WANTED
        yield from cpu.hlt(EJECT_NS - 2 * MS)
        assert device[0].state is State.WANTED
        while device[0].state is State.WANTED:
            yield from cpu.hlt(MS)
        assert EJECT_NS <= device[0].history[-1][0] - asked < EJECT_NS + MS
        driver.driver.submit("write", 8, 8, [DATA], "too late")   # past its own driver's check
        driver.driver.ring_doorbell()
        yield from cpu.hlt(5 * MS)
        with pytest.raises(DriverError):
            driver.submit("write", 8, 8, DATA, "too late")
        return True

    assert machine.run((guest, program)) == [True]
    assert sorted(medium.own) == list(range(8)) and not guest.guest.pins


def test_a_channel_that_was_rescinded_is_dead_whatever_the_guest_puts_into_it():
    """Its signals find no port, its ring is read by nobody, its GPADL is given back when the guest asks, and the number when it says so."""
    machine, guest = machine_with()
    machine.power_on()
    medium = Overlay(pattern(1))

    def program(cpu, disk):
        device = machine.add(guest, attachment("disk", "split"), medium)
        while not (news := (yield from guest.follow(cpu))):
            yield from cpu.hlt(50_000)
        (_, second), = news
        server, relid = guest.platform.bus, second.channel.relid
        machine.remove(device)
        yield from cpu.hlt(100_000)
        assert device.state is State.GONE and second.channel.rescinded
        taken, error = server.handled.copy(), second.error
        assert isinstance(error, Rescinded)
        second.error = None                                      # a driver that doesn't care
        for number in range(20):
            second.submit("write", 8 * number, 8, DATA, number)
            second.flush_ring()
            assert cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, second.channel.offer.connection_id) == tlfs.INVALID_CONNECTION_ID
        yield from cpu.hlt(MS)
        assert server.handled == taken and not medium.own and relid in server.channels
        with pytest.raises(DriverError):
            second.channel.end = None
            yield from second.client.open(second.channel, pages=4)
        second.error = error
        yield from guest.follow(cpu)
        yield from cpu.hlt(100_000)
        return relid in server.channels

    assert machine.run((guest, program)) == [False]


@pytest.mark.parametrize("when", range(200_000, 2_000_000, 90_000))
def test_many_removals_at_once_and_guests_beside_notice_nothing(when):
    """At any time: also while a driver is still being brought up."""
    machine, guest = machine_with()
    other = machine.guest("b", attachment("disk", "split"), Overlay(pattern(1)), ram_mib=20)
    machine.power_on()

    def program(cpu, disk):
        devices, start = [], machine.host.env.now
        for mode in ("split", "passthrough", "split"):
            devices.append(machine.add(guest, attachment("disk", mode), Overlay(pattern(1))))
        at(machine, start + when, lambda: [machine.remove(each, at_once=True) for each in devices if each.state is State.OFFERED])
        ledgers = [Ledger(disk, DATA)]
        yield from keep_busy(cpu, guest, ledgers, start + 3 * MS)
        return ledgers, devices

    def neighbour(cpu, disk):
        ledger = Ledger(disk, DATA)
        yield from keep_busy(cpu, other, [ledger], machine.host.env.now + 2 * MS)
        return ledger

    (ledgers, devices), beside = machine.run((guest, program), (other, neighbour))
    for ledger, medium in zip(ledgers, [guest.media[0], *(each.medium for each in devices)]):
        assert sorted(ledger.ends) == list(range(ledger.number))
    check(ledgers[0], guest.media[0])
    check(beside, other.media[0])
    assert not any(beside.ends.values()) and len(ledgers) + sum(each.state is State.GONE for each in devices) >= 4
    assert len(guest.platform.bus.channels) == 1 + sum(each.state is State.OFFERED for each in devices) and not guest.platform.bus.refused


def test_shares_and_cores_change_and_the_number_of_vcpus_does_not():
    machine = Machine()
    guest = machine.guest("a", attachment("disk", "split"), Overlay(pattern(1)), ram_mib=20)
    machine.power_on()
    machine.set_cores(5)
    machine.share(guest, weight=300, cap=200_000_000)
    share = guest.backends[0].layer.queue.flows["a"].share
    assert machine.host.cores.count == 5 and (share.weight, share.cap) == (300, 200_000_000)
    for asked, why in (({"vcpus": 4}, "vcpus 4; a guest keeps the 1 that it was planned with"), ({"weight": 0}, "weight 0: 1 to 10,000"),
                       ({"wait": 1}, "share 'wait'; choose of weight, reservation")):
        with pytest.raises(ValueError, match=why):
            machine.share(guest, **asked)
    assert guest.backends[0].layer.queue.flows["a"].share is share
    with pytest.raises(ValueError, match="cores 0; 1 to 256"):
        machine.set_cores(0)
    assert machine.cores == 5
