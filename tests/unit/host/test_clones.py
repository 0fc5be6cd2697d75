"""Clones of a machine: what is equal without new identities, and what each has for itself with them."""

import pytest
from tests.checkpoint_rig import requests

from vmio.drivers.netvsc_start import query
from vmio.experiments.disk import pattern
from vmio.host.net.port import SPOOFED
from vmio.host.net.switch import VirtualSwitch
from vmio.hypervisor.simulation import Simulation
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.machine.media.chain import LayeredDisk
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.machine.probes import watch
from vmio.modes import Machine, attachment, clone
from vmio.vmbus.net.rndis import Oid

BROADCAST, KIND = b"\xff" * 6, b"\x88\xb5"     # an EtherType for experiments (IEEE 802, 9.2.4)
WHO = clone.identity("web")
ROUTER = bytes.fromhex("0200000000fe")


class Router:
    """Answers each frame to whoever has sent it."""

    def __init__(self, port):
        self.port, self.got = port, []
        port.connect(self)

    def receive(self, frame):
        self.got.append(frame)
        self.port.send(frame[6:12] + ROUTER + KIND + bytes(46))
        return True

    def link_changed(self, up):
        pass


def program(data, rounds=20, asks_at=()):
    """Reads a block, says so to all, waits, takes what has come; before the rounds in `asks_at` it asks its card for its address again."""
    def run(cpu, disk, card):
        heard = []
        for n in range(rounds):
            if n in asks_at:
                card.address = yield from query(card, Oid.PERMANENT_ADDRESS)
            disk.submit("write" if n % 2 else "read", 8 * n, 8, data + PAGE * (n % 4), n)
            disk.flush_ring()
            yield from disk.wait()
            disk.reap()
            while not card.send(BROADCAST + card.address + KIND + bytes([n]).ljust(46, b"\0")):
                yield from card.wait(cpu.now + 100_000)
            yield from card.wait(cpu.now + 200_000)
            heard += card.reap()
        yield from cpu.hlt(500_000)
        heard += card.reap()
        return [card.address, heard]
    return run


def machine_of(who, port, disk, asks_at=()):
    machine = Machine(checkpoints=True)
    guest = machine.guest(who.name, attachment("disk", "split"), disk)
    guest.attach(attachment("net", "split", address=who.address), backend=port)
    machine.power_on()
    first = max(each.driver_memory for each in guest.attachments)
    return machine, (guest, program(first, asks_at=asks_at))


def saved(asks_at=()):
    """A state of the original in the middle of its rounds, and its disk as it was then."""
    switch, disk = VirtualSwitch(Simulation()), LayeredDisk(pattern(1), serial=WHO.serial)
    Router(switch.port("router", ROUTER))
    machine, pair = machine_of(WHO, switch.port("web", WHO.address), disk, asks_at)
    run = machine.start(pair)
    while len(disk.top.own) < 30:
        run.step()
    disk.checkpoint("then")
    return from_json(to_json(machine.save())), disk


def side_by_side(machines, switch):
    """Let both runs come to their ends, a step of each in turn; what they return, and at which ports the first one's address was."""
    places = []
    watch(switch, "forwarded", lambda port, vlan, frame, took: places.append(port) if frame[6:12] == WHO.address else None)
    runs = [run for _, run in machines]
    while any([run.step() for run in runs]):
        pass
    return [run.to_the_end()[0] for run in runs], places


def test_two_of_one_state_are_one_station_at_two_ports():
    state, _ = saved()
    switch = VirtualSwitch(Simulation())
    router = Router(switch.port("router", ROUTER))
    machines = []
    for name in ("a", "b"):
        machine, pair = machine_of(WHO, switch.port(name), LayeredDisk(pattern(1), serial=WHO.serial))     # a port that lets any address in
        machines.append((machine, machine.restore(state, pair)))
    results, places = side_by_side(machines, switch)
    flaps = sum(a != b for a, b in zip(places, places[1:]))
    assert flaps > 10                                    # the switch learns one address at two ports, again and again
    assert len({frame[6:12] for frame in router.got}) == 1
    answers = [sum(frame[6:12] == ROUTER for frame in heard) for _, heard in results]
    assert sum(answers) < 2 * len(router.got) and identities(machines[0][0]) == identities(machines[1][0])
    with pytest.raises(ValueError, match="address"):     # a switch that knows who is where has no place for both
        switch.port("c", WHO.address)
        switch.port("d", WHO.address)


