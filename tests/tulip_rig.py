"""A Tulip with 1 MiB of memory, a clock, and a station at the other end of its cable."""

import struct

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.tulip import Tulip
from vmio.machine.clock import Clock
from vmio.machine.memory import HostMemory
from vmio.machine.net.cable import Cable

US, PEER = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")
GROUP, BROADCAST = bytes.fromhex("01005e000001"), b"\xff" * 6
TX, RX, TX_DATA, RX_DATA, SETUP = 0x2000, 0x3000, 0x10000, 0x40000, 0x5000
ENABLED = 0x1EBEF                 # what Linux enables on a 21140A


def frame(to=PEER, length=64, source=US, kind=0x0800):
    """A frame of so many bytes."""
    return (to + source + kind.to_bytes(2, "big")).ljust(14, b"\0") + bytes(n & 0xFF for n in range(length - 14))


class Rig:
    """`got` are the frames that have left; `line` the level of the interrupt pin."""

    def __init__(self, chip="21140A", pace="instant", takes=True):
        self.clock, self.memory = Clock(), HostMemory(1 << 20)
        self.line, self.edges, self.got, self.takes = 0, 0, [], takes
        self.tulip = Tulip(self.clock, US, chip, pace, self._pin)
        self.tulip.memory = self.memory
        self.cable = Cable()
        self.tulip.plug_in(self.cable.ends[0])
        self.wire = self.cable.ends[1]
        self.wire.connect(self)
        self.skip = self.tx = self.rx = 0

    def _pin(self, level):
        self.edges += level != self.line
        self.line = level

    def receive(self, data):
        if self.takes:
            self.got.append(data)
        return self.takes

    def link_changed(self, up):
        pass

    def csr(self, n, value=None):
        """Read a register, or write it."""
        if value is None:
            return self.tulip.read(8 * n, 4)
        return self.tulip.write(8 * n, 4, value)

    def start(self, mode=b.MUST_BE_ONE, enabled=ENABLED):
        """Lists, interrupts, both processes."""
        self.csr(3, RX)
        self.csr(4, TX)
        self.csr(7, enabled)
        self.csr(6, mode | b.SR | b.ST)
        self.csr(5, 0x1FFFF)

    def descriptor(self, at, status, control, first=0, second=0):
        """Write one."""
        self.memory.write(at, struct.pack("<4I", status, control, first, second))

    def status(self, at):
        """The first longword of one."""
        return int.from_bytes(self.memory.read(at, 4), "little")

    def send(self, data, flags=b.T_IC, demand=True):
        """Send a frame from one buffer, by the next descriptor of a list in a row."""
        at = TX + 16 * self.tx
        self.memory.write(TX_DATA, data)
        self.descriptor(at, b.OWN, flags | b.T_FS | b.T_LS | len(data), TX_DATA)
        self.tx += 1
        if demand:
            self.csr(1, 0)
        return at

    def setup(self, *addresses, control=0, table=0):
        """Send a setup frame: addresses, the last one again and again; or a table of 512 bits and one address."""
        words = [0] * 48
        if control & b.T_FT0:
            words[:32] = [table >> 16 * n & 0xFFFF for n in range(32)]
            places = [(39, addresses[0])]
        else:
            places = [(3 * n, addresses[min(n, len(addresses) - 1)]) for n in range(16)]
        for at, address in places:
            words[at:at + 3] = struct.unpack("<3H", address)
        self.memory.write(SETUP, struct.pack("<48I", *(word * 0x1_0001 for word in words)))
        at = TX + 16 * self.tx
        self.descriptor(at, b.OWN, b.T_SET | control | 192, SETUP)
        self.tx += 1
        self.csr(1, 0)
        return at

    def give(self, count=1, size=1536, second=0):
        """Give receive descriptors, in a row."""
        for _ in range(count):
            at = RX + 16 * self.rx
            self.descriptor(at, b.OWN, size | second << 11, RX_DATA + 4096 * self.rx, RX_DATA + 4096 * self.rx + 2048)
            self.rx += 1
        return at

    def data(self, n, length):
        """What is in the first buffer of a receive descriptor."""
        return self.memory.read(RX_DATA + 4096 * n, length)

    def later(self, ns):
        """Time goes on."""
        self.clock.advance_to(self.clock.now + ns)
