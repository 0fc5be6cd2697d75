"""The driver of an 82576's virtual function: its accesses are those of Linux's igbvf, and its frames arrive; hosts that don't answer."""

import json

import pytest
from tests.net_rig import BROADCAST, GROUP, PEER, US, NetRig, Station, frame

from vmio import data
from vmio.drivers.errors import DriverError
from vmio.hardware.nic import registers as r
from vmio.host.net.nic import HostNic
from vmio.machine.net.cable import Cable
from vmio.modes import Machine, attachment


class Log:
    """What a guest's driver does to the registers from now on, as in the recording."""

    def __init__(self, card):
        self.rows, self.card = [], card
        self._read, self._write = card.read, card.write
        card.read, card.write = self.read, self.write

    def read(self, offset, size):
        value = self._read(offset, size)
        self.rows.append(["load", offset, value])
        return value

    def write(self, offset, size, value):
        self.rows.append(["store", offset, value])
        self._write(offset, size, value)


def recorded():
    """From the reset of the second opening to the look at the link behind it; reads of STATUS were not kept."""
    ops = [op[1:] for op in json.loads(data.path("golden/linux_igbvf.json").read_text(encoding="utf-8"))["ops"] if op[0] == "vf"]
    first = ops.index(["store", r.EIMC, 0xFFFF_FFFF])
    end = ops.index(["store", r.EICS, 2], first)
    return ops[first:end + 1]


def shape(rows):
    """The accesses without addresses, values that a card may give, and how often a mailbox was looked at."""
    free = {r.TX + r.LOW, r.RX + r.LOW}
    # (Thresholds of the opening before are still in the recorded one's RXDCTL, and its receive queue's vector in IVAR.)
    rows = [[op, at, value & r.ENABLE if at == r.RX + r.CONTROL and not value & r.ENABLE else value & 0xFF00 if at == r.IVAR else value]
            for op, at, value in rows]
    kept = [(op, at, value if op == "store" and at not in free else None) for op, at, value in rows if at != r.STATUS]
    # The handler of its own interrupts, which the recorded one also ran in between.
    kept = [each for each in kept if each not in (("store", r.EIMS, 2), ("store", r.EIMS, 4))]
    return [each for n, each in enumerate(kept) if not (each[:2] == ("load", r.V2P) and kept[n - 1][:2] == each[:2])]


def on_a_card(*addresses, **card):
    """(host's card, machine, guests) with a virtual function for each address; `card` are options of `HostNic`."""
    machine, cable = Machine(memory_mib=32 + 16 * len(addresses)), Cable()
    nic = HostNic(machine.host, cable.ends[0], card.pop("given", addresses), **card)
    guests = [machine.guest().attach(attachment("net", "passthrough", address=address), backend=place)
              for address, place in zip(addresses, nic.places)]
    machine.power_on()
    return nic, machine, guests, Station(guests[0].guest.clock, cable.ends[1])


def test_the_accesses_of_an_opening_are_linuxs():
    nic, machine, (guest,), _ = on_a_card(bytes.fromhex("12bbb6c18a16"), given=[None])
    log = Log(nic.card.functions[0])

    def program(cpu, driver):
        yield from cpu.pay()
        return driver.address, driver.link
    assert guest.run(program) == (bytes.fromhex("12bbb6c18a16"), True)
    mine, theirs = shape(log.rows), shape(recorded())
    assert len(theirs) > 100
    assert mine == theirs


def others(cpu):
    """The exits so far, those for which an interrupt of the host's is the reason left out."""
    return sum(row.count for row in cpu.exits.rows if row.reason.value != "EXTERNAL_INTERRUPT")


def waited(cpu, driver, ns):
    """What comes within so many ns."""
    until, got = cpu.now + ns, []
    while cpu.now < until:
        yield from driver.wait(until)
        got += driver.reap()
    return got


