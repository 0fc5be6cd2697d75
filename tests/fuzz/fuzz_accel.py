"""A function of the matrix engine in hostile hands: ring, descriptors, registers, chip; a neighbour shares its multipliers; and the
commands that a guest hands to the service, as the host lets them through."""

from tests.accelerator_rig import DATA, ENTRIES, RING, Unit
from tests.fuzz.engine import number
from tests.fuzz.fuzz_tulip import CANARY, RAM, Fenced

from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.registers import BIAS, DESCRIPTOR, INTERRUPT, RELU, REQUANTISE, Error, Op
from vmio.host.accelerator.commands import checked
from vmio.machine.memory import PAGE, HostMemory
from vmio.vmbus.accelerator.vsp import Refusal

KINDS = (("descriptor",) * 10 + ("bell",) * 6 + ("direct",) * 4 + ("chip",) * 3 + ("commands",) * 6
         + ("write", "write", "write", "odd", "time", "time", "time", "neighbour", "neighbour", "run", "run", "reset", "endless"))
LIMIT, SLICE, LONGEST = 400_000, 10_000, 70_000         # ns; of one operation at most
WRITABLE = (r.CONTROL, r.RING_LOW, r.RING_HIGH, r.RING_SIZE, r.TAIL, r.HEAD, r.STATUS, r.ID, r.TABLE, r.TABLE + 12, r.PENDING, r.DIRECT, 0x1C)
GOOD = {r.CONTROL: (r.RUN, r.RUN, r.RUN | r.START, r.START, 0, r.RESET), r.RING_LOW: (RING, RING, RING + 8, RAM - 64), r.RING_HIGH: (0, 0, 1 << 20),
        r.RING_SIZE: (ENTRIES, ENTRIES, 2, 4096, 1, 0), r.TAIL: tuple(range(ENTRIES + 2))}
HANDLE, PAGES = 7, 4
SPA = 0x10_0000                      # where the host keeps those pages, each by itself


