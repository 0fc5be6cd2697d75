"""The Tulip: almost-right descriptors, setup frames and registers, frames from outside, pins, time; its memory has an end."""

import struct

from tests.fuzz.engine import number
from tests.tulip_rig import BROADCAST, ENABLED, GROUP, PEER, RX, RX_DATA, SETUP, TX, TX_DATA, US, Rig, frame
from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.descriptors import BYTES
from vmio.devices.net.tulip.receive import MOST_BUFFERS
from vmio.devices.net.tulip.transmit import BURST
from vmio.machine.memory import HostMemory, MemoryFault

KINDS = ("write",) * 4 + ("descriptor",) * 6 + ("start", "mode", "mode", "frame", "frame", "read", "time", "pins", "setup", "demand", "demand", "link")
RAM = 0x80000                 # what the card reaches; behind it is the neighbour's
PLACES = (TX, TX + 16, TX + 32, TX + 48, RX, RX + 16, RX + 32)
CANARY = b"the neighbour's" * 200
MOST_READS = 3 * BURST + 3 * MOST_BUFFERS + 64 + 3 * BURST      # of one action: a burst, and the frames that it loops back


class Fenced:
    """Memory of which the card has the first part; every transfer is counted."""

    def __init__(self):
        self.whole, self.moves, self.refused = HostMemory(2 * RAM), 0, 0
        self.whole.write(RAM, CANARY)

    def _inside(self, address, length):
        self.moves += 1
        if address + length > RAM:
            self.refused += 1
            raise MemoryFault(f"{length} bytes at {address:#x}")

    def read(self, address, length):
        self._inside(address, length)
        return self.whole.read(address, length)

    def write(self, address, data):
        self._inside(address, len(data))
        self.whole.write(address, data)


