"""One NVMe driver for two machines: the same registers, queues and buffers in QEMU and behind the oracle door."""

import base64
import struct
import subprocess
import time

from qemu import PATIENCE_S, PROGRAM, Qemu

from vmio.oracle.qtest import Door

BAR = 0xE000_0000
CAP, VS, INTMS, INTMC, CC, CSTS, AQA, ASQ, ACQ = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x1C, 0x24, 0x28, 0x30
ADMIN, IO = 0, 1
ENTRIES = 16                                     # of each ring
SQ, CQ = (0x10000, 0x12000), (0x11000, 0x13000)  # the admin queues' memory, the I/O queues'
LISTS, BUFFER, PAGES = 0x20000, 0x40000, 160     # PRP lists and SGL segments; pages for data
ENABLED = 0x460001
FIND = ["outl 0xcf8 0x80001810", f"outl 0xcfc {BAR}", "outl 0xcf8 0x80001814", "outl 0xcfc 0",
        "outl 0xcf8 0x80001804", "outw 0xcfc 7"]
PIN = ["outl 0xcf8 0x80001804", "inl 0xcfc"]     # command and status: bit 19 is the interrupt's


class QemuNvme(Qemu):
    """`-device nvme,addr=3` on a drive that it may write to: over a snapshot it would announce the snapshot's clusters."""

    def __init__(self, drive):
        self._process = subprocess.Popen(
            [PROGRAM, "-machine", "pc", "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-m", "16",
             "-drive", f"if=none,id=n0,file={drive},format=raw,discard=unmap",
             "-device", "nvme,drive=n0,serial=VMIO0001,addr=3", "-qtest", "stdio", "-qtest-log", "none"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class DoorNvme(Door):
    """The door's NVMe controller, in the same slot."""

    def answers(self, lines):
        """As `Qemu.answers`."""
        return [self.answer(line) for line in lines]

    def close(self):
        """Let go of the drive."""
        for image in self.images:
            image.close()


class Side:
    """The driver's view of one machine: what it was told is the same on both, so are the indices."""

    def __init__(self, machine):
        self.machine = machine
        self.ask(FIND)

    def ask(self, lines):
        """The answers without their OK."""
        found = [answer[-1] for answer in self.machine.answers(lines)]
        assert all(text.startswith("OK") for text in found), (lines, found)
        return [text[3:] for text in found]

    def entry(self, queue, slot):
        """The 16 bytes of a completion queue's place."""
        return bytes.fromhex(self.ask([f"read {CQ[queue] + 16 * slot} 16"])[0][2:])


class Pair:
    """Both machines with a driver that sends one command at a time; AssertionError where they differ."""

    def __init__(self, ours, theirs):
        """Two drives with the same content; QEMU writes to the second."""
        self.sides = self.ours, self.theirs = Side(DoorNvme(ours)), Side(QemuNvme(theirs))
        self.tail, self.head, self.phase, self.id, self.done = [0, 0], [0, 0], [1, 1], 0, []

    def close(self):
        """End both."""
        for side in self.sides:
            side.machine.close()

    def same(self, lines, about):
        """Ask both the same and compare all answers."""
        ours, theirs = (side.ask(lines) for side in self.sides)
        for line, one, other in zip(lines, ours, theirs):
            assert one == other, f"{about}: {line}: vmio {one[:200]}, QEMU {other[:200]}\n{self.story()}"
        return ours

    def story(self):
        """What went before."""
        return f"after {len(self.done)} steps, the last ones:\n  " + "\n  ".join(map(str, self.done[-6:]))

    def enable(self):
        """Make the admin queues, and one pair of I/O queues."""
        lines = [f"writel {BAR + at} {value}" for at, value in (
            (AQA, (ENTRIES - 1) * 0x10001), (ASQ, SQ[ADMIN]), (ASQ + 4, 0), (ACQ, CQ[ADMIN]), (ACQ + 4, 0), (CC, ENABLED))]
        self.same([*lines, f"readl {BAR + CSTS}"], "enable")
        ring = 1 | ENTRIES - 1 << 16
        self.command(ADMIN, entry(0x05, prp1=CQ[IO], d10=ring, d11=3))
        self.command(ADMIN, entry(0x01, prp1=SQ[IO], d10=ring, d11=1 | 1 << 16))

    def command(self, queue, sqe, memory=(), look=()):
        """Put `memory` [(address, bytes), ...] there, send one command, compare its answer and what lies at `look`.

        Returns the completion entry, or None if the command waits (an event request).
        """
        self.id += 1
        sqe = sqe[:2] + struct.pack("<H", self.id & 0xFFFF) + sqe[4:]
        lines = [f"b64write {at} {len(data)} {base64.b64encode(data).decode()}" for at, data in memory]
        lines.append(f"write {SQ[queue] + 64 * self.tail[queue]} 64 0x{sqe.hex()}")
        self.tail[queue] = (self.tail[queue] + 1) % ENTRIES
        lines.append(f"writel {BAR + 0x1000 + 8 * queue} {self.tail[queue]}")
        lists = [(hex(at), data.hex(" ", 8)) for at, data in memory if at < BUFFER]
        self.done.append(("admin" if queue == ADMIN else "I/O", sqe.hex(" ", 4), *lists))
        self.same(lines, "submit")
        answer = self.answer(queue)
        spans = [f"b64read {at} {length}" for at, length in look]
        self.same([*spans, *PIN, f"readl {BAR + CSTS}"], "afterwards")
        if answer is not None:
            self.acknowledge(queue)
        return answer

    def poke(self, *stores):
        """Stores of 4 bytes, [(offset, value), ...], and what the controller has to say about them."""
        self.done.append(stores)
        self.same([f"writel {BAR + at} {value}" for at, value in stores], "poke")
        return self.more()

    def more(self):
        """Admin completions that nobody asked for now: events.  Returns how many."""
        for count in range(ENTRIES):
            if self.answer(ADMIN) is None:
                return count
            self.acknowledge(ADMIN)

    def answer(self, queue):
        """The next completion entry, the same on both; None if there is none."""
        slot, phase = self.head[queue], self.phase[queue]
        ours = self._wait(self.ours, queue, slot, phase, 4)
        theirs = self._wait(self.theirs, queue, slot, phase, 4 if ours is None else None)
        assert ours == theirs, (f"answer: vmio {ours and describe(ours)}, QEMU {theirs and describe(theirs)}\n"
                                f"{self.story()}")
        return ours

    def acknowledge(self, queue):
        """The answer has been seen."""
        self.head[queue] = (self.head[queue] + 1) % ENTRIES
        self.phase[queue] ^= self.head[queue] == 0
        self.same([f"writel {BAR + 0x1004 + 8 * queue} {self.head[queue]}", *PIN], "acknowledge")

    @staticmethod
    def _wait(side, queue, slot, phase, looks):
        """The entry, once its phase says that it is new; after `looks` (None: as long as patience lasts) None."""
        until = time.monotonic() + PATIENCE_S
        while looks is None or looks:
            found = side.entry(queue, slot)
            if found[14] & 1 == phase:
                return found
            looks = looks and looks - 1
            if looks is None and time.monotonic() > until:
                return None
        return None


def entry(opcode, nsid=0, prp1=0, prp2=0, d10=0, d11=0, d12=0, d13=0, d14=0, d15=0, flags=0):
    """A submission queue entry; the command identifier comes later."""
    return struct.pack("<BBHI16xQQ6I", opcode, flags, 0, nsid, prp1, prp2, d10, d11, d12, d13, d14, d15)


def describe(answer):
    """A completion entry in words."""
    result, reserved, head, id_, number, status = struct.unpack("<IIHHHH", answer)
    return f"status {status >> 1:#x}, result {result:#x}, reserved {reserved:#x}, SQ {id_} head {head}, command {number}"
