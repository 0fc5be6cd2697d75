"""The keyboard controller's clauses: status, command byte, ranks in the output buffer, both devices, port 92h."""

import pytest

from vmio.devices.pc.i8042 import I8042
from vmio.devices.pc.port92 import Port92
from vmio.machine.bus import BadAccess, Bus
from vmio.machine.lines import Line


class Bench:
    """A controller on a bus, with what its wires did."""

    def __init__(self):
        self.events = []
        self.line1, self.line12 = Line("irq1"), Line("irq12")
        self.line1.connect(lambda level: self.events.append((1, level)))
        self.line12.connect(lambda level: self.events.append((12, level)))
        self.kbc = I8042(self.line1, self.line12, lambda level: self.events.append(("a20", level)),
                         lambda: self.events.append("reset"))
        self.bus = Bus("io", 65536)
        self.bus.attach(0x60, 1, self.kbc.port60)
        self.bus.attach(0x64, 1, self.kbc.port64)

    def command(self, value, data=None):
        self.bus.write(0x64, 1, value)
        if data is not None:
            self.data(data)

    def data(self, value):
        self.bus.write(0x60, 1, value)

    def status(self):
        return self.bus.read(0x64, 1)

    def bytes(self):
        """Read as long as there is something."""
        out = b""
        while self.status() & 1:
            out += bytes([self.bus.read(0x60, 1)])
        return out.hex(" ")

    def keyboard(self, *values):
        for value in values[:-1]:
            self.data(value)
            self.bytes()
        self.data(values[-1])
        return self.bytes()

    def mouse(self, *values):
        for value in values[:-1]:
            self.command(0xD4, value)
            self.bytes()
        self.command(0xD4, values[-1])
        return self.bytes()


@pytest.fixture
def b():
    return Bench()


def test_self_test_sets_the_system_flag(b):
    assert b.status() == 0x18
    b.command(0xAA)
    assert b.status() == 0x1D and b.line1.level == 1
    assert b.bytes() == "55"
    assert b.status() == 0x1C and b.events == [(1, 1), (1, 0)]


def test_answers_of_the_controller(b):
    for command, answer in ((0x20, "03"), (0xA9, "00"), (0xAB, "00"), (0xC0, "80"), (0xD0, "cf")):
        b.command(command)
        assert b.bytes() == answer


def test_command_byte_gates_the_interrupts(b):
    b.command(0x60, 0x00)
    b.command(0xAA)
    assert b.status() & 1 and not b.events
    b.command(0x60, 0x01)
    assert b.events == [(1, 1)]


def test_disabled_interface_holds_the_byte_back(b):
    b.command(0xD2, 0x11)              # something in the buffer, so that the keyboard's byte waits
    b.data(0xEE)
    b.command(0xAD)
    assert b.bytes() == "11"
    b.command(0xAE)
    assert b.bytes() == "ee"


def test_sending_to_a_device_enables_it(b):
    b.command(0x60, 0x33)
    assert b.keyboard(0xEE) == "ee"
    assert b.mouse(0xE6) == "fa"
    b.command(0x20)
    assert b.bytes() == "03"


def test_ranks_controller_keyboard_mouse(b):
    b.command(0xD2, 0x01)
    b.command(0xD4, 0xF2)
    b.data(0xF2)
    b.command(0xAA)
    assert b.bytes() == "55 fa fa ab 00 83"  # one answer of the controller; devices give way after each byte


def test_mouse_bytes_are_marked_and_use_their_own_line(b):
    b.command(0xD4, 0xF4)
    assert b.status() & 0x21 == 0x21 and b.events == [(12, 1)]
    b.bytes()
    b.command(0xD3, 0x77)
    assert b.status() & 0x21 == 0x21
    assert b.bytes() == "77"


def test_output_port_and_reset(b):
    b.command(0xD1, 0xDD)
    b.command(0xDF)
    b.command(0xDD)
    b.command(0xFE)
    b.command(0xFF)                    # pulses nothing
    b.command(0xD1, 0xDE)
    assert b.events == [("a20", 0), ("a20", 1), ("a20", 0), "reset", ("a20", 1), "reset"]


