"""8042 keyboard controller, at ports 60h (data) and 64h (status, command).

A microcontroller between the PC and two PS/2 devices.  One output buffer
serves three sources - the controller's own answers, the keyboard (IRQ 1) and
the mouse (IRQ 12) - and the next byte enters when the last one was read, in
that order of rank.  Its output port also holds two wires that have nothing to
do with keys: address line A20 and the processor's reset.

Sources: IBM PC/AT Technical Reference, "Keyboard Controller"; IBM PS/2
Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
Controller".
"""

from collections.abc import Callable

from vmio.devices.pc.ps2 import Keyboard, Mouse
from vmio.machine.bus import BadAccess
from vmio.machine.contracts import State
from vmio.machine.lines import Line

DATA, STATUS = 0, 4  # offsets from port 60h

OUTPUT_FULL, SYSTEM, COMMAND, UNLOCKED, MOUSE_FULL = 0x01, 0x04, 0x08, 0x10, 0x20     # status
KEYBOARD_IRQ, MOUSE_IRQ, KEYBOARD_OFF, MOUSE_OFF, TRANSLATE = 0x01, 0x02, 0x10, 0x20, 0x40  # command byte
OUT_RUN, OUT_A20, OUT_FULL, OUT_MOUSE_FULL, OUT_IDLE = 0x01, 0x02, 0x10, 0x20, 0xCC   # output port

READ_MODE, WRITE_MODE = 0x20, 0x60
MOUSE_DISABLE, MOUSE_ENABLE, MOUSE_TEST, SELF_TEST, KEYBOARD_TEST = 0xA7, 0xA8, 0xA9, 0xAA, 0xAB
KEYBOARD_DISABLE, KEYBOARD_ENABLE, READ_INPUT, READ_OUTPUT, WRITE_OUTPUT = 0xAD, 0xAE, 0xC0, 0xD0, 0xD1
FAKE_KEYBOARD, FAKE_MOUSE, TO_MOUSE, A20_OFF, A20_ON, PULSE = 0xD2, 0xD3, 0xD4, 0xDD, 0xDF, 0xF0
PARAMETER = (WRITE_MODE, WRITE_OUTPUT, FAKE_KEYBOARD, FAKE_MOUSE, TO_MOUSE)  # a byte at port 60h follows

# Who waits with a byte, by rank.  A device's bit is its "off" bit of the command byte.
CONTROLLER, CONTROLLER_AS_MOUSE, KEYBOARD, MOUSE = 0x04, 0x08, KEYBOARD_OFF, MOUSE_OFF
RANK = (CONTROLLER, CONTROLLER_AS_MOUSE, KEYBOARD, MOUSE)


