"""The two devices behind the keyboard controller: a PS/2 keyboard and a PS/2 mouse.

Each is a small computer that answers command bytes with reply bytes, FAh
("acknowledge") first.  Nobody types here: what a guest's driver sees is the
conversation of detection and set-up.

Source: IBM Personal System/2 Hardware Interface Technical Reference,
"Keyboard" and "Mouse".
"""

from collections import deque
from collections.abc import Callable

from vmio.machine.contracts import State

ACK, RESEND, SELF_TEST_PASSED = 0xFA, 0xFE, 0xAA
QUEUE_BYTES = 16


class Ps2Device:
    """What both have: a queue of bytes for the controller, told by `on_data(1 or 0)`."""

    POWER_ON: State = {}  # the registers and their values when power comes

    def __init__(self, on_data: Callable[[int], None]) -> None:
        self.on_data = on_data
        self.reset()

    def reset(self) -> None:
        """Power-on: nothing to say, all registers at their defaults."""
        self.queue: deque[int] = deque()
        self.replies = 0       # bytes at the head of the queue that answer the last command
        self.parameter_of: int | None = None  # the command whose parameter comes next
        self.last = 0
        for name, value in self.POWER_ON.items():
            setattr(self, name, value)

    def save(self) -> State:
        """Return all registers and the queue as plain data."""
        return {"queue": list(self.queue), "replies": self.replies, "parameter_of": self.parameter_of,
                "last": self.last, **{name: getattr(self, name) for name in self.POWER_ON}}

    def restore(self, state: State) -> None:
        """Take over what `save` gave."""
        for name, value in state.items():
            setattr(self, name, deque(value) if name == "queue" else value)

    def send(self, *values: int) -> None:
        """Queue these bytes; all are lost if there is no room for all."""
        if len(self.queue) + len(values) <= QUEUE_BYTES:
            self.queue.extend(values)
            self.on_data(1)

    def take(self) -> int:
        """Give the controller one byte (the last one again if there is none)."""
        if self.queue:
            self.last = self.queue.popleft()
            self.replies = max(self.replies - 1, 0)
            self.on_data(0)
            if self.queue:
                self.on_data(1)
        return self.last


class Keyboard(Ps2Device):
    """A 101-key keyboard, identity ABh 83h.  A command drops the replies to the one before."""

    ECHO, SCAN_CODE_SET, IDENTIFY, TYPEMATIC, ENABLE, DEFAULTS_OFF, DEFAULTS, RESET = (
        0xEE, 0xF0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xFF)
    LEDS, ALL_TYPEMATIC_MAKE, KEY_MAKE_BREAK = 0xED, 0xFA, 0xFC
    SCAN_SET_XT = {1: 0x43, 2: 0x41, 3: 0x3F}  # 1, 2, 3 after the controller's translation to set 1
    scanning: bool
    scan_set: int
    leds: int
    translated: bool
    POWER_ON = {"scanning": True, "scan_set": 2, "leds": 0, "translated": False}

    def reply(self, *values: int) -> None:
        """Answer ahead of anything that waits in the queue."""
        self.queue.extendleft(reversed(values))
        self.replies = len(values)
        self.on_data(1)

    def command(self, value: int) -> None:
        """A byte from the host: a command, or the parameter of the one before."""
        for _ in range(self.replies):
            self.queue.popleft()
        self.replies = 0
        command, self.parameter_of = self.parameter_of, None
        if command is not None:
            self._parameter(command, value)
        elif value == self.ECHO:
            self.reply(self.ECHO)
        elif value == self.IDENTIFY:
            self.reply(ACK, 0xAB, 0x41 if self.translated else 0x83)
        elif value in (self.SCAN_CODE_SET, self.LEDS, self.TYPEMATIC, self.KEY_MAKE_BREAK):
            self.parameter_of = value
            self.reply(ACK)
        elif value in (self.DEFAULTS_OFF, self.DEFAULTS, self.RESET):
            self.scanning, self.scan_set, self.leds = value != self.DEFAULTS_OFF, 2, 0
            self.queue.clear()
            self.reply(*((ACK, SELF_TEST_PASSED) if value == self.RESET else (ACK,)))
        elif value in (0x00, self.ENABLE, self.ALL_TYPEMATIC_MAKE):
            self.scanning = self.scanning or value == self.ENABLE
            self.reply(ACK)
        else:
            self.reply(RESEND)

    def _parameter(self, command: int, value: int) -> None:
        if command == self.SCAN_CODE_SET and value == 0:
            self.reply(ACK, self.SCAN_SET_XT[self.scan_set] if self.translated else self.scan_set)
        elif command == self.SCAN_CODE_SET and value > 3:
            self.reply(RESEND)
        else:
            if command == self.SCAN_CODE_SET:
                self.scan_set = value
            elif command == self.LEDS:
                self.leds = value
            self.reply(ACK)