def test_frames_both_ways_without_an_exit_but_waiting():
    rig = NetRig("passthrough")
    rig.station.say(*[frame(seed=n) for n in range(40)], after=20_000_000, gap=1000)

    def program(cpu, driver):
        before = others(cpu)
        for n in range(40):
            assert driver.send(frame(PEER, US, seed=n), more=n < 39)
        sent = others(cpu) - before
        got = []
        while len(got) < 40 or driver.pending:
            yield from driver.wait()
            got += driver.reap()
        return sent, got
    sent, got = rig.run(program)
    assert sent == 0 and got == [frame(seed=n) for n in range(40)]
    assert rig.station.heard == [frame(PEER, US, seed=n) for n in range(40)]


def test_buffers_are_given_back_in_sixteens_and_at_the_end_of_a_poll():
    rig = NetRig("passthrough")
    log = Log(rig.guest.attachments[0].card)
    rig.station.say(*[frame(seed=n) for n in range(41)], after=20_000_000, gap=0)

    def program(cpu, driver):
        log.rows.clear()
        while len(driver._received) < 41:
            yield from driver.wait()
    rig.run(program)
    tails = [value for op, at, value in log.rows if at == r.RX + r.TAIL]
    # One frame has interrupted; the poll of its interrupt found it alone or with all others, and a tail stays two behind.
    assert tails in ([0x3FF, 15, 31, 39], [14, 30, 39])


def test_two_guests_talk_within_the_card_and_not_on_the_wire():
    nic, machine, (a, b), wire = on_a_card(US, PEER)

    def talks(cpu, driver):
        for n in range(300):
            while not driver.send(frame(PEER, US, seed=n)):
                yield from driver.wait()
        driver.send(frame(BROADCAST, US))
        driver.send(frame(PEER, bytes([2, 0, 0, 0, 0, 9])))         # a foreign source: dropped
        while driver.pending:
            yield from driver.wait()
        yield from driver.wait(cpu.now + 10_000_000)

    def hears(cpu, driver):
        got, until = [], cpu.now + 60_000_000
        while len(got) < 301 and cpu.now < until:
            yield from driver.wait(until)
            got += driver.reap()
        return got
    _, got = machine.run((a, talks), (b, hears))
    assert got == [*[frame(PEER, US, seed=n) for n in range(300)], frame(BROADCAST, US)]
    assert wire.heard == [frame(BROADCAST, US)] and nic.card.dropped["spoofed"] == 1


def test_groups_that_the_driver_joins():
    rig = NetRig("passthrough")
    rig.station.say(frame(GROUP, seed=1), frame(bytes.fromhex("01005e000002"), seed=2), frame(BROADCAST, seed=3), after=30_000_000)

    def program(cpu, driver):
        return (yield from waited(cpu, driver, 60_000_000))
    assert rig.run(program) == [frame(GROUP, seed=1), frame(BROADCAST, seed=3)]


def test_a_link_that_goes_is_noticed():
    rig = NetRig("passthrough")

    def program(cpu, driver):
        up = driver.link
        rig.cable.link(False)
        yield from waited(cpu, driver, 10_000_000)
        down = driver.link
        rig.cable.link(True)
        yield from waited(cpu, driver, 10_000_000)
        return up, down, driver.link
    assert rig.run(program) == (True, False, True)


def test_frames_that_a_card_can_not_send():
    def program(cpu, driver):
        for length in (13, 1515):
            with pytest.raises(DriverError, match=f"a frame of {length} bytes"):
                driver.send(bytes(length))
        yield from cpu.pay()
    NetRig("passthrough").run(program)


def test_a_physical_function_that_is_silent():
    rig = NetRig("passthrough")
    rig.guest.attachments[0].nic.card.write(r.MBVFIMR, 4, 0)         # its driver hears of resets alone

    def program(cpu, driver):
        yield from cpu.pay()
    with pytest.raises(DriverError, match="does not hear message 0x2"):
        rig.run(program)
