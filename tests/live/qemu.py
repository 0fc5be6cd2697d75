"""A real QEMU beside the oracle door: the same lines to both, and whatever differs is an error.

QEMU runs as `-machine pc -S`: its devices answer the qtest protocol while no
CPU executes and the virtual clock stands still.  A distribution's build has
no `clock_step` (it belongs to an accelerator that Debian leaves out), so what
depends on running time is left to the recordings in tests/golden.
"""

import os
import shutil
import subprocess
import time

from hypothesis import HealthCheck, Phase, settings

PROGRAM = "qemu-system-x86_64"
RTC_BASE = "2024-02-29T23:59:58"  # the door's default
LETTER = {1: "b", 2: "w", 4: "l"}
PATIENCE_S = 5.0  # for a disk access of QEMU's, which takes as long as the host likes

fixed = settings(max_examples=int(os.environ.get("VMIO_EXAMPLES", "16")), derandomize=True, deadline=None,
                 database=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
                 phases=[Phase.generate, Phase.shrink] if os.environ.get("VMIO_SHRINK") else [Phase.generate])


def missing():
    """Why there is no QEMU to compare with, or None."""
    if shutil.which(PROGRAM):
        return None
    return f"{PROGRAM} IS NOT INSTALLED: nothing was compared with a live QEMU (Debian: apt install qemu-system-x86)"


class Qemu:
    """One QEMU process; `answer(line)` is that of `vmio.oracle.qtest.Door`."""

    def __init__(self, serial, drive=None):
        """`serial` is the file for what COM1 sends; `drive` the image of the primary master, or a list of the images of

        the primary master and slave and the secondary ones.  They stay as they are.
        """
        arguments = ["-machine", "pc", "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-m", "16",
                     "-rtc", f"base={RTC_BASE},clock=vm", "-qtest", "stdio", "-qtest-log", "none",
                     "-chardev", f"file,id=c0,path={serial}", "-serial", "chardev:c0"]
        for n, file in enumerate(drive if isinstance(drive, list) else [drive] if drive else []):
            arguments += ["-drive", f"if=none,id=d{n},file={file},format=raw,snapshot=on,file.locking=off",
                          "-device", f"ide-hd,drive=d{n},bus=ide.{n >> 1},unit={n & 1},serial=VMIO000{n + 1},"
                          "model=VMIO ORACLE DISK,ver=1.0,cyls=2,heads=16,secs=63"]
        self.serial = serial
        self._process = subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE)

    def answers(self, lines):
        """The answers to many lines, sent in one go."""
        source, sink = self._process.stdout, self._process.stdin
        sink.write("".join(line + "\n" for line in lines).encode())
        sink.flush()
        found = []
        for line in lines:
            answer = []
            while not answer or answer[-1].startswith("IRQ"):
                text = source.readline()
                if not text:
                    _, words = self._process.communicate()
                    raise RuntimeError(f"QEMU ended at '{line}', code {self._process.returncode}: {words.decode()}")
                answer.append(text.decode().rstrip())
            found.append(answer)
        return found

    def answer(self, line):
        """The lines that answer one command."""
        return self.answers([line])[0]

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.communicate()


class Stable:
    """Fresh QEMUs, each started while the one before is in use: a start takes about 50 ms."""

    def __init__(self, folder, drive=None):
        self.folder, self.drive, self.count = folder, drive, 0
        self._next = self._start()

    def _start(self):
        self.count += 1
        return Qemu(os.path.join(self.folder, f"serial{self.count}"), self.drive)

    def take(self):
        """A QEMU straight after power-on; close it after use."""
        ready, self._next = self._next, self._start()
        return ready

    def close(self):
        """End the one that waits."""
        self._next.close()


class Pair:
    """QEMU and a door, asked the same; AssertionError at the first answer or interrupt edge that differs."""

    def __init__(self, qemu, door, prepare=()):
        self.qemu, self.door = qemu, door
        self.done = []
        # Timer channel 0 counts from power-on; mode 0 without a count keeps IRQ0 low and quiet.
        for line in ("outb 0x43 0x30", *prepare, "irq_intercept_in ioapic"):
            assert qemu.answer(line)[-1].startswith("OK"), line
            assert door.answer(line)[-1].startswith("OK"), line

    def ask(self, *lines):
        """Lines with which a chip is done at once."""
        for line, ours, theirs in zip(lines, [self.door.answer(line) for line in lines], self.qemu.answers(lines)):
            assert ours == theirs, f"{line}: vmio {ours}, QEMU {theirs}\n{self.story()}"
            self.done.append(line)

    def ask_disk(self, *lines, watch):
        """Lines after which a disk may have work to do.  `watch`: status ports that show when it has done it,
        the two channels' alternate status first.

        A door's disk ends its work with the next command, QEMU's when the host has done it.  So the watched
        ports (1 byte each, without side effects) of QEMU are read until they show what the door's show; the
        order of the interrupt edges is compared, not their exact moment.
        """
        while lines:
            before, noise = self._look(self.door, watch[:2])
            burst, ours = [], [noise]
            for line in lines:
                burst.append(line)
                ours.append([self.door.answer(line)])
                state, noise = self._look(self.door, watch[:2])
                ours.append(noise)
                if state != before:  # e.g. the end of a block: let QEMU get there before the next word
                    break
            for _ in range(2):
                state, noise = self._look(self.door, watch)
                ours.append(noise)
            self._catch_up(burst, ours, watch, state)
            lines = lines[len(burst):]

    def _catch_up(self, burst, ours, watch, state):
        where = burst[0] if len(burst) == 1 else f"{len(burst)} from {burst[0]} to {burst[-1]}"
        theirs, until = [self.qemu.answers(burst)], time.monotonic() + PATIENCE_S
        now = None
        while now != state and time.monotonic() < until:
            now, noise = self._look(self.qemu, watch)
            theirs.append(noise)
        assert state == now, f"{where}: {list(map(hex, watch))} vmio {state}, QEMU {now}\n{self.story()}"
        for line, one, other in zip(burst, ours[1::2], theirs[0]):
            assert one[0][-1] == other[-1], f"{line}: vmio {one[0]}, QEMU {other}\n{self.story()}"
        one, other = edges(ours), edges(theirs)
        assert one == other, f"{where}: edges of vmio {one}, of QEMU {other}\n{self.story()}"
        self.done.append(where)

    @staticmethod
    def _look(machine, watch):
        answers = machine.answers([f"inb {port:#x}" for port in watch]) if isinstance(machine, Qemu) else [
            machine.answer(f"inb {port:#x}") for port in watch]
        return [answer[-1] for answer in answers], answers

    def story(self):
        """What went before."""
        return f"after {len(self.done)} lines, the last ones " + "; ".join(self.done[-16:])


def edges(rounds):
    """The IRQ lines in some rounds of answers."""
    return [text for answers in rounds for answer in answers for text in answer[:-1]]
