"""PCI 2.1 chapter 6 and mechanism 1: who is there, how big, where; and the PIIX's interrupt routing."""

import pytest

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.host import PciHost
from vmio.devices.pci.piix import IsaBridge, PowerManagement, host_bridge, ide_function, pirq_of
from vmio.machine.bus import BadAccess, Bus
from vmio.machine.lines import Line


class Bench:
    """A bus with the chipset on it, as the processor sees it."""

    def __init__(self):
        self.events = []
        self.lines = [Line(f"irq{i}") for i in range(16)]
        self.host = PciHost(lambda: self.events.append("reset"))
        self.host.add(0, 0, host_bridge())
        self.bridge = self.host.add(1, 0, IsaBridge(self.lines))
        self.ide = self.host.add(1, 1, ide_function())
        self.ide.on_bar = lambda *event: self.events.append(event)
        self.host.add(1, 3, PowerManagement())
        self.bus = Bus("io", 65536)
        self.bus.attach(0xCF8, 8, self.host, width=4)

    def select(self, device, function, register):
        self.bus.write(0xCF8, 4, 1 << 31 | device << 11 | function << 8 | register & 0xFC)
        return 0xCFC + (register & 3)

    def get(self, device, function, register, size=4):
        return self.bus.read(self.select(device, function, register), size)

    def put(self, device, function, register, size, value):
        self.bus.write(self.select(device, function, register), size, value)


@pytest.fixture
def b():
    return Bench()


def test_enumeration(b):
    found = {(d, f): b.get(d, f, 0) for d in range(32) for f in range(8)}
    assert {at: i for at, i in found.items() if i != 0xFFFF_FFFF} == {
        (0, 0): 0x1237_8086, (1, 0): 0x7000_8086, (1, 1): 0x7010_8086, (1, 3): 0x7113_8086}
    assert b.get(1, 0, 0x0E, 1) == 0x80          # multifunction
    assert b.get(1, 1, 0x09, 1) == 0x80 and b.get(1, 1, 0x0A, 2) == 0x0101
    b.put(2, 0, 0x04, 2, 7)                      # nobody there: lost
    assert b.get(2, 0, 0x04, 2) == 0xFFFF


def test_address_register_takes_dwords_only(b):
    b.bus.write(0xCF8, 4, 0x8000_0800)
    b.bus.write(0xCF8, 2, 0x1234)
    b.bus.write(0xCFA, 1, 0x55)
    assert b.bus.read(0xCF8, 4) == 0x8000_0800
    b.bus.write(0xCF8, 4, 0x0000_0800)           # not enabled
    assert b.bus.read(0xCFC, 4) == 0xFFFF_FFFF
    b.bus.write(0xCF8, 4, 0x8001_0800)           # bus 1 does not exist
    assert b.bus.read(0xCFC, 4) == 0xFFFF_FFFF


def test_data_window_of_any_size(b):
    assert [b.get(1, 1, r, 1) for r in range(4)] == [0x86, 0x80, 0x10, 0x70]
    assert b.get(1, 1, 2, 2) == 0x7010
    b.select(1, 1, 0)
    assert b.bus.read(0xCFD, 2) == 0x1080
    assert b.bus.read(0xCFE, 4) == 0xFFFF_7010   # half of it is beyond the window


def test_reset_control_register_hides_under_the_address(b):
    b.bus.write(0xCF9, 1, 0x02)
    assert b.bus.read(0xCF9, 1) == 0x02 and not b.events
    b.bus.write(0xCF9, 1, 0x06)
    assert b.events == ["reset"] and b.bus.read(0xCF8, 4) == 0


def test_bar_sizing_and_mapping(b):
    b.put(1, 1, 0x20, 4, 0xFFFF_FFFF)
    assert b.get(1, 1, 0x20) == 0xFFFF_FFF1      # 16 ports
    b.put(1, 1, 0x24, 4, 0xFFFF_FFFF)
    assert b.get(1, 1, 0x24) == 0                # no such BAR
    b.put(1, 1, 0x20, 4, 0xC001)
    assert not b.events                          # the command register does not allow it yet
    b.put(1, 1, 0x04, 2, 0x0005)
    b.put(1, 1, 0x04, 2, 0x0005)
    b.put(1, 1, 0x20, 4, 0xC100)
    b.put(1, 1, 0x04, 1, 0)
    assert b.events == [(4, 0xC000), (4, None), (4, 0xC100), (4, None)]


@pytest.mark.parametrize("base", [0, 0x1_0000, 0xFFFF_FFF0])
def test_a_bar_with_no_such_address_does_not_answer(b, base):
    b.put(1, 1, 0x04, 2, 1)
    b.put(1, 1, 0x20, 4, base)
    assert not b.events


