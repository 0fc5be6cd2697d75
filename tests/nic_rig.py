"""An 82576 by hand: its registers, memory with an end, a station at its wire; no driver but the test's."""

from tests.net_rig import PEER
from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.adapter import Adapter82576
from vmio.hypervisor.simulation import Simulation
from vmio.host.clock import HostClock
from vmio.machine.memory import HostMemory
from vmio.machine.net.cable import Cable

TX, RX, TX_DATA, RX_DATA = 0x1000, 0x2000, 0x10_000, 0x40_000
ENTRIES, BUFFER = 32, 2048
COMMAND = d.DATA | d.T_ADVANCED | d.T_FCS | d.T_END | d.T_REPORT


class Vf:
    """One virtual function and its rings, in memory of its own."""

    def __init__(self, nic, address, memory=None):
        self.nic, self.address = nic, address
        self.memory = nic.memory = memory or HostMemory(0x80_000)
        self.messages = []
        nic.interrupts.msix.send = self.messages.append
        nic.interrupts.msix.unmask_all()
        self.sent = self.taken = 0

    def read(self, register):
        return self.nic.read(register, 4)

    def write(self, register, value):
        self.nic.write(register, 4, value)

    def start(self, entries=ENTRIES, srrctl=0x8200_0002):
        """Both queues, all buffers but one, interrupts."""
        self.memory.write(RX, b"".join(d.RX_READ.pack(packet=RX_DATA + n * BUFFER) for n in range(entries)))
        for ring, at in ((r.TX, TX), (r.RX, RX)):
            self.write(ring + r.CONTROL, 0)
            for register, value in ((r.LOW, at), (r.HIGH, 0), (r.LENGTH, entries * d.BYTES), (r.HEAD, 0), (r.TAIL, 0)):
                self.write(ring + register, value)
            if ring == r.RX:
                self.write(r.RX + r.SRRCTL, srrctl)
            self.write(ring + r.CONTROL, r.ENABLE)
        self.write(r.RX + r.TAIL, entries - 1)
        self.write(r.IVAR, 0x8081)
        self.write(r.IVAR_MISC, 0x82)
        self.write(r.EIMS, 7)
        self.sent = self.taken = 0

    def put(self, frame, at=None, command=COMMAND, status=0, length=None):
        """A data descriptor, without the doorbell."""
        at = self.sent % ENTRIES if at is None else at
        self.memory.write(TX_DATA + at * BUFFER, frame)
        self.memory.write(TX + at * d.BYTES, d.TX_DATA.pack(address=TX_DATA + at * BUFFER, command=command | (len(frame) if length is None else length),
                                                            status=status))
        self.sent += 1

    def context(self, lengths=0, command=0, sizes=0):
        at = self.sent % ENTRIES
        self.memory.write(TX + at * d.BYTES, d.TX_CONTEXT.pack(lengths=lengths, command=command | d.CONTEXT | d.T_ADVANCED, sizes=sizes))
        self.sent += 1

    def ring(self):
        self.write(r.TX + r.TAIL, self.sent % ENTRIES)

    def send(self, frame, **options):
        self.put(frame, **options)
        self.ring()

    def written(self, n):
        """The n-th receive descriptor as it is now."""
        return d.RX_WRITTEN.parse(self.memory.read(RX + n % ENTRIES * d.BYTES, d.BYTES))

    def heard(self):
        """The frames that have come since the last time; their buffers are given back."""
        found = []
        while self.written(self.taken).status & d.DONE:
            at, part = self.taken % ENTRIES, self.written(self.taken)
            found.append(self.memory.read(RX_DATA + at * BUFFER, part.length))
            self.memory.write(RX + at * d.BYTES, d.RX_READ.pack(packet=RX_DATA + at * BUFFER))
            self.write(r.RX + r.TAIL, at)
            self.taken += 1
        return found


class Card:
    """`count` functions with addresses 02:00:00:00:00:n, VF 0 to 6; everything allowed that the switch may allow."""

    def __init__(self, count=2, guard=False):
        self.env, self.cable = Simulation(), Cable()
        self.clock = HostClock(self.env)
        self.card = Adapter82576(self.cable.ends[0], lambda: self.clock)
        self.got = []
        self.cable.ends[1].connect(self)
        self.vfs = [Vf(nic, bytes([2, 0, 0, 0, 0, n])) for n, nic in enumerate(self.card.make(count))]
        self.card.interrupts.msix.unmask_all()
        own = (1 << count) - 1
        for register, value in ((r.VT_CTL, 7 << r.DEFAULT_POOL_SHIFT | r.REPLICATE), (r.DTXSWC, r.LOOPBACK | (own | own << 8 if guard else 0)),
                                (r.MBVFIMR, own), (r.CTRL_EXT, r.RESET_IS_DONE)):
            self.write(register, value)
        for n, vf in enumerate(self.vfs):
            low, high = int.from_bytes(vf.address[:4], "little"), int.from_bytes(vf.address[4:], "little")
            self.write(r.ADDRESSES[n], low)
            self.write(r.ADDRESSES[n] + 4, high | r.ADDRESS_VALID | 1 << r.POOL_SHIFT + n)
            self.write(r.VMOLR + 4 * n, r.UNTAGGED | r.BROADCASTS)
            vf.start()

    def read(self, register):
        return self.card.read(register, 4)

    def write(self, register, value):
        self.card.write(register, 4, value)

    def later(self, ns):
        self.env.run(until=self.env.now + ns)

    def say(self, frame):
        """A frame from the wire."""
        return self.cable.ends[1].send(frame)

    def receive(self, frame):
        self.got.append(frame)
        return True

    def link_changed(self, up):
        pass


def frame(to, source=PEER, length=100, seed=0):
    """A frame of so many bytes that is like no other seed's."""
    return to + source + b"\x88\xb5" + bytes((seed * 31 + n * 7) & 0xFF for n in range(length - 14))
