"""QEMU's tulip and the door's, with their cables in our hands: the same rings, frames and register accesses to both."""

import os
import socket
import subprocess
import time

from qemu import PATIENCE_S, PROGRAM, Qemu

from vmio.oracle.qtest import Door

IO = 0xC000
PREPARE = ["outl 0xcf8 0x80001810", f"outl 0xcfc {IO | 1}", "outl 0xcf8 0x80001804", "outw 0xcfc 5"]
TX, RX, TX_DATA, RX_DATA, SETUP = 0x20_0000, 0x21_0000, 0x30_0000, 0x40_0000, 0x50_0000
ENTRIES, BUFFER = 8, 2048
OWN, END, CHAINED = 1 << 31, 1 << 25, 1 << 24
IC, LS, FS, SET, DPD = 1 << 31, 1 << 30, 1 << 29, 1 << 27, 1 << 23
MULTICAST = 1 << 10
US, PEER = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")
BROADCAST = b"\xff" * 6


class QemuTulip(Qemu):
    """A QEMU whose processor halts at once; frames only move while the machine runs.  Its card is in slot 3."""

    def __init__(self, folder):
        self.here, self.there = os.path.join(folder, "p"), os.path.join(folder, "q")
        for path in (self.here, self.there):
            if os.path.exists(path):
                os.unlink(path)
        bios = os.path.join(folder, "bios")
        with open(bios, "wb") as file:
            file.write(b"\xf4" * 0xFFF0 + b"\xfa\xf4\xeb\xfd" + b"\xf4" * 12)      # CLI; HLT; and again
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.here)
        self.socket.settimeout(PATIENCE_S)
        self._process = subprocess.Popen(
            [PROGRAM, "-machine", "pc", "-accel", "tcg", "-nodefaults", "-display", "none", "-m", "16", "-bios", bios, "-netdev",
             f"dgram,id=n0,local.type=unix,local.path={self.there},remote.type=unix,remote.path={self.here}",
             "-device", "tulip,addr=3,netdev=n0,mac=52:54:00:12:34:56", "-qtest", "stdio", "-qtest-log", "none"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def close(self):
        super().close()
        self.socket.close()


class Pair:
    """Rings of eight descriptors each: in a row with gaps of `skip` longwords, or `chained`."""

    def __init__(self, folder, skip, chained, big=False):
        self.qemu, self.door = QemuTulip(folder), Door(devices=["tulip"])
        self.step, self.chained, self.order = 16 + 4 * skip, chained, "big" if big else "little"
        self.done = []
        self.tx = self.rx = 0
        self.same(*PREPARE, f"outl {IO} {skip << 2 | big << 20}")
        for n in range(ENTRIES):
            self.descriptor(TX, n, 0, 0, 0, 0)

    def same(self, *lines, mask=-1):
        """Ask both; the answers must be equal, numbers in the bits of `mask`.  Returns the last."""
        for line, theirs in zip(lines, self.qemu.answers(lines)):
            ours, theirs = self.door.answer(line)[-1].split(), theirs[-1].split()
            assert len(ours) == len(theirs) and all(
                a == b or int(a, 16) & mask == int(b, 16) & mask for a, b in zip(ours, theirs)), \
                f"{line}: vmio {ours}, QEMU {theirs}, after {self.done[-12:]}"
            self.done.append(line)
        return ours[-1]

    def csr(self, n):
        """Read a register of both."""
        return int(self.same(f"inl {IO + 8 * n}"), 0)

    def write(self, n, value):
        """Write a register of both."""
        self.same(f"outl {IO + 8 * n} {value}")

    def put(self, at, data):
        """Put bytes into both memories."""
        self.same(f"write {at} {len(data)} 0x{data.hex()}")

    def descriptor(self, ring, n, status, control, first, second):
        """Write one descriptor."""
        if self.chained:
            control, second = control | CHAINED, ring + (n + 1) % ENTRIES * self.step
        elif n == ENTRIES - 1:
            control |= END
        self.put(ring + n * self.step, b"".join(word.to_bytes(4, self.order) for word in (status, control, first, second)))

    def state(self):
        """Compare status, enabled interrupts, and the level of the pin (bit 3 of the function's status)."""
        self.csr(5)
        self.csr(7)
        self.same("outl 0xcf8 0x80001804")
        self.same("inl 0xcfc", mask=1 << 19)

    def start(self, mode):
        """Both processes run."""
        self.write(3, RX)
        self.write(4, TX)
        self.write(6, mode | 0x2002)

    def setup(self, addresses):
        """Send a setup frame: perfect, of up to 15 addresses and the broadcast address."""
        words = [*addresses, *[BROADCAST] * (16 - len(addresses))]
        self.put(SETUP, b"".join(a[at:at + 2] + b"\0\0" for a in words for at in (0, 2, 4)))
        self.descriptor(TX, self.tx, OWN, SET | 192, SETUP, 0)
        self.tx = (self.tx + 1) % ENTRIES
        self.write(1, 0)

    def send(self, frame, cuts, flags):
        """Send a frame in pieces, one or (not chained) two a descriptor; it must leave both."""
        pieces = [frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)])]
        rows = [pieces[n:n + 1] for n in range(len(pieces))] if self.chained else [pieces[n:n + 2] for n in range(0, len(pieces), 2)]
        for n, row in enumerate(rows):
            at, where = [], TX_DATA + self.tx * 2 * BUFFER
            for m, piece in enumerate(row):
                at.append(where + m * BUFFER)
                if piece:
                    self.put(at[-1], piece)
            control = flags | (FS if n == 0 else 0) | (LS if n == len(rows) - 1 else 0) | len(row[0])
            if len(row) == 2:
                control |= len(row[1]) << 11
            self.descriptor(TX, self.tx, OWN, control, at[0], at[1] if len(row) == 2 else 0)
            self.tx = (self.tx + 1) % ENTRIES
        self.write(1, 0)
        got = self.door.answer("wire_tx")[-1]
        theirs = self.qemu.socket.recv(65536)
        assert got == f"OK 0x{theirs.hex()}" == f"OK 0x{frame.hex()}", f"{len(frame)} bytes in {len(pieces)} pieces"
        self.same(f"read {TX} {ENTRIES * self.step}")

    def refill(self, sizes):
        """Give receive descriptors with buffers of these sizes, (first, second), to both."""
        self.sizes = sizes
        for n in range(ENTRIES):
            first, second = sizes[n % len(sizes)]
            at = RX_DATA + n * 2 * BUFFER
            self.descriptor(RX, n, OWN, first | (0 if self.chained else second << 11), at, at + BUFFER)

    def receive(self, frame, wanted):
        """Bring a frame to both cards; if it is `wanted`, its descriptors and its bytes must be equal."""
        self.door.answer(f"wire_rx 0x{frame.hex()}")
        self.qemu.socket.sendto(frame, self.qemu.there)
        if not wanted:
            return
        places, left = [], len(frame) + 4
        while left > 0:
            first, second = self.sizes[self.rx % len(self.sizes)]
            at = RX_DATA + self.rx * 2 * BUFFER
            for where, size in ((at, first), (at + BUFFER, 0 if self.chained else second)):
                places.append((where, min(size, left)))
                left -= min(size, left)
            last, self.rx = self.rx, (self.rx + 1) % ENTRIES
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            status = bytes.fromhex(self.qemu.answer(f"read {RX + last * self.step} 4")[-1][5:])
            if not int.from_bytes(status, self.order) & OWN:
                break
        left = len(frame)                   # the FCS behind it is ours alone
        for where, size in places:
            if min(size, left):
                self.same(f"read {where} {min(size, left)}")
            left -= min(size, left)
        for n in range(ENTRIES):
            at = RX + n * self.step
            self.same(f"read {at} 4", mask=~int.from_bytes(MULTICAST.to_bytes(4, self.order), "big"))

    def close(self):
        """End QEMU."""
        self.qemu.close()