class I8042:
    """The controller with its keyboard and mouse.

    `line1` and `line12` are the interrupt outputs; `on_a20(level)` is told of
    the A20 gate, `on_reset()` of a pulse on the processor's reset.  `port60`
    and `port64` are the two single ports for a bus (61h is another chip's).
    """

    def __init__(self, line1: Line, line12: Line, on_a20: Callable[[int], None] | None = None,
                 on_reset: Callable[[], None] | None = None) -> None:
        self.line1, self.line12 = line1, line12
        self.on_a20 = on_a20 or (lambda level: None)
        self.on_reset = on_reset or (lambda: None)
        self.port60, self.port64 = Port(self, DATA), Port(self, STATUS)
        self.keyboard = Keyboard(lambda level: self._device_has_data(KEYBOARD, level))
        self.mouse = Mouse(lambda level: self._device_has_data(MOUSE, level))
        self.reset()

    def reset(self) -> None:
        """Power-on: both interrupts enabled, self-test not yet run, A20 open."""
        self.mode = KEYBOARD_IRQ | MOUSE_IRQ
        self.status = COMMAND | UNLOCKED
        self.output_port = OUT_RUN | OUT_A20 | OUT_IDLE
        self.pending = self.source = 0
        self.answer = self.output = 0
        self.command: int | None = None  # waiting for its parameter
        self.keyboard.reset()
        self.mouse.reset()
        self._drive_lines()

    def read(self, offset: int, size: int = 1) -> int:
        """Status (offset 4) has no side effect; data (offset 0) empties the output buffer."""
        if size != 1 or offset not in (DATA, STATUS):
            raise BadAccess(f"i8042: no {size}-byte register at {offset}")
        if offset == STATUS:
            return self.status
        if self.status & OUTPUT_FULL:
            self._empty_buffer()
            if self.source == KEYBOARD:
                self.output = self.keyboard.take()
            elif self.source == MOUSE:
                self.output = self.mouse.take()
            else:
                self.output = self.answer
                self.pending &= ~(CONTROLLER | CONTROLLER_AS_MOUSE)
                self._fill_buffer()
        return self.output

    def write(self, offset: int, size: int, value: int) -> None:
        """A command to the controller (offset 4), or data: its parameter, else for the keyboard."""
        if size != 1 or offset not in (DATA, STATUS):
            raise BadAccess(f"i8042: no {size}-byte register at {offset}")
        value &= 0xFF
        if offset == STATUS:
            self._command(value)
        else:
            command, self.command = self.command, None
            self._data(command, value)

    def _command(self, value: int) -> None:
        if value in PARAMETER:
            self.command = value
        elif value == READ_MODE:
            self._answer(self.mode)
        elif value == MOUSE_DISABLE:
            self.mode |= MOUSE_OFF
        elif value == MOUSE_ENABLE:
            self.mode &= ~MOUSE_OFF
            self._offer()
        elif value == KEYBOARD_DISABLE:
            self.mode |= KEYBOARD_OFF
        elif value == KEYBOARD_ENABLE:
            self.mode &= ~KEYBOARD_OFF
            self._offer()
        elif value in (MOUSE_TEST, KEYBOARD_TEST):
            self._answer(0x00)  # no error
        elif value == SELF_TEST:
            self.status |= SYSTEM
            self._answer(0x55)
        elif value == READ_INPUT:
            self._answer(0x80)  # keyboard not locked
        elif value == READ_OUTPUT:
            self._answer(self.output_port)
        elif value in (A20_OFF, A20_ON):
            a20 = value == A20_ON
            self.output_port = self.output_port & ~OUT_A20 | OUT_A20 * a20
            self.on_a20(int(a20))
        elif value >= PULSE and not value & OUT_RUN:
            self.on_reset()     # F0h to FFh pulse the output bits that are 0 in the command

    def _data(self, command: int | None, value: int) -> None:
        if command is None:
            self.keyboard.command(value)
            self.mode &= ~KEYBOARD_OFF  # sending to a device switches its interface on
            self._offer()
        elif command == WRITE_MODE:
            self.mode = value
            self.keyboard.translated = bool(value & TRANSLATE)
            self._drive_lines()
            self._offer()
        elif command == WRITE_OUTPUT:
            self.output_port = value
            self.on_a20(value >> 1 & 1)
            if not value & OUT_RUN:
                self.on_reset()
        elif command == TO_MOUSE:
            self.mouse.command(value)
            self.mode &= ~MOUSE_OFF
            self._offer()
        else:
            self._answer(value, as_mouse=command == FAKE_MOUSE)

    # -- the output buffer ------------------------------------------------------------------

    def _answer(self, value: int, as_mouse: bool = False) -> None:
        """The controller itself has a byte; a newer answer replaces one not yet read."""
        self.answer = value
        self.pending = (self.pending & ~(CONTROLLER | CONTROLLER_AS_MOUSE)
                        | (CONTROLLER_AS_MOUSE if as_mouse else CONTROLLER))
        self._offer()

    def _device_has_data(self, who: int, level: int) -> None:
        self.pending = self.pending | who if level else self.pending & ~who
        self._offer()

    def _offer(self) -> None:
        """Fill the buffer if it is free."""
        if not self.status & OUTPUT_FULL:
            self._fill_buffer()

    def _fill_buffer(self) -> None:
        """Whoever ranks first among those that wait, and whose interface is on, gets the buffer."""
        ready = self.pending & ~(self.mode & (KEYBOARD_OFF | MOUSE_OFF))
        for source in RANK:
            if ready & source:
                self.source = source
                self.status |= OUTPUT_FULL
                self.output_port |= OUT_FULL
                if source in (MOUSE, CONTROLLER_AS_MOUSE):
                    self.status |= MOUSE_FULL
                    self.output_port |= OUT_MOUSE_FULL
                self._drive_lines()
                return

    def _empty_buffer(self) -> None:
        self.status &= ~(OUTPUT_FULL | MOUSE_FULL)
        self.output_port &= ~(OUT_FULL | OUT_MOUSE_FULL)
        self._drive_lines()

    def _drive_lines(self) -> None:
        full, mouse = self.status & OUTPUT_FULL, self.status & MOUSE_FULL
        keyboard_on = self.mode & KEYBOARD_IRQ and not self.mode & KEYBOARD_OFF
        self.line1.set(int(bool(full and not mouse and keyboard_on)))
        self.line12.set(int(bool(full and mouse and self.mode & MOUSE_IRQ)))

    # -- save and restore -------------------------------------------------------------------

    STATE = ("mode", "status", "output_port", "pending", "source", "answer", "output", "command")

    def save(self) -> State:
        """Registers, buffer and both devices as plain data."""
        return {**{name: getattr(self, name) for name in self.STATE},
                "keyboard": self.keyboard.save(), "mouse": self.mouse.save()}

    def restore(self, state: State) -> None:
        """Take over what `save` gave."""
        for name in self.STATE:
            setattr(self, name, state[name])
        self.keyboard.restore(state["keyboard"])
        self.mouse.restore(state["mouse"])
        self._drive_lines()


class Port:
    """One of the controller's ports as a device of its own, for a bus region of one address."""

    def __init__(self, controller: I8042, offset: int) -> None:
        self.controller, self.offset = controller, offset

    def read(self, offset: int, size: int = 1) -> int:
        """Read the port."""
        return self.controller.read(self.offset + offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the port."""
        self.controller.write(self.offset + offset, size, value)
