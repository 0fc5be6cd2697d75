"""Containment, end to end: what misbehaves is latched and heals by a reset; who is killed gives everything back."""

import pytest

from vmio.attacks.assigned import AssignedWorld
from vmio.attacks.split import SplitWorld
from vmio.attacks.talker import read10, request
from vmio.attacks.verdict import REJECT
from vmio.attacks.world import BUFFER, LIMIT, OWN_DISK, RAM_MIB, pages_of
from vmio.drivers.nvme import page_list
from vmio.machine.memory import PAGE
from vmio.modes.platform import Platform
from vmio.passthrough.assignment import AssignmentRefused
from vmio.vmbus.bus.host_channel import State


def pages_used(host):
    """Pages of host memory that somebody has."""
    return host.memory.size // PAGE - host.memory.free_pages


def later(host, program):
    """The same program, on a vCPU that slept while the others ran."""
    def run(cpu):
        cpu.compute(max(host.env.now - cpu.now, 0))
        return (yield from program(cpu))
    return run


def corrupt(world, cpu):
    talker = yield from world.talk(cpu)
    yield from talker.publish(0x7FFF_FFF8)


def reads(world, cpu):
    disk = yield from world.bring_up(cpu)
    yield from disk.read(0, 8, BUFFER)
    return cpu.read(BUFFER, PAGE)


def test_a_channel_latches_its_error_and_a_reset_guest_connects_again():
    world = SplitWorld()
    assert world.attacked_by(corrupt).verdict == REJECT
    channel = world.vsp.channel
    assert channel.state is State.FAILED and "write index" in str(channel.error) and world.vsp.worker is None
    refused = sum(world.server.refused.values())
    world.attacker.enlightened.reset()
    world.host.env.run(until=world.host.env.now + 1_000_000)
    assert channel.state is State.OFFERED and world.server.gpadls.pages == 0
    data, = world.host.run((world.attacker.cpu, later(world.host, lambda cpu: reads(world, cpu))), limit_ns=LIMIT)
    assert data == pages_of(OWN_DISK, PAGE) and channel.error is None
    assert sum(world.server.refused.values()) == refused


def twenty_requests(world, cpu):
    talker = yield from world.talk(cpu)
    for number in range(20):
        talker.send(*request(read10(0, 128), 128 * 512), number=number)
    yield from cpu.hlt(20_000)


def test_a_guest_killed_with_requests_in_flight_gives_everything_back():
    world = SplitWorld()
    host, victim = world.host, world.attacker
    before = pages_used(host)

    def kill():
        victim.enlightened.reset()
        assert world.vsp.in_flight and world.physical.slices[0].in_flight
        with pytest.raises(RuntimeError, match="requests still use its memory"):
            victim.destroy()
        while world.vsp.in_flight:
            yield host.env.timeout(10_000)
        victim.destroy()

    def attack(world, cpu):
        yield from twenty_requests(world, cpu)
        world.host.env.process(kill())
    assert world.attacked_by(attack).verdict in ("PASS", "REJECT")
    assert world.physical.slices[0].in_flight == 0 and world.server.gpadls.pages == 0
    assert before - pages_used(host) >= victim.ram // PAGE           # and its tables and overlays

    heir = host.guest("heir", RAM_MIB)
    assert heir.ram_spa(0) == world.places[0][0] and heir.memory.read(0, heir.ram) == bytes(heir.ram)
    world.side(Platform(heir), world.physical.slices[0])
    data, = host.run((heir.cpu, later(host, lambda cpu: reads(world, cpu))), limit_ns=LIMIT)
    assert data == pages_of(OWN_DISK, PAGE)


def at_work(world, cpu, vector=0x50):
    driver = yield from world.drive(cpu, vector=vector, entries=64)
    for number in range(60):
        driver.submit("read", 0, 128, page_list(BUFFER, 128 * 512), number)
    driver.ring_doorbell()
    yield from cpu.hlt(20_000)


def test_a_guest_killed_with_its_device_at_work_gives_everything_back():
    world = AssignedWorld()
    host, victim, lent, function = world.host, world.attacker, world.lent, world.lent.function
    before, domains, entries = pages_used(host), len(world.iommu.domains), len(world.router.owners)

    def kill(_):
        assert len(world.router.owners) == entries + 2 and function.device.sqs
        with pytest.raises(AssignmentRefused, match="is assigned to it"):
            victim.destroy()
        lent.take_back()
        victim.enlightened.reset()
        victim.destroy()
        world.heir = host.guest("heir", RAM_MIB)
        world.watch("next guest's RAM", world.heir.ram_spa(0), bytes(world.heir.ram))

    def attack(world, cpu):
        yield from at_work(world, cpu)
        host.env.timeout(100).callbacks.append(kill)
    outcome = world.attacked_by(attack)
    assert outcome.verdict in ("PASS", "REJECT"), outcome
    assert world.heir.ram_spa(0) == world.places[0][0]
    assert (len(world.iommu.domains), len(world.router.owners)) == (domains - 1, entries)
    assert not world.router._guests and not victim.pins and function.assigned_to is None and not function.device.sqs
    assert pages_used(host) <= before
    with pytest.raises(AssignmentRefused, match="holds what attacker left on it"):
        world.lend(function, world.neighbour, number=2)
    function.erase()
    world.lend(function, world.neighbour, number=2)


def test_guests_that_are_killed_one_after_the_other_leave_nothing():
    world, used = SplitWorld(), set()
    host = world.host
    for life in range(5):
        guest = host.guest(f"life {life}", RAM_MIB)
        server, _ = world.side(Platform(guest), world.physical.slices[0])
        host.run((guest.cpu, later(host, lambda cpu: reads(world, cpu))), limit_ns=LIMIT)
        assert server.gpadls.pages
        guest.enlightened.reset()
        host.env.run(until=host.env.now + 1_000_000)
        guest.destroy()
        used.add(pages_used(host))
    assert len(used) == 1