class Named:
    """Pages that the guest has named, as `checked` sees a `Window`; no two of them lie in a row."""

    size = PAGES * PAGE

    def runs(self, offset, length):
        while length > 0:
            step = min(PAGE - offset % PAGE, length)
            yield SPA + offset // PAGE * 2 * PAGE + offset % PAGE, step
            offset, length = offset + step, length - step

    @staticmethod
    def holds(spa, length):
        return all(0 <= (at - SPA) // PAGE < 2 * PAGES and (at - SPA) // PAGE % 2 == 0 for at in (spa, spa + max(length, 1) - 1)) and length <= PAGE


class Machine:
    """The attacker's function and the neighbour's, on one engine."""

    def __init__(self, dice):
        self.us = Unit(slice_ns=SLICE, limit_ns=LIMIT)
        self.fence = self.us.function.memory = Fenced()
        self.us.memory = self.fence.whole             # the guest's processor has no fence
        self.them = Unit(self.us.engine)
        for unit in (self.us, self.them):
            unit.run()
        self.them.function.sram[:] = b"neighbour's SRAM" * 4096
        self.wanted = bytes(self.them.function.sram)

    def step(self, dice, kind):
        told = getattr(self, "_" + kind)(dice)
        return kind, told, self.us.error, self.us.read(r.STATUS) & 3

    def _fields(self, dice):
        op = dice.choice((Op.NOP, Op.LOAD, Op.LOAD, Op.MATMUL, Op.MATMUL, Op.STORE, Op.STORE, Op.JUMP, dice.randrange(256)))
        small = lambda most: dice.choice((0, 1, 2, dice.randrange(1, most)))  # noqa: E731
        wide = dice.random() < 0.15
        fields = {"op": op, "rows": number(dice, 16) if wide else small(12), "cols": number(dice, 16) if wide else small(40),
                  "depth": number(dice, 16) if dice.random() < 0.08 else small(40), "shift": dice.choice((0, 1, 24, 31, 31, 32, 255)),
                  "factor": number(dice, 32), "address": dice.choice((DATA, DATA, DATA, RING, RAM - 4, RAM, number(dice, 64)))}
        fields["flags"] = dice.choice((0, 0, BIAS, RELU, REQUANTISE, BIAS | RELU | REQUANTISE, number(dice, 8))) if op == Op.MATMUL else dice.choice((0, 0, 0, INTERRUPT, 255))
        for place in ("input", "weights", "bias", "output"):
            fields[place] = number(dice, 16) if dice.random() < 0.3 else 64 * dice.randrange(1000)
        return fields

    def _descriptor(self, dice):
        fields = self._fields(dice)
        self.us.add(**fields)
        return fields["op"]

    def _endless(self, dice):
        self.us.add(Op.JUMP, rows=dice.choice((0, self.us.put % ENTRIES, ENTRIES, ENTRIES - 1)))

    def _bell(self, dice):
        self.us.write(r.TAIL, self.us.put % ENTRIES if dice.random() < 0.8 else number(dice, 32))
        return self._pass(dice.choice((0, 1, 600, 5_000)))

    def _direct(self, dice):
        data = DESCRIPTOR.pack(**self._fields(dice))
        for at in range(0, len(data), 4):
            self.us.write(r.DIRECT + at, int.from_bytes(data[at:at + 4], "little"))
        self.us.write(r.CONTROL, dice.choice((r.START, r.RUN | r.START)))
        return self._pass(dice.choice((0, 1, 5_000)))

    def _write(self, dice):
        register = dice.choice(WRITABLE)
        value = dice.choice(GOOD[register]) if register in GOOD and dice.random() < 0.8 else number(dice, 32)
        self.us.write(register, value)
        return register

    def _odd(self, dice):
        offset, size = number(dice, 17), dice.choice((1, 2, 4, 8))
        self.us.function.write(offset, size, number(dice, 8 * size))
        assert 0 <= self.us.function.read(offset, size) < 1 << 8 * size

    def _chip(self, dice):
        self.us.function.write(r.SRAM + number(dice, 16), dice.choice((1, 2, 4)), number(dice, 8))

    def _run(self, dice):
        """As a driver begins, now and then with a ring that is out of reach, or ends there."""
        self.us.write(r.CONTROL, r.RESET)
        self.us.begin()
        self.us.run(base=dice.choice((RING, RING, RING, RAM - 64, RAM)))

    def _reset(self, dice):
        self.us.function.reset()
        assert not any(self.us.function.sram) and not any(self.us.function.direct), "what the guest before has left"
        self.us.begin()
        self.us.run()

    def _time(self, dice):
        """Long enough for any job, also one without an end."""
        self._pass(5 * LIMIT)
        assert not self.us.read(r.STATUS) & r.BUSY or not self.us.read(r.CONTROL) & r.RUN, "a job that does not end"

    def _pass(self, ns):
        self.us.clock.advance_to(self.us.clock.now + ns)

    def _neighbour(self, dice):
        """A job of four parts, which gets its share whatever the other one does."""
        before, done = len(self.them.messages), self.them.function.done
        for n in range(4):
            self.them.add(Op.NOP, flags=INTERRUPT if n == 3 else 0)
        self.them.write(r.TAIL, self.them.put % ENTRIES)
        self._pass(SLICE + LONGEST + 10_000)
        assert (len(self.them.messages), self.them.function.done) == (before + 1, done + 4), "the neighbour waits"

    def _commands(self, dice):
        """What the host lets through reaches the named memory and nothing else, and comes to an end."""
        data = b""
        for _ in range(dice.randrange(1, 5)):
            fields = self._fields(dice)
            if dice.random() < 0.9:
                fields["flags"] &= BIAS | RELU | REQUANTISE if fields["op"] == Op.MATMUL else 0
                fields["op"], fields["shift"] = min(fields["op"], Op.JUMP), fields["shift"] & 31
                fields["address"] = HANDLE << 32 | dice.choice((0, PAGE - 3, Named.size - fields["rows"] * fields["cols"] & 0xFFFF_FFFF, Named.size, number(dice, 32)))
            data += DESCRIPTOR.pack(**fields)
        try:
            found = checked(data, {HANDLE: Named()})
        except Refusal as refusal:
            return refusal.at
        for job in map(DESCRIPTOR.parse, found):
            assert job.op != Op.JUMP and not job.flags & INTERRUPT, "a command that the host does not own"
            assert job.op not in (Op.LOAD, Op.STORE) or Named.holds(job.address, job.rows * job.cols), "memory that was not named"
        return len(found)

    def check(self):
        """What must hold after each action."""
        function = self.us.function
        assert len(function.sram) == r.SRAM_BYTES and len(function.direct) == DESCRIPTOR.size
        assert not function.control & r.RUN or function.head < function.size and function.tail < function.size and function.written_tail < function.size
        assert len(function._bells) <= 2 and function.error in Error and self.them.error == 0
        assert len(self.us.engine._used) <= 2 and len(self.us.engine.waiting) <= 2
        assert bytes(self.them.function.sram) == self.wanted, "the neighbour's chip"

    def end(self):
        """No byte behind the fence has changed, and after a reset an honest driver begins anew."""
        assert self.fence.whole.read(RAM, len(CANARY)) == CANARY
        self._reset(None)
        assert self.us.engine.current is not self.us.function
        self.us.memory = self.us.function.memory = HostMemory(0x20000)
        self.us.messages.clear()
        self.us.memory.write(DATA, bytes(range(64)))
        self.us.add(Op.LOAD, rows=1, cols=64, address=DATA, output=0)
        self.us.add(Op.STORE, flags=INTERRUPT, rows=1, cols=64, address=DATA + 64, input=0)
        self.us.ring()
        assert self.us.memory.read(DATA + 64, 64) == bytes(range(64)) and self.us.messages == [0]