def test_keyboard_commands(b):
    assert b.keyboard(0xFF) == "fa aa"
    assert b.keyboard(0xF2) == "fa ab 83"
    assert b.keyboard(0xED, 0x07) == "fa" and b.kbc.keyboard.leds == 7
    assert b.keyboard(0xF3, 0x20) == "fa"
    assert b.keyboard(0xF0, 0x00) == "fa 02"
    assert b.keyboard(0xF0, 0x03) == "fa"
    assert b.keyboard(0xF0, 0x00) == "fa 03"
    assert b.keyboard(0xF0, 0x09) == "fe"
    assert b.keyboard(0xF5) == "fa" and not b.kbc.keyboard.scanning
    assert b.keyboard(0xF4) == "fa" and b.kbc.keyboard.scanning
    assert b.keyboard(0xF6) == "fa"
    assert b.keyboard(0x99) == "fe"


def test_translation_shows_in_the_identity(b):
    b.command(0x60, 0x43)
    assert b.keyboard(0xF2) == "fa ab 41"
    assert b.keyboard(0xF0, 0x00) == "fa 41"


def test_a_new_command_drops_the_old_reply(b):
    b.data(0xF2)
    assert b.bus.read(0x60, 1) == 0xFA
    b.data(0xEE)
    assert b.bytes() == "ee"


def test_mouse_commands(b):
    assert b.mouse(0xFF) == "fa aa 00"
    assert b.mouse(0xE9) == "fa 00 02 64"
    b.mouse(0xE8, 3), b.mouse(0xF3, 40), b.mouse(0xE7), b.mouse(0xF4), b.mouse(0xF0)
    assert b.mouse(0xE9) == "fa 70 03 28"
    b.mouse(0xE6), b.mouse(0xF5), b.mouse(0xEA)
    assert b.mouse(0xE9) == "fa 00 03 28"
    assert b.mouse(0xEB) == "fa 08 00 00"
    assert b.mouse(0xEE) == "fa" and b.mouse(0x42) == "42" and b.mouse(0xEC) == "fa"
    assert b.mouse(0xF6) == "fa" and b.mouse(0xE9) == "fa 00 02 64"


@pytest.mark.parametrize("rates, identity", [((200, 100, 80), 3), ((200, 200, 80), 4), ((100, 200, 80), 0)])
def test_the_knock_that_turns_on_the_wheel(b, rates, identity):
    for rate in rates:
        b.mouse(0xF3, rate)
    assert b.mouse(0xF2) == f"fa {identity:02x}"


def test_the_mouse_queue_is_bounded(b):
    for _ in range(30):
        b.command(0xD4, 0xE9)
    assert len(b.bytes().split()) == 16


def test_save_restore_and_reset(b):
    b.command(0xD4, 0xE9)
    b.data(0xF2)
    state = b.kbc.save()
    twin = Bench()
    twin.kbc.restore(state)
    assert twin.line12.level == 1 and twin.bytes() == b.bytes()
    b.kbc.restore(state)
    b.kbc.reset()
    assert b.line12.level == 0 and b.status() == 0x18 and b.bytes() == ""


def test_bad_access(b):
    for offset, size in ((1, 1), (0, 2), (4, 4)):
        with pytest.raises(BadAccess):
            b.kbc.read(offset, size)
        with pytest.raises(BadAccess):
            b.kbc.write(offset, size, 0)


def test_port92():
    events = []
    port = Port92(events.append, lambda: events.append("reset"))
    assert port.read(0, 1) == 0
    for value in (0x02, 0x03, 0x01, 0x00):
        port.write(0, 1, value)
    assert events == [1, 1, "reset", 0, 0]
    port.write(0, 1, 0xFF)
    port.reset()
    assert port.read(0, 1) == 0xFE
    with pytest.raises(BadAccess):
        port.read(0, 2)
    with pytest.raises(BadAccess):
        port.write(1, 1, 0)