class Mouse(Ps2Device):
    """A two-button mouse that becomes a wheel mouse when it hears the rates 200, 100 (or 200), 80."""

    SCALE_1_1, SCALE_2_1, RESOLUTION, STATUS, STREAM, POLL, WRAP_OFF, WRAP, REMOTE = (
        0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xEE, 0xF0)
    IDENTIFY, RATE, ENABLE, DISABLE, DEFAULTS, RESET = 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xFF
    STATUS_2_1, STATUS_ENABLED, STATUS_REMOTE = 0x10, 0x20, 0x40
    BITS = {SCALE_1_1: (STATUS_2_1, 0), SCALE_2_1: (0, STATUS_2_1), STREAM: (STATUS_REMOTE, 0),
            REMOTE: (0, STATUS_REMOTE), ENABLE: (0, STATUS_ENABLED), DISABLE: (STATUS_ENABLED, 0)}
    KNOCKS = {(200, 100, 80): 3, (200, 200, 80): 4}  # sample rates that change the identity
    status: int
    resolution: int
    rate: int
    wrap: bool
    identity: int
    knock: tuple
    POWER_ON = {"status": 0, "resolution": 0, "rate": 0, "wrap": False, "identity": 0, "knock": ()}

    def command(self, value: int) -> None:
        """A byte from the host: a command, or the parameter of the one before."""
        command, self.parameter_of = self.parameter_of, None
        if command == self.RATE:
            self.rate = value
            self._listen(value)
            self.send(ACK)
        elif command == self.RESOLUTION:
            self.resolution = value
            self.send(ACK)
        elif self.wrap and value not in (self.WRAP_OFF, self.RESET):
            self.send(value)   # wrap mode: an echo, for testing the wire
        elif value in self.BITS:
            clear, set_ = self.BITS[value]
            self.status = self.status & ~clear | set_
            self.send(ACK)
        elif value in (self.RESOLUTION, self.RATE):
            self.parameter_of = value
            self.send(ACK)
        elif value == self.IDENTIFY:
            self.send(ACK, self.identity)
        elif value == self.STATUS:
            self.send(ACK, self.status, self.resolution, self.rate)
        elif value == self.POLL:
            self.send(ACK)
            self.send(*(0x08, 0, 0, 0)[:4 if self.identity else 3])  # it lies still
        elif value == self.WRAP:
            self.wrap = True
            self.send(ACK)
        elif value == self.WRAP_OFF and self.wrap:
            self.wrap = False
            self.send(ACK)
        elif value in (self.DEFAULTS, self.RESET):
            self.status, self.resolution, self.rate = 0, 2, 100
            if value == self.DEFAULTS:
                self.send(ACK)
            else:
                self.identity = 0
                self.queue.clear()
                self.send(ACK, SELF_TEST_PASSED, self.identity)

    def _listen(self, rate: int) -> None:
        """Follow the knock; a wrong rate starts over (and is itself no beginning)."""
        knock = (*self.knock, rate)
        self.identity = self.KNOCKS.get(knock, self.identity)
        self.knock = knock if any(k[:len(knock)] == knock and k != knock for k in self.KNOCKS) else ()