class Machine:
    """A card, and the station at the other end of its cable."""

    def __init__(self, dice):
        self.rig = Rig(dice.choice(("21140A", "21143")), dice.choice(("instant", "instant", "wire")))
        self.memory = self.rig.tulip.memory = Fenced()
        self.rig.memory = self.memory.whole
        self.rig.start(dice.choice((b.MUST_BE_ONE, b.PR, b.PS)))
        self._most = 0

    def step(self, dice, kind):
        rig, before, dead, refused = self.rig, self.memory.moves, self.rig.tulip._dead, self.memory.refused
        told = getattr(self, "_" + kind)(dice)
        self._most = self.memory.moves - before
        assert not dead or not self._most or kind == "start", "a card that had a bus error moves data"
        assert self.memory.refused == refused or rig.tulip._dead, "a card that goes on after a bus error"
        return kind, told, rig.csr(5) & 0x3F7FFF

    def _write(self, dice):
        n = dice.choice((0, 1, 1, 2, 3, 4, 5, 5, 7, 8, 9, 10, 11, 12, 15))
        good = {0: (0, 0, 0, 1, 4, 0x7C, 1 << 20, 1 << 17, 7 << 17), 3: PLACES, 4: PLACES, 5: (0x1FFFF,), 7: (ENABLED, 0x18041),
                11: (1, 0x10001, 0, 0x8016_0000, 0xFFFE_0000, 0x0910_0000)}.get(n, (0,))
        value = dice.choice(good) if dice.random() < 0.85 else number(dice, 32)
        self.rig.csr(n, value)
        return n

    def _start(self, dice):
        self.rig.csr(0, 1)
        self.rig.start(dice.choice((0, b.PR, b.PM, b.PS, 1 << 10 | b.PR, 1 << 10)), dice.choice((ENABLED, 0x1FFFF, 0)))

    def _mode(self, dice):
        value = sum(bit for bit in (b.SR, b.SR, b.ST, b.ST, b.PR, b.PM, b.PS, b.TTM, 1 << 10, 1 << 11, b.RA) if dice.random() < 0.4)
        self.rig.csr(6, value & 0xFFFF_FFFF)
        return value

    def _descriptor(self, dice):
        at = dice.choice(PLACES)
        first, second = (dice.choice((0, 4, 14, 60, 64, 192, 1500, 1514, 2047)) for _ in range(2))
        control = first | (second << 11 if dice.random() < 0.3 else 0)
        for bit in (b.T_FS, b.T_FS, b.T_LS, b.T_LS, b.T_IC, b.T_DPD, b.CHAINED, b.END_OF_RING):
            control |= bit if dice.random() < 0.4 else 0
        for bit in (b.T_SET, b.T_AC, b.T_FT0, b.T_FT1):
            control |= bit if dice.random() < 0.1 else 0
        address = dice.choice((TX_DATA, RX_DATA, SETUP, at)) if dice.random() < 0.9 else dice.choice((RAM - 8, RAM, number(dice, 32)))
        following = dice.choice(PLACES) if dice.random() < 0.9 else number(dice, 32)
        status = b.OWN if dice.random() < 0.85 else number(dice, 32)
        self.memory.whole.write(at, struct.pack("<4I", status, control & 0xFFFF_FFFF, address, following))
        return at

    def _demand(self, dice):
        self.rig.csr(dice.choice((1, 1, 2)), 0)

    def _setup(self, dice):
        rig = self.rig
        rig.tx = 0
        control = dice.choice((0, b.T_FT0, b.T_FT1, b.T_FT0 | b.T_FT1))
        rig.csr(4, TX)
        rig.setup(US, GROUP, control=control, table=dice.getrandbits(512))
        return control

    def _frame(self, dice):
        to = dice.choice((US, US, BROADCAST, GROUP, PEER))
        return self.rig.wire.send(frame(to, dice.choice((14, 60, 300, 1514)), kind=dice.choice((0x800, 46))))

    def _read(self, dice):
        n, size = dice.randrange(16), dice.choice((1, 2, 4))
        return n, self.rig.tulip.read(8 * n, size) & 0xFF

    def _time(self, dice):
        self.rig.later(dice.choice((1000, 10_000, 100_000, 3_000_000)))

    def _pins(self, dice):
        kind = dice.randrange(3)
        for _ in range(dice.randrange(1, 60)):
            if kind == 0:
                self.rig.csr(9, 0x4801 | dice.choice((0, 2, 4, 6)))
            elif kind == 1:
                self.rig.csr(9, dice.choice((b.MDO, b.MDO | b.MDC, b.MDO, b.MDO | b.MDC, b.MDC, 0, b.MII_INPUT, b.MII_INPUT | b.MDC)))
            else:
                self.rig.csr(9, dice.choice((b.MDO, b.MDO | b.MDC)))
        return kind

    def _link(self, dice):
        self.rig.cable.link(dice.random() < 0.7)

    def check(self):
        """Work, memory and time of the host's have an end, and the pin is what the registers say."""
        rig, tulip = self.rig, self.rig.tulip
        assert self._most <= MOST_READS, f"{self._most} transfers in one action"
        owned = sum(timer is not None for _, timer in tulip.timers())
        assert sum(entry[2].callback is not None for entry in rig.clock._heap) == owned <= 6, "a timer that nobody owns"
        assert len(rig.clock._heap) < 200
        assert len(tulip.transmitter._frame) <= b.JABBER
        assert all(14 <= len(each) <= 1518 for each in rig.got)
        rig.got.clear()
        status, enabled = tulip.status.value, tulip.status.enabled
        assert rig.line == bool(status & enabled & (b.NIS | b.AIS)) and 0 <= status <= 0xFFFF_FFFF
        assert tulip.srom._ticks <= 25 and tulip.mii._ones <= 32 and len(tulip.filter.addresses) <= 16
        assert all(0 <= word <= 0xFFFF for word in (*tulip.srom.words, *tulip.mii.registers)) and tulip.receiver.missed <= 0x1FFFF
        assert tulip.transmitter.list.at % 4 == 0 and 0 <= tulip.transmitter.list.at <= 0xFFFF_FFFC

    def end(self):
        """The neighbour's bytes are as they were, a checkpoint is whole, and after a reset frames go both ways."""
        rig = self.rig
        assert self.memory.whole.read(RAM, len(CANARY)) == CANARY
        state = rig.tulip.save()
        rig.tulip.restore(state)
        assert rig.tulip.save() == state
        rig.cable.link(True)
        rig.csr(0, 1)
        rig.later(1_000_000)
        for at in PLACES:
            self.memory.whole.write(at, bytes(BYTES))
        rig.tx = rig.rx = 0
        rig.start()
        rig.got.clear()
        rig.setup(US)
        rig.later(1_000_000)
        rig.send(frame(length=100))
        rig.give()
        rig.later(1_000_000)
        assert rig.got == [frame(length=100)]
        assert rig.wire.send(frame(US)) and rig.data(0, 64) == frame(US)
