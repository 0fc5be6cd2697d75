"""The matrix engine as plain data and back: who waits for it, what was started by registers, why a function has halted."""

from tests.accelerator_rig import Unit
from tests.checkpoint_rig import held

from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.registers import DESCRIPTOR, Error, Op
from vmio.machine.checkpoint import from_json, plain, to_json


def three():
    """Functions of one engine."""
    first = Unit()
    return [first, Unit(first.engine), Unit(first.engine)]


def again(units):
    """The same elsewhere, on a clock that has their timers."""
    users = [each.function for each in units]
    state = from_json(to_json(plain({"engine": units[0].engine.save(users), "functions": [each.save() for each in users],
                                     "clock": units[0].clock.save(timers(units)), "memory": [each.memory.save() for each in units]})))
    others = three()
    for other, function, memory in zip(others, state["functions"], state["memory"]):
        other.function.restore(function)
        other.memory.restore(memory)
    others[0].engine.restore(state["engine"], [each.function for each in others])
    others[0].clock.restore(state["clock"], timers(others))
    return others


def timers(units):
    return [("operation", units[0].engine.timer), *((f"{n} {name}", timer) for n, each in enumerate(units) for name, timer in each.function.timers())]


def under_way():
    """One works, one waits that was started by its registers, one has halted and has a descriptor that nobody has started."""
    units = three()
    one, two, halted = units
    one.run()
    one.add(Op.LOAD, rows=1, cols=0x8000, address=0x8000)
    one.ring(1)
    two.function.write(r.SRAM, 4, 0x01020304)
    data = DESCRIPTOR.pack(op=Op.MATMUL, rows=1, cols=1, depth=1, weights=1, output=4)
    for at in range(0, len(data), 4):
        two.write(r.DIRECT + at, int.from_bytes(data[at:at + 4], "little"))
    two.write(r.CONTROL, r.START)
    one.clock.advance_to(one.clock.now + 1)
    halted.write(r.DIRECT, 99)
    halted.write(r.RING_SIZE, 1)
    halted.write(r.CONTROL, r.RUN)
    return units


def test_what_they_hold_is_restored():
    units = under_way()
    assert len(units[0].engine.waiting) == 1 and units[1].function._started and units[2].error == Error.RING
    others = again(units)
    assert [held(each.function) for each in units] == [held(each.function) for each in others]
    assert others[2].function.halts[Error.RING] == 1 and others[2].read(r.DIRECT) == 99


def test_they_go_on_to_the_same_end():
    units = under_way()
    others = again(units)
    for each in (units, others):
        each[0].clock.advance_to(1_000_000)
    assert others[1].function.sram[4:8] == units[1].function.sram[4:8] == (4 * 3).to_bytes(4, "little")
    assert [each.function.done for each in others] == [1, 1, 0] == [each.function.done for each in units]
    assert (others[0].engine.busy_ns, others[0].engine.turns) == (units[0].engine.busy_ns, units[0].engine.turns) == (units[0].engine.busy_ns, 2)


def test_a_doorbell_on_its_way_is_heard_elsewhere():
    units = three()
    units[0].run()
    units[0].add(Op.NOP)
    units[0].write(r.TAIL, 1)
    others = again(units)
    assert len(others[0].function.timers()) == 1
    others[0].clock.advance_to(10_000)
    assert others[0].function.done == 1 and others[0].read(r.HEAD) == 1
