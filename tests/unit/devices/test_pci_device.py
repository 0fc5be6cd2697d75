"""CONTRIBUTING's recipe for a PCI device, tried: registers, a description, one `plug`; then given to a guest as it is."""

import pytest

from tests.edu_rig import LOW, EduRig, find
from tests.passthrough_rig import MMIO, bus_of
from tests.pci_device import Adder, ManyBars, ManyBarsFunction, adder_function
from vmio.devices.board import Board
from vmio.drivers.errors import DriverError
from vmio.host.clock import HostClock
from vmio.machine.clock import NEVER
from vmio.modes import Machine, one_guest
from vmio.passthrough.assignment import AssignmentRefused

BASE, PORTS = 0xE000_0000, 0xC000


class Plugged:
    """A PC with a function in a slot, and its configuration space as the processor sees it."""

    def __init__(self, function, slot=5, **options):
        self.guest = one_guest(ram_mib=8, vcpus=2).guest
        self.board, self.slot = Board(self.guest), slot
        self.function = self.board.plug(slot, function, "card", **options)

    def config(self, register, value=None, size=4, device=None):
        self.guest.io.write(0xCF8, 4, 1 << 31 | (self.slot if device is None else device) << 11 | register & 0xFC)
        if value is None:
            return self.guest.io.read(0xCFC + register % 4, size)
        return self.guest.io.write(0xCFC + register % 4, size, value)

    def enable(self, base=BASE):
        self.config(0x10, base)
        self.config(4, 7, 2)


def test_a_device_in_a_slot_answers_and_interrupts_by_its_pin():
    pc = Plugged(adder_function(Adder()))
    assert pc.config(0) == 0xADD0_1234 and pc.config(0x3D, size=1) == 1
    pc.config(0x60, 0x0B, 1, device=1)               # PIRQA#, to which slot 5 is wired, is IRQ 11
    pc.enable()
    pc.guest.mmio.write(BASE, 4, 40)
    pc.guest.mmio.write(BASE, 4, 2)
    assert pc.guest.mmio.read(BASE, 4) == 42 and pc.guest.lines[11].level == 1
    assert [region.name for region in pc.guest.mmio.regions] == ["card"]
    pc.guest.mmio.write(BASE, 4, 0)
    assert pc.guest.lines[11].level == 0
    pc.guest.mmio.write(BASE, 4, 7)
    pc.board.reset()
    assert not pc.guest.mmio.regions and pc.guest.lines[11].level == 0 and pc.function.device.total == 0


def test_a_message_reaches_the_vcpu_that_it_names():
    pc = Plugged(adder_function(Adder()))
    pc.enable()
    for register, value, size in ((0x44, 0xFEE0_1000, 4), (0x4C, 0x51, 2), (0x42, 1, 2)):
        pc.config(register, value, size)
    pc.guest.mmio.write(BASE, 4, 1)
    assert pc.guest.vcpus[1].apic.irr == 1 << 0x51 and pc.guest.vcpus[0].apic.irr == 0
    assert (pc.function.messages, pc.function.blocked) == (1, 0)
    pc.config(0x4C, 0x52, 2)
    for address, data in ((0xFEE0_2000, 0x52), (0xFEE0_1004, 0x52), (0xFEE0_1000, 0x0F), (0xFEE0_1000, 0x252)):
        pc.config(0x44, address)                     # no such vCPU, a logical destination, no vector, an SMI
        pc.config(0x4C, data, 2)
        pc.guest.mmio.write(BASE, 4, 1)
    assert pc.guest.vcpus[1].apic.irr == 1 << 0x51 and pc.guest.vcpus[0].apic.irr == 0
    pc.config(0x44, 0x1000)                          # RAM: a message is a store like any other
    pc.config(0x4C, 0x1234, 2)
    pc.guest.mmio.write(BASE, 4, 1)
    assert pc.guest.memory.read(0x1000, 4) == b"\x34\x12\0\0"
    pc.config(0x44, 0x7000_0000)                     # nobody
    pc.guest.mmio.write(BASE, 4, 1)
    pc.config(4, 2, 2)                               # no bus master
    pc.guest.mmio.write(BASE, 4, 1)
    assert (pc.function.messages, pc.function.blocked) == (8, 2)


def test_bars_of_every_kind_go_to_their_buses():
    device = ManyBars()
    pc = Plugged(ManyBarsFunction(device))
    for register, value in ((0x10, BASE), (0x14, BASE + 0x1_0000), (0x18, BASE + 0x2_0000), (0x1C, 1), (0x20, PORTS)):
        pc.config(register, value)
    pc.config(4, 3, 2)
    for bus, at, cells in ((pc.guest.mmio, BASE, device.small), (pc.guest.mmio, BASE + 0x1_0000, device.middle),
                           (pc.guest.mmio, BASE + 0x1_0002_0000, device.large), (pc.guest.io, PORTS, device.ports)):
        bus.write(at + 8, 4, at & 0xFFFF_FFFF)
        assert cells.cells == {8: at & 0xFFFF_FFFF} and bus.read(at + 8, 4) == at & 0xFFFF_FFFF
    pc.config(0x14, BASE + 0x3_0000)                 # one moves, the others stay
    assert [region.base for region in pc.guest.mmio.regions] == [BASE, BASE + 0x3_0000, BASE + 0x1_0002_0000]


