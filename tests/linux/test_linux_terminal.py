"""A person at Linux's console, in a terminal: what is typed arrives, Ctrl-C and Ctrl-D are the guest's, Ctrl-] is ours."""

import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.command_rig import posix, with_source
from tests.linux_files import kernel
from tests.linux_rig import ROOT

pytestmark = posix


class Terminal:
    """A command whose terminal this is."""

    def __init__(self, *command):
        import pty
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(command, cwd=ROOT, env=with_source(), stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        self.text = ""

    def until(self, *patterns):
        """Read until each of these has been shown, in this order; returns what it was."""
        shown = ""
        for pattern in patterns:
            while not (found := re.search(pattern, self.text)):
                self.text += os.read(self.leader, 4096).decode()
            shown, self.text = shown + self.text[:found.end()], self.text[found.end():]
        return shown

    def type(self, text, *patterns):
        """Type it, and read until these have been shown."""
        os.write(self.leader, text.encode())
        return self.until(*patterns)

    def end(self):
        """Read to the end; returns (status, what has been shown)."""
        with suppress(OSError):          # the other side has closed
            while more := os.read(self.leader, 4096):
                self.text += more.decode()
        os.close(self.leader)
        return self.process.wait(timeout=60), self.text


PROMPT = "/root # "


@pytest.fixture
def shell():
    """A shell at its prompt."""
    kernel()
    terminal = Terminal(sys.executable, "-m", "vmio", "boot", "--quiet")
    yield terminal
    terminal.process.kill()
    terminal.process.wait()


def test_a_shell_is_typed_to_and_left(shell):
    """A window that changes its size, as nothing of a serial line does, disturbs nobody."""
    import fcntl
    import termios
    assert shell.until(PROMPT).startswith("(Ctrl-] ends it)")
    assert "\r\nash\r\nawait\r\n" in shell.type("ls /bin | head -4\r", PROMPT)
    shell.type("echo going; sleep 1000\r", r"\ngoing")          # by then the shell has given the terminal its keys for signals back
    assert "^C" in shell.type("\x03", PROMPT)
    fcntl.ioctl(shell.leader, termios.TIOCSWINSZ, b"\x10\0\x40\0\0\0\0\0")
    assert re.search(r"\r\n6 \* 7 is 42\r\n", shell.type("echo 6 '*' 7 is $((6 * 7))\r", r"is \d+\r\n", PROMPT))
    shell.type("mark here\r", "VMIO-MARK here", PROMPT)
    shell.type("\x04")
    status, text = shell.end()
    assert status == 0 and "power off: the guest has switched itself off" in text and re.search(r"\r\nhere +[\d,.]+ ", text)


def test_a_program_that_never_sleeps_is_left_too(shell):
    shell.until(PROMPT)
    shell.type("while :; do :; done\r", "while")
    shell.type("\x1d")
    status, text = shell.end()
    assert status == 0 and "ended by its user: Ctrl-] was typed" in text and "HLT" in text