def identities(machine):
    """What a guest can ask of its devices: VPD pages 80h and 83h, and its card's address."""
    guest = machine.guests[0]
    disk, card = guest.attachments
    return [*pages_of(disk), card.vsp.control.permanent, card.vsp.control.address, guest.name]


def pages_of(disk):
    target, _ = disk.vsp.disks[0]
    return [target.execute(bytes([0x12, 1, page, 0, 255, 0])).data for page in (0x80, 0x83)]


def test_two_clones_run_side_by_side_under_names_of_their_own():
    state, disk = saved(asks_at=(15,))
    switch = VirtualSwitch(Simulation())
    router = Router(switch.port("router", ROUTER))
    machines = []
    for name in ("web-2", "web-3"):
        who = clone.identity(name)
        copy = disk.clone("then", who.serial)
        machine, pair = machine_of(who, switch.port(name, who.address), copy, asks_at=(15,))
        machines.append((machine, clone.restored(machine, state, pair)))
    results, places = side_by_side(machines, switch)
    one, other = (identities(machine) for machine, _ in machines)
    assert all(a != b for a, b in zip(one, other))
    for (address, heard), name in zip(results, ("web-2", "web-3")):
        who, port = clone.identity(name), switch.ports[name]
        assert address == who.address and places == []
        assert port.dropped[SPOOFED] > 0                  # what was in its memory: until it asks again it is an impostor
        mine = [frame for frame in router.got if frame[6:12] == who.address]
        assert len(mine) == 5 and sum(frame[:6] == who.address for frame in heard) == 5
    a, b = (machine.guests[0].media[0] for machine, _ in machines)
    assert a.read(0, a.sectors) == b.read(0, b.sectors) and disk.top.own == {} and a.layers[0] is not b.layers[0] is not disk.layers[0]
    a.write(0, b"a" * 512)
    assert b.read(0) == disk.read(0)


def test_an_identity_is_its_name_s():
    names = [clone.identity(f"vm{n}") for n in range(300)]
    assert len({who.address for who in names}) == len({who.serial for who in names}) == len({who.guid for who in names}) == 300
    assert clone.identity("vm7") == names[7] and names[7].address[:3] == bytes.fromhex("00155d") and len(names[7].serial) == 20


@pytest.mark.parametrize("mode, device", [("emulated", "disk"), ("split", "disk"), ("passthrough", "disk"), ("emulated", "nvme"), ("passthrough", "nvme")])
def test_each_kind_of_disk_says_its_medium_s_serial_number(mode, device):
    def told(serial):
        machine = Machine()
        guest = machine.guest("g", attachment(device, mode), LayeredDisk(pattern(1), serial=serial))
        machine.power_on()

        def ask(cpu, disk):
            if device == "disk" and mode == "split":
                return pages_of(guest.attachments[0])
            return (yield from disk.driver.init()).serial if (device, mode) == ("disk", "emulated") else disk.driver.serial
        return guest.run(ask)
    mine, other, usual = told("MINE0000000000000007"), told("MINE0000000000000008"), told(None)
    assert len({str(mine), str(other), str(usual)}) == 3 and "MINE0000000000000007" in str(mine)


def test_what_is_no_clone_is_refused():
    state, disk = saved()
    switch = VirtualSwitch(Simulation())
    who = clone.identity("web-2")
    for wrong, why in ((WHO._replace(address=who.address), "a clone has another name than web, which is the saved one's"),
                       (who._replace(address=WHO.address), "a clone has another address than 00:15:5d:")):
        machine, pair = machine_of(wrong, switch.port(why, None), disk.clone("then"))
        with pytest.raises(CheckpointRefused, match=why):
            clone.restored(machine, state, pair)
    machine = Machine(checkpoints=True)
    guest = machine.guest("web-2", attachment("disk", "split"), Overlay(pattern(1)))
    machine.power_on()
    with pytest.raises(CheckpointRefused, match="damaged"):
        clone.restored(machine, state, (guest, requests()(0)))
    for serial in ("", "x" * 21, "with a space", "näh"):
        with pytest.raises(ValueError, match="1 to 20 letters and digits"):
            LayeredDisk(pattern(1), serial=serial)