def test_write_masks(b):
    for register, wrote, reads in ((0x00, 0xFFFF_FFFF, 0x7010_8086), (0x04, 0xFFFF_FFFF, 0x0280_0507),
                                   (0x0C, 0xFFFF_FFFF, 0x0000_00FF), (0x3C, 0xFFFF_FFFF, 0x0000_00FF),
                                   (0x40, 0xA307_A307, 0xA307_A307)):
        b.put(1, 1, register, 4, wrote)
        assert b.get(1, 1, register) == reads


def test_status_bits_clear_by_writing_one(b):
    b.ide.header.bytes[0x07] |= 0x20                   # a master abort happened
    b.put(1, 1, 0x06, 2, 0x0000)
    assert b.get(1, 1, 0x06, 2) == 0x2280
    b.put(1, 1, 0x06, 2, 0x2000)
    assert b.get(1, 1, 0x06, 2) == 0x0280


def test_memory_bars():
    events = []
    f = PciFunction(Identity(0x1011, 0x0009, 0x020000), {0: Bar(128), 2: Bar(1 << 14, wide=True, prefetch=True)})
    f.on_bar = lambda *e: events.append(e)
    f.write(0x10, 4, 0xFFFF_FFFF)
    assert f.read(0x10, 4) == 0xFFFF_FF80
    f.write(0x18, 4, 0xFFFF_FFFF), f.write(0x1C, 4, 0xFFFF_FFFF)
    assert (f.read(0x18, 4), f.read(0x1C, 4)) == (0xFFFF_C00C, 0xFFFF_FFFF)
    f.write(0x04, 2, 2)
    assert not events
    f.write(0x10, 4, 0xFEB0_0000), f.write(0x1C, 4, 1), f.write(0x18, 4, 0x0000_4000)
    assert events == [(0, 0xFEB0_0000), (2, 0x1_FFFF_C000), (2, None), (2, 0x1_0000_4000)]
    f.reset()
    assert events[4:] == [(0, None), (2, None)]


def test_interrupt_pin():
    line = Line()
    f = PciFunction(Identity(0x8086, 1, 0x020000), pin=1)
    f.intx = line
    f.set_interrupt(1)
    assert line.level == 1 and f.read(0x06, 2) & 8
    f.write(0x04, 2, 0x400)                      # interrupt disable
    assert line.level == 0 and f.read(0x06, 2) & 8
    f.write(0x04, 2, 0)
    f.set_interrupt(0)
    assert line.level == 0 and not f.read(0x06, 2) & 8


def test_pirq_routing(b):
    b.bridge.set_pirq(0, 1)
    assert not any(line.level for line in b.lines)     # not routed after reset
    b.put(1, 0, 0x60, 4, 0x0A0B_0B0B)
    assert [i for i, line in enumerate(b.lines) if line.level] == [11]
    b.bridge.set_pirq(1, 1)
    b.bridge.set_pirq(0, 0)
    assert b.lines[11].level == 1                      # shared
    b.put(1, 0, 0x61, 1, 5)
    assert [i for i, line in enumerate(b.lines) if line.level] == [5]
    b.bridge.reset()
    assert not any(line.level for line in b.lines)


def test_an_unrouted_isa_line_is_left_alone(b):
    b.lines[1].set(1)
    b.put(1, 0, 0x60, 4, 0x0A0A_0A0A)
    assert b.lines[1].level == 1


def test_slots_rotate_the_wires():
    assert [pirq_of(d, 0) for d in range(1, 6)] == [0, 1, 2, 3, 0]


def test_save_and_restore(b):
    b.put(1, 1, 0x20, 4, 0xC000), b.put(1, 1, 0x04, 2, 5), b.put(1, 0, 0x60, 1, 11)
    b.bridge.set_pirq(0, 1)
    twin = Bench()
    twin.host.restore(b.host.save())
    assert twin.events == [(4, 0xC000)] and twin.lines[11].level == 1
    assert twin.host.save() == b.host.save()
    twin.host.reset()
    assert twin.events[1:] == [(4, None)] and twin.get(1, 1, 0x20) == 1


def test_refusals(b):
    with pytest.raises(ValueError, match="1.1"):
        b.host.add(1, 1, ide_function())
    with pytest.raises(ValueError, match="32.0"):
        b.host.add(32, 0, ide_function())
    with pytest.raises(ValueError, match="power of two"):
        Bar(24)
    with pytest.raises(ValueError, match="BAR index"):
        PciFunction(Identity(0, 0, 0), {5: Bar(16, wide=True)})
    for offset, size in ((8, 1), (6, 4), (-1, 1)):
        with pytest.raises(BadAccess):
            b.host.read(offset, size)
        with pytest.raises(BadAccess):
            b.host.write(offset, size, 0)
    with pytest.raises(BadAccess):
        b.ide.read(256, 1)
    with pytest.raises(BadAccess):
        b.ide.write(256, 1, 0)
