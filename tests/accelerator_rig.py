"""A matrix engine by hand: functions that share one engine, each with memory of its own; no driver but the test's."""

from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.engine import Engine
from vmio.hardware.accelerator.function import EngineFunction
from vmio.hardware.accelerator.registers import DESCRIPTOR, WRITTEN, Op
from vmio.machine.clock import Clock
from vmio.machine.memory import HostMemory

RING, ENTRIES, DATA = 0x1000, 16, 0x8000


class Unit:
    """One function, its ring in memory of its own, and what it has sent."""

    def __init__(self, engine=None, **options):
        self.clock = engine.clock if engine else Clock()
        self.engine = engine or Engine(self.clock, **options)
        self.function = EngineFunction(self.engine, self.clock)
        self.memory = self.function.memory = HostMemory(0x20000)
        self.messages = []
        self.function.msix.send = self.messages.append
        self.begin()

    def begin(self):
        self.function.msix.unmask_all()
        self.put = 0

    def read(self, register):
        return self.function.read(register, 4)

    def write(self, register, value):
        self.function.write(register, 4, value)

    def run(self, size=ENTRIES, base=RING):
        self.write(r.RING_LOW, base)
        self.write(r.RING_SIZE, size)
        self.write(r.CONTROL, r.RUN)

    def add(self, op, at=None, **fields):
        """A descriptor in the ring, without the doorbell."""
        at = self.put % ENTRIES if at is None else at
        self.memory.write(RING + DESCRIPTOR.size * at, DESCRIPTOR.pack(op=op, **fields))
        self.put += 1

    def ring(self, ns=10_000_000):
        self.write(r.TAIL, self.put % ENTRIES)
        self.clock.advance_to(self.clock.now + ns)

    def start(self, op, **fields):
        """A descriptor in the registers, and its start."""
        data = DESCRIPTOR.pack(op=op, **fields)
        for at in range(0, len(data), 4):
            self.write(r.DIRECT + at, int.from_bytes(data[at:at + 4], "little"))
        self.write(r.CONTROL, r.START)
        self.clock.advance_to(self.clock.now + 1_000_000)

    @property
    def error(self):
        return self.read(r.STATUS) >> 8 & 0xFF if self.read(r.STATUS) & r.HALTED else 0

    def written(self):
        return WRITTEN.parse(self.memory.read(RING + DESCRIPTOR.size * ENTRIES, WRITTEN.size))


def load(unit, data, at, **fields):
    """Bytes on the chip by DMA."""
    unit.memory.write(DATA, data)
    unit.add(Op.LOAD, rows=1, cols=len(data), address=DATA, output=at, **fields)
