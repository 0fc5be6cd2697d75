"""A person at the console: what is typed goes to the guest's serial port, and a guest that sleeps takes its time."""

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from vmio.boot.result import USER
from vmio.processors.unicorn.vcpu import End

LEAVE = b"\x1d"             # Ctrl-], as telnet has it
LOOK_S = 0.05
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
    reader = threading.Thread(target=keyboard.read, name="keyboard", daemon=True)
    with _raw(keyboard.number):
        reader.start()
        try:
            yield
        finally:
            keyboard.over.set()
            reader.join()


class Keyboard:
    """What is read from the file `number` and not typed yet.

    A thread reads, so that Ctrl-] ends a guest that computes, too: one that never sleeps, or has not come to it.
    """

    def __init__(self, boot: Any, number: int) -> None:
        self.cpu, self.uart, self.env, self.number = boot.cpu, boot.guest.board.uart, boot.cpu.env, number
        self.over = threading.Event()           # of the thread
        self.waiting = b""
        self._keys: SimpleQueue[bytes] = SimpleQueue()      # from the thread; b"" is the end of the file
        self._ended = False

    def read(self) -> None:
        """The thread: read until the end of the file, Ctrl-], or `over`."""
        while not self.over.is_set():
            if not select.select([self.number], [], [], LOOK_S)[0]:
                continue
            data = self._some()
            if LEAVE in data:
                self._leave()
                return
            self._keys.put(data)
            if not data:
                return

    def _some(self) -> bytes:
        try:
            return os.read(self.number, 1024)
        except OSError:             # the terminal has gone
            return b""

    def _leave(self) -> None:
        """End the run.  A stop that arrives between two spells in the guest is lost: so it is asked for until the thread is over."""
        self.cpu.stop(End(USER, "Ctrl-] was typed"))
        self._keys.put(b"")
        while not self.over.wait(LOOK_S):
            self.cpu.leave()

    def look(self) -> None:
        """The guest goes to sleep: wait as long for a key, and type as much as the port takes."""
        until = min(self.cpu.clock.deadline(), self.env.peek())
        if not (self.waiting or self._ended):
            seconds = min(max(until - self.cpu.now, 0) / 1e9, LONGEST_S)
            with suppress(Empty):
                self.waiting = self._keys.get(timeout=seconds)
                self._ended = not self.waiting
        free = self.uart.free()
        if self.waiting and free:
            self.uart.receive(self.waiting[:free])
            self.waiting = self.waiting[free:]


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
