"""A person at the console: what is typed goes to the guest's serial port, and a guest that sleeps takes its time."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vmio.boot.result import USER
from vmio.processors.unicorn.vcpu import End

LEAVE = 0x1D                # Ctrl-], as telnet has it
LONGEST_S = 0.2             # that a sleep takes on the wall
HINT = "(Ctrl-] ends it)"


@contextmanager
def typing(boot: Any) -> Iterator[None]:
    """While the block runs, standard input is the keyboard of `boot`'s console; a terminal is raw meanwhile.

    ValueError where input can't be waited for.
    """
    try:
        select.select([sys.stdin], [], [], 0)
        keyboard = Keyboard(boot, sys.stdin.fileno())
    except (OSError, ValueError) as error:
        raise ValueError(f"--interactive: standard input can't be waited for here: {error}") from None
    boot.cpu.on_idle = keyboard.look
    with _raw(keyboard.number):
        yield


class Keyboard:
    """What is read from the file `number` and not typed yet."""

    def __init__(self, boot: Any, number: int) -> None:
        self.cpu, self.uart, self.env, self.number = boot.cpu, boot.guest.board.uart, boot.cpu.env, number
        self.waiting = b""
        self._over = False

    def look(self) -> None:
        """The guest goes to sleep: wait as long for a key, and type as much as the port takes."""
        until = min(self.cpu.clock.deadline(), self.env.peek())
        if not (self.waiting or self._over):
            seconds = min(max(until - self.cpu.now, 0) / 1e9, LONGEST_S)
            if select.select([self.number], [], [], seconds)[0]:
                self._read()
        free = self.uart.free()
        if self.waiting and free:
            self.uart.receive(self.waiting[:free])
            self.waiting = self.waiting[free:]

    def _read(self) -> None:
        data = os.read(self.number, 1024)
        self._over = not data
        if bytes([LEAVE]) in data:
            self.cpu.end(End(USER, "Ctrl-] was typed"))
            data = data[:data.index(LEAVE)]
        self.waiting += data


@contextmanager
def _raw(number: int) -> Iterator[None]:
    """A terminal hands over each key as it is; what is no terminal stays as it is."""
    if not os.isatty(number):
        yield
        return
    import termios
    import tty
    before = termios.tcgetattr(number)
    try:
        tty.setraw(number)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
