"""The matrix engine's function when something is written at the wrong time, or can't be written: it stays what it is, or halts."""

from tests.accelerator_rig import ENTRIES, RING, Unit
from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.registers import DESCRIPTOR, INTERRUPT, Error, Op


def test_a_ring_that_runs_stays_where_it_is():
    unit = Unit()
    unit.run()
    for register, value in ((r.RING_LOW, 0x3000), (r.RING_HIGH, 1), (r.RING_SIZE, 4)):
        unit.write(register, value)
    assert [unit.read(each) for each in (r.RING_LOW, r.RING_HIGH, r.RING_SIZE)] == [RING, 0, ENTRIES]


def test_a_descriptor_in_the_registers_that_was_started_stays_what_it_is():
    unit = Unit()
    unit.write(r.DIRECT, Op.NOP)
    unit.write(r.CONTROL, r.START)
    unit.write(r.DIRECT, 0xFF)
    unit.clock.advance_to(10_000)
    assert (unit.error, unit.function.done, unit.read(r.DIRECT)) == (0, 1, Op.NOP)


def test_a_jump_without_a_ring_goes_nowhere():
    unit = Unit()
    unit.run()
    unit.start(Op.JUMP, rows=0)
    assert unit.error == Error.RING and unit.function.done == 0


def test_where_its_progress_cannot_be_written_it_halts():
    unit = Unit()
    unit.run(2, 0x20000 - 64)                    # the ring is in memory, what comes behind it is not
    unit.memory.write(0x20000 - 64, DESCRIPTOR.pack(op=Op.NOP, flags=INTERRUPT))
    unit.write(r.TAIL, 1)
    unit.clock.advance_to(10_000)
    assert (unit.error, unit.function.halts[Error.DMA], unit.messages) == (Error.DMA, 1, [0])


def test_a_reset_takes_the_interrupt_away():
    unit = Unit()
    unit.function.reset()
    unit.run()
    unit.add(Op.NOP, flags=INTERRUPT)
    unit.ring()
    assert (unit.function.done, unit.messages) == (1, [])