def test_who_came_first_keeps_the_addresses():
    pc = Plugged(adder_function(Adder()))
    other = pc.board.plug(6, adder_function(Adder()), "late")
    pc.enable()
    other.write(0x10, 4, BASE)
    other.write(4, 2, 2)
    pc.guest.mmio.write(BASE, 4, 5)
    assert pc.function.device.total == 5 and other.device.total == 0
    other.write(0x10, 4, BASE + 4096)
    pc.guest.mmio.write(BASE + 4096, 4, 6)
    assert other.device.total == 6


@pytest.mark.parametrize("slot, number", [(1, 0), (5, 0), (32, 0), (2, 8)])
def test_a_place_that_is_taken_or_none(slot, number):
    pc, second = Plugged(adder_function(Adder())), adder_function(Adder())
    with pytest.raises(ValueError, match=f"PCI function {slot}.{number} is taken or not within"):
        pc.board.plug(slot, second, "card", number=number)
    assert second.intx is None


# The same device, given away: several BARs over vPCI.

def test_each_bar_is_cut_where_the_host_watches():
    rig = EduRig(ManyBarsFunction(ManyBars()))
    assert [rig.function.parts(index) for index in (0, 1, 2)] == [
        [(0, 256, False)],                                             # less than a page: nothing can be given away
        [(0, 0x1000, True), (0x1000, 0x1000, False)],                  # what the device names
        [(0, 0x1000, True), (0x1000, 0x1000, False), (0x2000, 0x2000, True)]]   # MSI-X tables


def test_several_bars_over_vpci():
    device = ManyBars()
    rig = EduRig(ManyBarsFunction(device))
    lent, heard = rig.assign(), []

    def program(cpu):
        function = yield from find(cpu)
        small, middle, large = (function.bar(index) for index in (0, 1, 2))
        before = cpu.exits.by_device()
        for at in (small + 8, middle, middle + 0x1000, large, large + 0x2000):
            cpu.store(at, 4, at & 0xFFFF_FFFF)
        exits = cpu.exits.by_device() - before
        yield from function.connect(2, 0x70, lambda cpu: heard.append(2))
        cpu.store(small, 4, 2)
        yield from cpu.hlt(10**6)
        return (small, middle, large), exits, function.probed
    (small, middle, large), exits, probed = rig.run(program)
    assert LOW <= small < middle < LOW + (1 << 24) and large >= MMIO and large % 0x4000 == middle % 0x2000 == 0
    assert dict(exits) == {"edu MSI-X": 2} and heard == [2]
    assert probed == (0xFFFF_FF00, 0xFFFF_E000, 0xFFFF_C00C, 0xFFFF_FFFF, 0, 0)       # no ports over vPCI
    assert device.small.cells[8] == small + 8 and device.middle.cells == {0: middle, 0x1000: middle + 0x1000}
    assert device.large.cells == {0: large & 0xFFFF_FFFF, 0x2000: large + 0x2000 & 0xFFFF_FFFF}
    assert lent.create_interrupt(rig.guests[0].cpu, 0x71, 2) and lent.create_interrupt(rig.guests[0].cpu, 0x73) is None
    lent.take_back()
    assert not rig.guests[0].direct.regions and device.middle.cells == {} and not device.msix.enabled
    assert not [region for region in rig.guests[0].mmio.regions if "edu" in region.name]


def test_one_bar_moves_alone():
    rig = EduRig(ManyBarsFunction(ManyBars()))
    rig.assign()

    def program(cpu):
        function = yield from find(cpu)
        function.write(0x14, 4, LOW + 0x80_0000)
        cpu.store(LOW + 0x80_0000, 4, 7)
        cpu.store(function.bar(2), 4, 8)
        return cpu.load(LOW + 0x80_0000, 4), cpu.load(function.bar(2), 4), cpu.load(function.bar(1), 4)
    assert rig.run(program) == (7, 8, 0xFFFF_FFFF)


def test_what_outlives_a_reset_is_scrubbed_by_the_device():
    device = ManyBars()
    rig = EduRig(ManyBarsFunction(device))
    rig.assign().take_back()
    device.stored = "the first guest's"
    with pytest.raises(AssignmentRefused, match="edu holds what guest0 left on it; erase"):
        rig.assign(1)
    rig.function.erase()
    assert device.stored is None
    rig.assign(1)


def test_a_bar_of_32_bits_needs_room_below_4_gib():
    rig = EduRig(ManyBarsFunction(ManyBars()))
    rig.assign()

    def program(cpu):
        with pytest.raises(DriverError, match="BAR 0 has 32 bits: no room below 4 GiB"):
            yield from bus_of(cpu)
        return True
    assert rig.run(program)


def test_a_hosts_clock_is_the_simulations_or_the_guests_that_is_ahead():
    host = Machine(memory_mib=1).host
    clock, rung = HostClock(host.env), []
    for when in (50, 20, NEVER):
        clock.call_at(when, lambda when=when: rung.append((when, clock.now)))
    clock.call_at(30, lambda: rung.append("cancelled")).cancel()
    host.env.run(until=40)
    assert rung == [(20, 20)] and clock.now == 40
    clock.arrived(45)
    clock.arrived(44)
    assert clock.now == 45
    clock.call_later(10, lambda: rung.append(clock.now))
    host.env.run()
    assert rung == [(20, 20), (50, 50), 55]
